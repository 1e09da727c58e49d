// Decides whether a client accepts a content type, as CouchDB does (mochiweb_request:accepts_content_type).
import { type IncomingMessage } from 'node:http';

/**
 * Whether Accept allows the type. A missing header allows all; `*` is a wildcard; `q=0` excludes the entry.
 */
export function accepts(req: IncomingMessage, type: string): boolean {
  const header = req.headers.accept;
  if (header === undefined || header.trim() === '') return true;
  const [family] = type.split('/');
  return header.split(',').some((each) => {
    const [name = '', ...parameters] = each.split(';').map((part) => part.trim().toLowerCase());
    const isRefused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return !isRefused && (name === type || name === `${family}/*` || name === '*/*');
  });
}
