// Hashes and verifies the passwords of `_users` documents with PBKDF2, as CouchDB does.
import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Json } from './json.ts';

const derive = promisify(pbkdf2);
/** CouchDB 3.5 uses 600 000. A lower count keeps tests and evaluation fast. */
const ITERATIONS = 10_000;
const KEY_BYTES = 32;
const MAX_VERIFIED_DIGESTS = 1000;

/** The fields that replace the password in a stored user document. */
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

/** Verifies passwords against user documents. A verified password is cached, so that PBKDF2 runs once. */
export class PasswordChecker {
  readonly #verifiedDigests = new Set<string>();

  /**
   * True if the password matches; false for a document without a hash, or with an unusually expensive one.
   */
  async isCorrect(user: Json, password: string): Promise<boolean> {
    const { salt, iterations, derived_key: derived, pbkdf2_prf: prf } = user;
    if (typeof salt !== 'string' || typeof iterations !== 'number' || typeof derived !== 'string')
      return false;
    const stored = Buffer.from(derived, 'hex');
    const digest = createHash('sha256')
      .update(JSON.stringify([salt, iterations, derived, password]))
      .digest('hex');
    if (this.#verifiedDigests.has(digest)) return true;
    if (iterations < 1 || iterations > 1_000_000 || stored.length === 0 || stored.length > 64) return false;
    const key = await derive(
      password,
      salt,
      Math.floor(iterations),
      stored.length,
      prf === 'sha256' ? 'sha256' : 'sha1',
    );
    if (!timingSafeEqual(key, stored)) return false;
    if (this.#verifiedDigests.size >= MAX_VERIFIED_DIGESTS) this.#verifiedDigests.clear();
    this.#verifiedDigests.add(digest);
    return true;
  }
}
