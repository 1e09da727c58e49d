// Reads and writes a name and a password as Basic authentication carries them. Whether they are right is credential-check.ts's business.
import { BadRequest } from '../http-errors.ts';

export interface GivenCredentials {
  readonly name: string;
  readonly password: string;
  /** The one base64 form of both, for CouchDB. */
  readonly basic: string;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The base64 part of a Basic header. `undefined` = nobody in particular: nothing at all, or `_:_`, by which CouchDB's own clients say so.
 * Throws CouchDB's 400 for what is not base64 in its one spelling; and a 400 where CouchDB would silently see nobody: a sender of
 * something without a colon, or that is not UTF-8, believes that it signed in.
 * Source: RFC 7617 section 2; couch_httpd_auth.erl, basic_name_pw.
 */
export function readBasic(value: string): GivenCredentials | undefined {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.toString('base64') !== value)
    throw new BadRequest('Authorization header has invalid base64 value');
  const text = decode(bytes);
  if (text === '' || text === '_:_') return undefined;
  const colon = text.indexOf(':');
  if (colon === -1) throw new BadRequest('Authorization header must hold name:password in base64');
  return { name: text.slice(0, colon), password: text.slice(colon + 1), basic: value };
}

/** The base64 part for a name and a password; `undefined` = the name holds a colon, and would be read back as another one. */
export function writeBasic(name: string, password: string): string | undefined {
  return name.includes(':') ? undefined : Buffer.from(`${name}:${password}`).toString('base64');
}

function decode(bytes: Buffer): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new BadRequest('Authorization header must hold UTF-8');
  }
}
