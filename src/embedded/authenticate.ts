// Finds out who asks: a bearer token, then a session cookie, then Basic credentials, as the handlers of CouchDB are ordered for Couchgate.
import { createHash, timingSafeEqual } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { BadRequest, Unauthorized } from '../http-errors.ts';
import { type Databases } from './databases.ts';
import { type Caller } from './exchange.ts';
import { callerOfToken, type JwtKeys } from './jwt.ts';
import { PasswordChecker } from './passwords.ts';
import { type StoredDocument } from './pouch.ts';
import { SessionCookies } from './session-cookie.ts';

export interface Owner {
  readonly name: string;
  readonly password: string;
}

const NOBODY: Caller = { name: null, roles: [], handler: undefined };

export class Authenticator {
  readonly #databases: Databases;
  readonly #owner: Owner;
  readonly #jwtKeys: JwtKeys;
  readonly #passwords = new PasswordChecker();
  readonly #cookies = new SessionCookies();

  constructor(databases: Databases, owner: Owner, jwtKeys: JwtKeys) {
    this.#databases = databases;
    this.#owner = owner;
    this.#jwtKeys = jwtKeys;
  }

  /** Who asks. Wrong credentials are an error (400 or 401); none at all, or a cookie that is over, are nobody. */
  async caller(req: IncomingMessage): Promise<Caller> {
    const authorization = req.headers.authorization ?? '';
    if (authorization.startsWith('Bearer '))
      return callerOfToken(authorization.slice(7), this.#jwtKeys, Date.now() / 1000);
    const name = this.#cookies.nameIn(req.headers.cookie, Date.now());
    const signedIn = name === undefined ? undefined : await this.#callerNamed(name.name, name.secretDigest);
    if (signedIn !== undefined) return signedIn;
    if (authorization.startsWith('Basic ')) return this.#basic(authorization.slice(6));
    return NOBODY;
  }

  /** The caller with this name and password, or undefined. */
  async logIn(name: string, password: string): Promise<Caller | undefined> {
    if (name === this.#owner.name) {
      return isSame(password, this.#owner.password)
        ? { name, roles: ['_admin'], handler: 'default' }
        : undefined;
    }
    const user = await this.#user(name);
    if (user === undefined || !(await this.#passwords.isRight(user, password))) return undefined;
    return { name, roles: rolesOf(user), handler: 'default' };
  }

  /** A Set-Cookie value for a caller who has just signed in. */
  async cookieFor(name: string): Promise<string> {
    return this.#cookies.issue(name, (await this.#secretDigest(name)) ?? '', Date.now());
  }

  async #basic(encoded: string): Promise<Caller> {
    const token = encoded.trim();
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(token) || token.length % 4 !== 0)
      throw new BadRequest('Authorization header has invalid base64 value');
    const text = Buffer.from(token, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    // CouchDB reads credentials without a colon, and "_:_", as none at all (couch_httpd_auth:basic_name_pw).
    if (colon < 0 || text === '_:_') return NOBODY;
    const caller = await this.logIn(text.slice(0, colon), text.slice(colon + 1));
    if (caller === undefined) throw new Unauthorized('Name or password is incorrect.');
    return caller;
  }

  async #callerNamed(name: string, secretDigest: string): Promise<Caller | undefined> {
    if ((await this.#secretDigest(name)) !== secretDigest) return undefined;
    if (name === this.#owner.name) return { name, roles: ['_admin'], handler: 'cookie' };
    const user = await this.#user(name);
    return user === undefined ? undefined : { name, roles: rolesOf(user), handler: 'cookie' };
  }

  /** Changes with the password, so that a cookie of the old one ends. */
  async #secretDigest(name: string): Promise<string | undefined> {
    const secret =
      name === this.#owner.name ? this.#owner.password : (await this.#user(name))?.['derived_key'];
    return typeof secret === 'string' ? createHash('sha256').update(secret).digest('hex') : undefined;
  }

  async #user(name: string): Promise<StoredDocument | undefined> {
    try {
      return await this.#databases.get('_users').storage.get(`org.couchdb.user:${name}`);
    } catch (error) {
      if ((error as { status?: number }).status === 404) return undefined;
      throw error;
    }
  }
}

function rolesOf(user: StoredDocument): string[] {
  const roles = user['roles'];
  return Array.isArray(roles) ? roles.filter((role): role is string => typeof role === 'string') : [];
}

function isSame(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
