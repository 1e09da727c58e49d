// Authenticates a request: bearer token first, then session cookie, then Basic credentials.
// The order is that of authentication_handlers in config/couchdb/10-couchgate.ini.
import { createHash, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { BadRequest, Unauthorized } from '../http-errors.ts';
import { type Databases } from './databases.ts';
import { isBase64 } from './document-check.ts';
import { type Caller } from './exchange.ts';
import { callerOfToken, type JwtKeys } from './jwt.ts';
import { PasswordChecker } from './passwords.ts';
import { type StoredDocument } from './pouch.ts';
import { readCookie, type SessionCookie, SessionCookies } from './session-cookie.ts';
import { userId } from './users.ts';

/** The server admin of the node. */
export interface Owner {
  readonly name: string;
  readonly password: string;
}

/** PBKDF2 iterations for the password of the server admin. */
const OWNER_ITERATIONS = 10_000;
const ANONYMOUS: Caller = { name: null, roles: [], handler: undefined };

/** Checks credentials against the owner, the `_users` database and the token keys; issues session cookies. */
export class Authenticator {
  readonly #databases: Databases;
  readonly #owner: Owner;
  readonly #jwtKeys: JwtKeys;
  readonly #passwords = new PasswordChecker();
  readonly #cookies = new SessionCookies();
  #ownerHash: string | undefined = undefined;

  constructor(databases: Databases, owner: Owner, jwtKeys: JwtKeys) {
    this.#databases = databases;
    this.#owner = owner;
    this.#jwtKeys = jwtKeys;
  }

  /**
   * The caller of a request. Wrong credentials throw 400 or 401. Without credentials, or with an expired or
   * invalid session cookie, the caller is anonymous.
   */
  async caller(req: IncomingMessage): Promise<Caller> {
    const authorization = req.headers.authorization ?? '';
    if (authorization.startsWith('Bearer '))
      return callerOfToken(authorization.slice(7), this.#jwtKeys, Date.now() / 1000);
    const cookie = readCookie(req.headers.cookie);
    const signedIn = cookie === undefined ? undefined : await this.#callerOfCookie(cookie);
    if (signedIn !== undefined) return signedIn;
    if (authorization.startsWith('Basic ')) return this.#callerOfBasic(authorization.slice(6));
    return ANONYMOUS;
  }

  /**
   * The server admin and its password hash, as CouchDB's configuration reports them.
   * The salt is fixed, so that the hash changes only with the password.
   */
  admins(): Readonly<Record<string, string>> {
    const { name, password } = this.#owner;
    const salt = createHash('sha256').update(`server admin ${name}`).digest('hex');
    this.#ownerHash ??= pbkdf2Sync(password, salt, OWNER_ITERATIONS, 32, 'sha256').toString('hex');
    return { [name]: `-pbkdf2:sha256-${this.#ownerHash},${salt},${OWNER_ITERATIONS}` };
  }

  /** The caller with this name and password; undefined if they are wrong. */
  async logIn(name: string, password: string): Promise<Caller | undefined> {
    if (name === this.#owner.name) {
      return isEqualInConstantTime(password, this.#owner.password)
        ? { name, roles: ['_admin'], handler: 'default' }
        : undefined;
    }
    const user = await this.#user(name);
    if (user === undefined || !(await this.#passwords.isCorrect(user, password))) return undefined;
    return { name, roles: rolesOf(user), handler: 'default' };
  }

  /** The Set-Cookie value that opens a session for this user name. */
  async cookieFor(name: string): Promise<string> {
    return this.#cookies.issue(name, (await this.#cookieSecret(name)) ?? '', Date.now());
  }

  async #callerOfBasic(encoded: string): Promise<Caller> {
    const token = encoded.trim();
    if (!isBase64(token)) throw new BadRequest('Authorization header has invalid base64 value');
    const text = Buffer.from(token, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    // CouchDB ignores credentials without a colon, and "_:_" (couch_httpd_auth:basic_name_pw).
    if (colon < 0 || text === '_:_') return ANONYMOUS;
    const caller = await this.logIn(text.slice(0, colon), text.slice(colon + 1));
    if (caller === undefined) throw new Unauthorized('Name or password is incorrect.');
    return caller;
  }

  async #callerOfCookie(cookie: SessionCookie): Promise<Caller | undefined> {
    const { name } = cookie;
    const secret = await this.#cookieSecret(name);
    if (secret === undefined || !this.#cookies.isValid(cookie, secret, Date.now())) return undefined;
    if (name === this.#owner.name) return { name, roles: ['_admin'], handler: 'cookie' };
    const user = await this.#user(name);
    return user === undefined ? undefined : { name, roles: rolesOf(user), handler: 'cookie' };
  }

  /** The part of the cookie key that changes with the user's password; undefined for an unknown user. */
  async #cookieSecret(name: string): Promise<string | undefined> {
    if (name === this.#owner.name) return this.#owner.password;
    const key = (await this.#user(name))?.['derived_key'];
    return typeof key === 'string' ? key : undefined;
  }

  async #user(name: string): Promise<StoredDocument | undefined> {
    try {
      return await this.#databases.get('_users').storage.get(userId(name));
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

function isEqualInConstantTime(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
