// Makes names and passwords of API keys, and digests a password. Where the digests are kept is the key store's business.
import { hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

const CONSONANTS = 'bcdfghjklmnprstvwxz';
const VOWELS = 'aeiou';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LENGTH = 24;

/** A password as it is kept. */
export interface Digest {
  /** 32 hexadecimal digits; names the password as well, since no two have the same. */
  readonly salt: string;
  /** SHA-256 of the salt's digits followed by the password. */
  readonly digest: Buffer;
  /** Milliseconds since the epoch; Infinity = without end. */
  readonly until: number;
}

/** Twelve syllables of two letters, 78 bits: the form of Cloudant's own key names, which clients and people recognise. */
export function makeKeyName(): string {
  let name = '';
  for (let i = 0; i < LENGTH / 2; i += 1) name += pick(CONSONANTS) + pick(VOWELS);
  return name;
}

/** 24 characters of letters and digits, 142 bits: no dictionary reaches it, so its digest needs no slow hash. */
export function makePassword(): string {
  let password = '';
  for (let i = 0; i < LENGTH; i += 1) password += pick(ALPHABET);
  return password;
}

/** True for names that makeKeyName could have made. Every other name is no key's, without asking anybody. */
export function isKeyShaped(name: string): boolean {
  if (name.length !== LENGTH) return false;
  for (let i = 0; i < LENGTH; i += 1) {
    const code = name.charCodeAt(i);
    if (code < 97 || code > 122) return false;
  }
  return true;
}

export function digestPassword(password: string, until = Infinity): Digest {
  const salt = randomBytes(16).toString('hex');
  return { salt, digest: sha256(salt, password), until };
}

const DUMMY: readonly Digest[] = [digestPassword(makePassword())];

/**
 * The digest of this password, time limits aside. Every digest is compared, and a dummy where there is none,
 * so that the time taken does not tell a key's name from another (H12; pinned by test/hostile/h12-key-passwords.test.ts).
 */
export function matchPassword(digests: readonly Digest[], password: string): Digest | undefined {
  let match: Digest | undefined;
  for (const candidate of digests.length > 0 ? digests : DUMMY) {
    if (timingSafeEqual(candidate.digest, sha256(candidate.salt, password))) match = candidate;
  }
  return digests.length > 0 ? match : undefined;
}

function sha256(salt: string, password: string): Buffer {
  return hash('sha256', salt + password, 'buffer');
}

function pick(letters: string): string {
  return letters.charAt(randomInt(letters.length));
}
