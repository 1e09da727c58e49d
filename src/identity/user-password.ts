// Checks a password against the hash in a `_users` document. It is used when the user cache of CouchDB may be
// outdated.
import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/**
 * Hash functions by the value of `pbkdf2_prf`. Documents from before CouchDB 3.4 lack the field and use
 * SHA-1.
 */
const DIGESTS: Readonly<Record<string, string>> = {
  sha: 'sha1',
  sha224: 'sha224',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
};

/**
 * True if the password matches the document; false also for an unreadable document. It takes up to a third of
 * a second, as in CouchDB, outside the event loop.
 * Source: docs.couchdb.org/en/stable/intro/security.html#users-documents
 */
export async function isPasswordOf(
  document: Readonly<Record<string, unknown>>,
  password: string,
): Promise<boolean> {
  const {
    password_scheme: scheme,
    salt,
    derived_key: derived,
    iterations,
    pbkdf2_prf: prf = 'sha',
  } = document;
  if (typeof salt !== 'string') return false;
  if (scheme === 'simple') {
    return isSame(
      document['password_sha'],
      createHash('sha1')
        .update(password + salt)
        .digest('hex'),
    );
  }
  const digest = DIGESTS[String(prf)];
  if (scheme !== 'pbkdf2' || digest === undefined || typeof derived !== 'string') return false;
  if (typeof iterations !== 'number' || !Number.isSafeInteger(iterations) || iterations < 1) return false;
  const key = await derive(password, salt, iterations, Math.max(1, derived.length / 2), digest);
  return isSame(derived, key.toString('hex'));
}

function isSame(expected: unknown, found: string): boolean {
  if (typeof expected !== 'string') return false;
  const a = Buffer.from(expected);
  const b = Buffer.from(found);
  return a.length === b.length && timingSafeEqual(a, b);
}
