// Generates names and passwords of API keys, and digests passwords.
import { hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

const CONSONANTS = 'bcdfghjklmnprstvwxz';
const VOWELS = 'aeiou';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LENGTH = 24;

/** Stored digest of a password. */
export interface Digest {
  /** 32 hexadecimal digits. It is unique, so it also identifies the password as its version. */
  readonly salt: string;
  /**
   * SHA-256 of the salt's digits followed by the password, in hexadecimal. As a Buffer, each could keep 8 kB
   * of Node's pool alive, which is a gigabyte for many keys in memory.
   */
  readonly digest: string;
  /** End of validity in milliseconds since the epoch; Infinity = does not expire. */
  readonly until: number;
}

/**
 * Generates a key name: twelve syllables of two letters, 78 bits. Cloudant's key names have the same form,
 * which clients and people recognise.
 */
export function makeKeyName(): string {
  let name = '';
  for (let i = 0; i < LENGTH / 2; i += 1) name += pick(CONSONANTS) + pick(VOWELS);
  return name;
}

/**
 * Generates a password: 24 letters and digits, 142 bits. No dictionary covers that space, so its digest needs
 * no slow hash.
 */
export function makePassword(): string {
  let password = '';
  for (let i = 0; i < LENGTH; i += 1) password += pick(ALPHABET);
  return password;
}

/** True for names with the form of makeKeyName. Any other name cannot be a key's, so no lookup is needed. */
export function isKeyShaped(name: string): boolean {
  if (name.length !== LENGTH) return false;
  for (let i = 0; i < LENGTH; i += 1) {
    const code = name.charCodeAt(i);
    if (code < 97 || code > 122) return false;
  }
  return true;
}

/** Digests a password with a new salt. */
export function digestPassword(password: string, until = Infinity): Digest {
  const salt = randomBytes(16).toString('hex');
  return { salt, digest: sha256(salt, password), until };
}

const DUMMY: readonly Digest[] = [digestPassword(makePassword())];

/**
 * Returns the digest that matches the password; it does not check `until`. It compares every digest, or a
 * dummy if there is none, so that the timing does not reveal key names (H12). Pinned by
 * test/hostile/h12-key-passwords.test.ts.
 */
export function matchPassword(digests: readonly Digest[], password: string): Digest | undefined {
  let match: Digest | undefined;
  for (const candidate of digests.length > 0 ? digests : DUMMY) {
    const given = sha256(candidate.salt, password);
    if (timingSafeEqual(Buffer.from(candidate.digest), Buffer.from(given))) match = candidate;
  }
  return digests.length > 0 ? match : undefined;
}

function sha256(salt: string, password: string): string {
  return hash('sha256', salt + password, 'hex');
}

function pick(letters: string): string {
  return letters.charAt(randomInt(letters.length));
}
