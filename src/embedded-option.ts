// Names the internal option of worker processes. A module of its own: commands start without loading the
// server.

/** Internal command-line option by which the primary passes the URL of its embedded node to the workers. */
export const EMBEDDED_OPTION = '--embedded-node=';
