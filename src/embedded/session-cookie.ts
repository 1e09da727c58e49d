// Issues and reads AuthSession cookies. They are this process's own: a restart ends them.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { BadRequest } from '../http-errors.ts';

const LIFETIME_SECONDS = 600;

/** The clearing cookie of DELETE /_session. */
export const CLEARED_COOKIE = 'AuthSession=; Version=1; Path=/; HttpOnly';

export class SessionCookies {
  readonly #key = randomBytes(32);

  /** A Set-Cookie value. `secretDigest` changes with the password. */
  issue(name: string, secretDigest: string, nowMs: number): string {
    const expires = nowMs + LIFETIME_SECONDS * 1000;
    const payload = Buffer.from(JSON.stringify([name, secretDigest, expires])).toString('base64url');
    const when = new Date(expires).toUTCString().replaceAll(/(\d\d) (\w{3}) (\d{4})/g, '$1-$2-$3');
    return `AuthSession=${payload}.${this.#sign(payload)}; Version=1; Expires=${when}; Max-Age=${LIFETIME_SECONDS}; Path=/; HttpOnly`;
  }

  /** Whom a cookie names; undefined when there is none, or it is over or forged. Throws CouchDB's 400 for one of another form. */
  nameIn(header: string | undefined, nowMs: number): { name: string; secretDigest: string } | undefined {
    const value = header
      ?.split(';')
      .map((pair) => pair.trim())
      .find((pair) => pair.startsWith('AuthSession='))
      ?.slice('AuthSession='.length);
    if (value === undefined || value === '') return undefined;
    const [payload, signature, rest] = value.split('.');
    if (payload === undefined || signature === undefined || rest !== undefined || !/^[\w-]+$/.test(payload))
      throw new BadRequest('Malformed AuthSession cookie. Please clear your cookies.');
    const expected = Buffer.from(this.#sign(payload));
    const given = Buffer.from(signature);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const [name, secretDigest, expires] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [
      string,
      string,
      number,
    ];
    return expires > nowMs ? { name, secretDigest } : undefined;
  }

  #sign(payload: string): string {
    return createHmac('sha256', this.#key).update(payload).digest('base64url');
  }
}
