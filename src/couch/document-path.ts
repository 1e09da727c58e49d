// Builds encoded paths of databases, documents and attachments for Couchgate's own requests.

/** `/{db}`. */
export function databasePath(database: string): string {
  return `/${segment(database)}`;
}

/** `/{db}/{docid}`. The slash of `_design/` stays: CouchDB redirects the encoded form. */
export function documentPath(database: string, id: string): string {
  const [prefix, rest] = id.startsWith('_design/') ? ['_design/', id.slice(8)] : ['', id];
  return `${databasePath(database)}/${prefix}${segment(rest)}`;
}

/** `/{db}/_security`. */
export function securityPath(database: string): string {
  return `${databasePath(database)}/_security`;
}

/** `/{db}/{docid}/{attachment}`. */
export function attachmentPath(database: string, id: string, name: string): string {
  return `${documentPath(database, id)}/${segment(name)}`;
}

/**
 * Bytes after the name of the database. The line of a request has at most 8,192 in CouchDB: the longest name
 * takes 715 of them, and the rest is for the method and for a query.
 */
const MAX_PATH_BYTES = 7000;

/**
 * False for a path that CouchDB refuses, because an id, a revision or a name in it is too long. The name of
 * the database does not matter: what can be read in one can be written into a copy with a longer one (H39.8).
 */
export function isAcceptedPath(path: string): boolean {
  return path.length - path.indexOf('/', 1) <= MAX_PATH_BYTES;
}

/** Dots are encoded too: some parsers remove a segment `.` or `..` (H7). */
function segment(text: string): string {
  return text === '.' || text === '..' ? text.replaceAll('.', '%2E') : encodeURIComponent(text);
}
