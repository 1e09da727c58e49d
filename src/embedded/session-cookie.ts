// Issues and verifies AuthSession cookies in CouchDB's format: base64url of `name:TIME:` and an HMAC.
// The key is random, so a restart of the process invalidates all cookies.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { BadRequest } from '../http-errors.ts';

const LIFETIME_SECONDS = 600;

/** The Set-Cookie value that removes the session cookie; DELETE /_session sends it. */
export const CLEARED_COOKIE = 'AuthSession=; Version=1; Path=/; HttpOnly';

/** A parsed, not yet verified cookie. */
export interface SessionCookie {
  readonly name: string;
  /** Unix time of issue in seconds, hexadecimal. */
  readonly time: string;
  readonly signature: Buffer;
}

/** Signs and verifies session cookies with one random key per process. */
export class SessionCookies {
  readonly #key = randomBytes(32).toString('hex');

  /** A Set-Cookie value. `secret` changes with the password: a new password invalidates old cookies. */
  issue(name: string, secret: string, nowMs: number): string {
    const time = Math.floor(nowMs / 1000)
      .toString(16)
      .toUpperCase();
    const value = Buffer.concat([Buffer.from(`${name}:${time}:`), this.#sign(name, time, secret)]);
    const expires = new Date(nowMs + LIFETIME_SECONDS * 1000).toUTCString();
    return `AuthSession=${value.toString('base64url')}; Version=1; Expires=${expires}; Max-Age=${LIFETIME_SECONDS}; Path=/; HttpOnly`;
  }

  /** Whether this process issued the cookie, for the user with this secret, and it has not expired. */
  isValid(cookie: SessionCookie, secret: string, nowMs: number): boolean {
    const expected = this.#sign(cookie.name, cookie.time, secret);
    if (cookie.signature.length !== expected.length || !timingSafeEqual(cookie.signature, expected))
      return false;
    return parseInt(cookie.time, 16) + LIFETIME_SECONDS > nowMs / 1000;
  }

  #sign(name: string, time: string, secret: string): Buffer {
    return createHmac('sha256', this.#key + secret)
      .update(`${name}:${time}`)
      .digest();
  }
}

/** The session cookie of a Cookie header; undefined without one. Throws CouchDB's 400 if it is malformed. */
export function readCookie(header: string | undefined): SessionCookie | undefined {
  const value = header
    ?.split(';')
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith('AuthSession='))
    ?.slice('AuthSession='.length);
  if (value === undefined || value === '') return undefined;
  const bytes = Buffer.from(value, 'base64url');
  const first = bytes.indexOf(':');
  const second = first < 0 ? -1 : bytes.indexOf(':', first + 1);
  if (!/^[\w-]+$/.test(value) || second < 0)
    throw new BadRequest('Malformed AuthSession cookie. Please clear your cookies.');
  return {
    name: bytes.toString('utf8', 0, first),
    time: bytes.toString('utf8', first + 1, second),
    signature: bytes.subarray(second + 1),
  };
}
