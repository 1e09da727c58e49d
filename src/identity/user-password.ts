// Checks a password against a `_users` document, as CouchDB hashed it. Only used where CouchDB's own answer may be behind the document.
import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);

/** Names of hash functions in `pbkdf2_prf`; documents older than CouchDB 3.4 have none, and were made with SHA-1. */
const DIGESTS: Readonly<Record<string, string>> = {
  sha: 'sha1',
  sha224: 'sha224',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
};

/**
 * True when the document's password is this one; false for a document that cannot be read as well. Costs what it costs CouchDB: up to a
 * third of a second, off the event loop.
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
