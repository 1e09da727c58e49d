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

/** `/{db}/{docid}/{attachment}`. */
export function attachmentPath(database: string, id: string, name: string): string {
  return `${documentPath(database, id)}/${segment(name)}`;
}

/** The line of a request has at most 8,192 bytes in CouchDB; the rest is for the method and for a query. */
const MAX_PATH_BYTES = 7000;

/** False for a path that CouchDB refuses, because an id, a revision or a name in it is too long. */
export function isAcceptedPath(path: string): boolean {
  return path.length <= MAX_PATH_BYTES;
}

/** Dots are encoded too: some parsers remove a segment `.` or `..` (H7). */
function segment(text: string): string {
  return text === '.' || text === '..' ? text.replaceAll('.', '%2E') : encodeURIComponent(text);
}
