// Hashes and checks the passwords of `_users` documents as CouchDB does: PBKDF2, one costly run a password.
import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Json } from './json.ts';

const derive = promisify(pbkdf2);
/** CouchDB 3.5's own default is 600 000, made cheap by its cache. This node is for tests and a first look. */
const ITERATIONS = 10_000;
const KEY_BYTES = 32;
const REMEMBERED = 1000;

/** The fields that stand for the password in a stored user document. */
export async function hashedPassword(password: string): Promise<Json> {
  const salt = randomBytes(16).toString('hex');
  const key = await derive(password, salt, ITERATIONS, KEY_BYTES, 'sha256');
  return {
    password_scheme: 'pbkdf2',
    pbkdf2_prf: 'sha256',
    salt,
    iterations: ITERATIONS,
    derived_key: key.toString('hex'),
  };
}

/** Checks passwords against user documents; a right one is remembered under a digest, so that a request costs no PBKDF2. */
export class PasswordChecker {
  readonly #known = new Set<string>();

  async isRight(user: Json, password: string): Promise<boolean> {
    const { salt, iterations, derived_key: derived, pbkdf2_prf: prf } = user;
    if (typeof salt !== 'string' || typeof iterations !== 'number' || typeof derived !== 'string')
      return false;
    const stored = Buffer.from(derived, 'hex');
    const digest = createHash('sha256')
      .update(JSON.stringify([salt, iterations, derived, password]))
      .digest('hex');
    if (this.#known.has(digest)) return true;
    if (iterations < 1 || iterations > 1_000_000 || stored.length === 0 || stored.length > 64) return false;
    const key = await derive(
      password,
      salt,
      Math.floor(iterations),
      stored.length,
      prf === 'sha256' ? 'sha256' : 'sha1',
    );
    if (!timingSafeEqual(key, stored)) return false;
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.add(digest);
    return true;
  }
}
