// Encodes and decodes Basic credentials.
import { BadRequest } from '../http-errors.ts';

export interface ParsedCredentials {
  readonly name: string;
  readonly password: string;
  /** Canonical base64 of both, as CouchDB gets it. */
  readonly basic: string;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Decodes the base64 part of a Basic header. `undefined` = no credentials: an empty value, or `_:_`, which
 * CouchDB's own clients send for an anonymous request.
 * Throws CouchDB's 400 for invalid or non-canonical base64. Also throws 400 for a value without a colon or
 * with invalid UTF-8. CouchDB would treat such a request as anonymous, and the client would assume that it is
 * signed in.
 * Source: RFC 7617 section 2; couch_httpd_auth.erl, basic_name_pw.
 */
export function readBasic(value: string): ParsedCredentials | undefined {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.toString('base64') !== value)
    throw new BadRequest('Authorization header has invalid base64 value');
  const text = decode(bytes);
  if (text === '' || text === '_:_') return undefined;
  const colon = text.indexOf(':');
  if (colon === -1) throw new BadRequest('Authorization header must hold name:password in base64');
  return { name: text.slice(0, colon), password: text.slice(colon + 1), basic: value };
}

/**
 * Encodes a name and a password. `undefined` = the name contains a colon, so decoding would return another
 * name.
 */
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
