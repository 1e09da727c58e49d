// Says whether a client takes a content type, as CouchDB asks it (mochiweb_request:accepts_content_type).
import { type IncomingMessage } from 'node:http';

/** No Accept header takes everything; `*` stands for any type or subtype, and what has `q=0` is not taken. */
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
