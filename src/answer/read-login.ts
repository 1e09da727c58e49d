// Reads the body of POST /_session: a form or JSON, with `name` or `username`.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { BadContentType, BadRequest } from '../http-errors.ts';
import { mediaTypeOf } from '../body/decode.ts';
import { type BodyReader } from '../body/read.ts';

export interface Login {
  readonly name: string;
  readonly password: string;
}

/**
 * Limit in bytes: about the maximum of a Basic header. CouchDB accepts 1 MiB. Anonymous clients could then
 * occupy that much memory per connection, and parsing time. Pinned by test/hostile/h12-login-bodies.test.ts.
 */
const LIMIT_BYTES = 16_384;

/** Throws CouchDB's own 400, 413 and 415. Source: couch_httpd_auth.erl, handle_session_req. */
export async function readLogin(
  bodies: BodyReader,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<Login> {
  const type = mediaTypeOf(req);
  if (type === 'application/json') {
    const { name, username, password } = await bodies.jsonObject(req, res, { limitBytes: LIMIT_BYTES });
    return { name: oneName(name, username), password: typeof password === 'string' ? password : '' };
  }
  if (type === 'application/x-www-form-urlencoded') {
    const form = await bodies.form(req, res, { limitBytes: LIMIT_BYTES });
    const one = (field: string): string | undefined => onlyValue(form, field);
    return { name: oneName(one('name'), one('username')), password: one('password') ?? '' };
  }
  throw new BadContentType("Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'");
}

function oneName(name: unknown, username: unknown): string {
  if (typeof name === 'string' && typeof username === 'string' && name !== username) {
    throw new BadRequest('request body contains different usernames');
  }
  const found = name ?? username;
  if (typeof found !== 'string') throw new BadRequest('request body must contain a username');
  return found;
}

/** A repeated field is ambiguous. */
function onlyValue(form: URLSearchParams, field: string): string | undefined {
  const values = form.getAll(field);
  if (values.length > 1) throw new BadRequest(`request body contains ${field} more than once`);
  return values[0];
}
