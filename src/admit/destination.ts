// The one reading of a COPY's Destination header (H10). Whether the caller may write there is authorize's business.
import { type Destination } from '../catalogue/operation.ts';
import { BadRequest } from '../http-errors.ts';

/**
 * Reads the header as CouchDB does: cut at `?`, percent- and plus-decoded once, an id in the same database whatever slashes it holds
 * (couch_httpd_db.erl, parse_copy_destination_header; docs.couchdb.org/en/stable/api/document/common.html#copy--db-docid).
 * `header` is its one re-encoded spelling. Throws BadRequest when it is missing, names another server, or can be read in two ways.
 */
export function parseDestination(header: string | readonly string[] | undefined): Destination {
  if (typeof header !== 'string' || header === '') {
    throw new BadRequest('Destination header is mandatory for COPY.');
  }
  const mark = header.indexOf('?');
  const id = decodedId(mark === -1 ? header : header.slice(0, mark));
  const revision = mark === -1 ? '' : header.slice(mark);
  if (mark !== -1 && !isRevision(revision)) {
    throw new BadRequest('Destination may carry nothing but ?rev= and a revision behind the document id.');
  }
  return { id, header: encodeURIComponent(id) + revision };
}

function decodedId(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === 0x23) {
      throw new BadRequest('Destination holds a byte that must be percent-encoded.');
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
    throw new BadRequest('Destination is no document id.', 'illegal_docid');
  }
  return id;
}

/** `?rev=` with a number, a dash, and letters or digits: nothing that could be read as a second parameter. */
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
