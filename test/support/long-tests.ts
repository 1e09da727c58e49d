// Tests that take half a minute each are left out of a run that has no real CouchDB, to keep it short.

/** Reason to skip a long test, or false. `COUCHGATE_LONG_TESTS=1` runs them on the embedded node too. */
export const NO_LONG_TESTS: string | false =
  process.platform !== 'linux'
    ? 'needs Linux'
    : process.env['COUCHDB_HOME'] === undefined && process.env['COUCHGATE_LONG_TESTS'] === undefined
      ? 'takes half a minute: set COUCHDB_HOME or COUCHGATE_LONG_TESTS'
      : false;
