// Parses the Destination header of a COPY (H10).
import { NOT_UTF8_ID } from '../catalogue/document-id.ts';
import { type Destination } from '../catalogue/operation.ts';
import { BadRequest } from '../http-errors.ts';
import { decodeBytes } from './percent-encoding.ts';

/**
 * Parses the header as CouchDB does: it cuts at `?`, decodes percent escapes and plus signs once, and takes
 * the rest as an id in the same database. The id may contain slashes, and a percent sign that begins no
 * escape is itself. Raw bytes are UTF-8. Source: couch_httpd_db.erl, parse_copy_destination_header;
 * docs.couchdb.org/en/stable/api/document/common.html#copy--db-docid.
 * The returned `header` is the canonical encoding. Throws BadRequest if the header is empty, names another
 * server, is ambiguous, or holds an id that CouchDB refuses.
 */
export function parseDestination(header: string | readonly string[]): Destination {
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
  const start = text.slice(0, 8).toLowerCase();
  if (start.startsWith('http://') || start.startsWith('https://')) {
    throw new BadRequest('Destination URL must be relative.');
  }
  const id = decodeBytes(text);
  if (id === undefined) throw new BadRequest(NOT_UTF8_ID, 'illegal_docid');
  if (id === '' || id === '_design/' || id === '_local/') {
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
