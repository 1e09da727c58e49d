// Parses the Destination header of a COPY (H10).
import { type Destination } from '../catalogue/operation.ts';
import { BadRequest } from '../http-errors.ts';

/**
 * Parses the header as CouchDB does: it cuts at `?`, decodes percent escapes and plus signs once, and takes
 * the rest as an id in the same database. The id may contain slashes. Source: couch_httpd_db.erl,
 * parse_copy_destination_header; docs.couchdb.org/en/stable/api/document/common.html#copy--db-docid.
 * The returned `header` is the canonical encoding. Throws BadRequest if the header is missing, names another
 * server, or is ambiguous.
 */
export function parseDestination(header: string | readonly string[] | undefined): Destination {
  if (typeof header !== 'string' || header === '') {
    throw new BadRequest('Destination header is mandatory for COPY.');
  }
  const mark = header.indexOf('?');
  const id = decodedId(mark === -1 ? header : header.slice(0, mark));
  const revision = mark === -1 ? '' : header.slice(mark);
  if (mark !== -1 && !isRevision(revision)) {
    throw new BadRequest('Destination must be a document id, optionally followed by ?rev=<revision>.');
  }
  return { id, header: encodeURIComponent(id) + revision };
}

function decodedId(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === 0x23) {
      throw new BadRequest('Destination contains a byte that must be percent-encoded.');
    }
  }
  const start = text.slice(0, 8).toLowerCase();
  if (start.startsWith('http://') || start.startsWith('https://')) {
    throw new BadRequest('Destination URL must be relative.');
  }
  let id: string;
  try {
    id = decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new BadRequest('Destination is not valid percent-encoded UTF-8.');
  }
  if (id === '' || id === '_design/' || id === '_local/' || id.includes('\0')) {
    throw new BadRequest('Destination is not a document id.', 'illegal_docid');
  }
  return id;
}

/**
 * True for `?rev=` with a number, a dash, and letters or digits. Anything else could contain a second
 * parameter.
 */
function isRevision(text: string): boolean {
  if (!text.startsWith('?rev=')) return false;
  const dash = text.indexOf('-', 5);
  if (dash < 6 || dash === text.length - 1) return false;
  for (let i = 5; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isDigit = code >= 48 && code <= 57;
    const isLetter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
    if (i === dash) continue;
    if (!(isDigit || (i > dash && isLetter))) return false;
  }
  return true;
}
