// Reads and creates files with one secret, and judges its strength. No process ever reads a part of one:
// H40.1.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Thrown for a file that is empty or was cut; the message names the file and the fix. */
export class IncompleteSecret extends Error {}

/** Characters. Every secret that Couchgate creates has more. */
const MIN_LENGTH = 16;

/**
 * Returns the secret in the file; `undefined` = no such file. Throws an IncompleteSecret if it has fewer than
 * `minLength` characters: a full disk or a power cut can leave a file without its content.
 */
export function readSecret(path: string, minLength = MIN_LENGTH): string | undefined {
  let secret: string;
  try {
    secret = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  // A power cut can leave a file of its length, but without its content.
  if (secret.length >= minLength && !secret.includes('\0')) return secret;
  throw new IncompleteSecret(
    `The secret in ${path} is too short or damaged. Remove the file; Couchgate then creates a new one.`,
  );
}

/** Returns the secret in the file, and whether this call created it. */
export function keepSecret(
  path: string,
  make: () => string,
  minLength = MIN_LENGTH,
): { readonly secret: string; readonly isNew: boolean } {
  // First, so that a full or read-only disk does not matter to a process that only reads.
  const there = readSecret(path, minLength);
  if (there !== undefined) return { secret: there, isNew: false };
  const made = make();
  if (createSecret(path, made)) return { secret: made, isNew: true };
  const other = readSecret(path, minLength);
  if (other === undefined) throw new IncompleteSecret(`${path} was removed while it was read.`);
  return { secret: other, isNew: false };
}

/**
 * Creates a secret file in one step: writes a draft, then links it to `path`. The link fails if the file
 * exists: a secret may be in use and is never overwritten. Two processes that start at the same time use the
 * same secret. Returns true if this call created the file.
 */
function createSecret(path: string, secret: string): boolean {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(draft, `${secret}\n`, { flag: 'wx', mode: 0o600, flush: true });
    linkSync(draft, path);
    syncFolder(dirname(path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A link survives a power cut only if the folder is synced. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes; 128 bits resist brute force. */
export const MIN_SECRET_BYTES = 16;

/** True if the secret is not Base64 or has fewer than `bytes` bytes. */
export function isWeakSecret(secret: string, bytes = MIN_SECRET_BYTES): boolean {
  return !/^[A-Za-z0-9+/]+={0,2}$/.test(secret) || Buffer.from(secret, 'base64').length < bytes;
}
