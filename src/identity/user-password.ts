// Checks a password against the hash that CouchDB stores. It is used where a cache may be outdated.
import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/**
 * Hash functions by the value of `pbkdf2_prf`. Documents from before CouchDB 3.4 lack the field and use
 * SHA-1.
 */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  ['sha', 'sha1'],
  ['sha224', 'sha224'],
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
]);

/** Hexadecimal; SHA-512 has 64 bytes. */
const DERIVED_KEY = /^(?:[\da-f]{2}){1,64}$/;

/** The fields of a `_users` document that hold the hash of its password. */
export type PasswordHash = Readonly<Record<string, unknown>>;

const ADMIN_SIMPLE = /^-hashed-([^,]+),([^,]+)$/;
const ADMIN_PBKDF2 = /^-pbkdf2(?::(\w+))?-([^,]+),([^,]+),(\d+)$/;

/**
 * Converts the hash of a server admin to the form of a `_users` document, as CouchDB does. `undefined` = not
 * a hash that CouchDB reads.
 * Source: couch_auth_cache.erl, get_admin.
 */
export function adminHash(stored: unknown): PasswordHash | undefined {
  if (typeof stored !== 'string') return undefined;
  const [, password_sha, simpleSalt] = ADMIN_SIMPLE.exec(stored) ?? [];
  if (password_sha !== undefined) return { password_scheme: 'simple', password_sha, salt: simpleSalt };
  const [, pbkdf2_prf = 'sha', derived_key, salt, iterations] = ADMIN_PBKDF2.exec(stored) ?? [];
  if (derived_key === undefined) return undefined;
  return { password_scheme: 'pbkdf2', pbkdf2_prf, derived_key, salt, iterations: Number(iterations) };
}

/**
 * True if the password has this hash; false also for an unreadable one. It takes up to a third of a second,
 * as in CouchDB, outside the event loop.
 * Source: docs.couchdb.org/en/stable/intro/security.html#users-documents
 */
export async function isPasswordOf(stored: PasswordHash, password: string): Promise<boolean> {
  const { password_scheme: scheme, salt, derived_key: derived, iterations, pbkdf2_prf: prf = 'sha' } = stored;
  if (typeof salt !== 'string') return false;
  if (scheme === 'simple') {
    return isSame(
      stored['password_sha'],
      createHash('sha1')
        .update(password + salt)
        .digest('hex'),
    );
  }
  const digest = DIGESTS.get(String(prf));
  if (scheme !== 'pbkdf2' || digest === undefined) return false;
  if (typeof derived !== 'string' || !DERIVED_KEY.test(derived)) return false;
  if (typeof iterations !== 'number' || !Number.isSafeInteger(iterations) || iterations < 1) return false;
  const key = await derive(password, salt, iterations, derived.length / 2, digest);
  return isSame(derived, key.toString('hex'));
}

function isSame(expected: unknown, found: string): boolean {
  if (typeof expected !== 'string') return false;
  const a = Buffer.from(expected);
  const b = Buffer.from(found);
  return a.length === b.length && timingSafeEqual(a, b);
}
