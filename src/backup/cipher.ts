// Encrypts and decrypts the pieces of a repository, and protects its data key by a key file or a passphrase.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  scrypt,
  type ScryptOptions,
} from 'node:crypto';
import { promisify } from 'node:util';
import { WrongKey } from './errors.ts';

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** OWASP's recommendation for scrypt, with 64 MiB of memory. */
const SCRYPT = { N: 2 ** 16, r: 8, p: 2 } as const;
/** A hostile repository must not take gigabytes (128 × N × r bytes) or hours. */
const MAX_SCRYPT_BYTES = 512 * 1024 * 1024;
const MAX_SCRYPT_P = 16;
export const MIN_KEY_FILE_BYTES = 32;
export const MIN_PASSPHRASE_CHARACTERS = 12;

/** What the operator holds: the content of a key file, or a passphrase. */
export type BackupSecret =
  | { readonly type: 'key-file'; readonly bytes: Buffer }
  | { readonly type: 'passphrase'; readonly text: string };

/** The part of the repository's configuration that describes its encryption. All binary values are base64. */
export interface EncryptionHeader {
  readonly cipher: 'aes-256-gcm';
  readonly key: 'key-file' | 'passphrase';
  readonly salt: string;
  /** For a passphrase. */
  readonly scrypt?: { readonly N: number; readonly r: number; readonly p: number };
  /** The data key, encrypted by the key of the operator: nonce, ciphertext, tag. */
  readonly wrapped: string;
}

/** AES-256-GCM with a random nonce for each piece. */
export class RepositoryCipher {
  readonly #key: Buffer;
  readonly #nameKey: Buffer;

  constructor(dataKey: Buffer) {
    this.#key = Buffer.from(hkdfSync('sha256', dataKey, '', 'couchgate-backup data', KEY_BYTES));
    this.#nameKey = Buffer.from(hkdfSync('sha256', dataKey, '', 'couchgate-backup names', KEY_BYTES));
  }

  seal(plain: Buffer, additionalData: Buffer): Buffer {
    return seal(this.#key, plain, additionalData);
  }

  /** Undefined if the piece was changed or is another one. */
  open(sealed: Buffer, additionalData: Buffer): Buffer | undefined {
    return open(this.#key, sealed, additionalData);
  }

  /** A file name that tells nothing about `content`. */
  nameOf(content: string): string {
    return createHmac('sha256', this.#nameKey).update(content).digest('hex');
  }
}

/** Creates the encryption of a new repository. */
export async function createEncryption(
  secret: BackupSecret,
): Promise<{ readonly header: EncryptionHeader; readonly cipher: RepositoryCipher }> {
  if (secret.type === 'key-file' && secret.bytes.length < MIN_KEY_FILE_BYTES)
    throw new WrongKey(
      `The key file has fewer than ${MIN_KEY_FILE_BYTES} bytes; create one with: openssl rand -base64 48 > FILE`,
    );
  if (secret.type === 'passphrase' && Array.from(secret.text).length < MIN_PASSPHRASE_CHARACTERS)
    throw new WrongKey(`The passphrase has fewer than ${MIN_PASSPHRASE_CHARACTERS} characters.`);
  const salt = randomBytes(16);
  const dataKey = randomBytes(KEY_BYTES);
  const key = await operatorKey(secret, salt, SCRYPT);
  const wrapped = seal(key, dataKey, WRAP);
  const common = { cipher: 'aes-256-gcm', key: secret.type, salt: salt.toString('base64') } as const;
  const header = {
    ...common,
    ...(secret.type === 'passphrase' ? { scrypt: SCRYPT } : {}),
    wrapped: wrapped.toString('base64'),
  };
  return { header, cipher: new RepositoryCipher(dataKey) };
}

/** Opens the encryption of an existing repository. Throws `WrongKey`. */
export async function openEncryption(
  header: EncryptionHeader,
  secret: BackupSecret | undefined,
): Promise<RepositoryCipher> {
  if (secret?.type !== header.key)
    throw new WrongKey(
      header.key === 'passphrase'
        ? 'The repository is encrypted with a passphrase; set backup_passphrase_file.'
        : 'The repository is encrypted with a key file; set backup_key_file.',
    );
  const parameters = header.scrypt ?? SCRYPT;
  const { N, r, p } = parameters;
  const isPossible =
    [N, r, p].every((one) => Number.isSafeInteger(one) && one > 0) && Number.isInteger(Math.log2(N));
  if (!isPossible || 128 * N * r > MAX_SCRYPT_BYTES || p > MAX_SCRYPT_P)
    throw new WrongKey('The repository asks for more memory for its passphrase than Couchgate allows.');
  const key = await operatorKey(secret, Buffer.from(header.salt, 'base64'), parameters);
  const dataKey = open(key, Buffer.from(header.wrapped, 'base64'), WRAP);
  if (dataKey === undefined)
    throw new WrongKey(
      `The ${header.key === 'passphrase' ? 'passphrase' : 'key file'} is not the one of this repository.`,
    );
  return new RepositoryCipher(dataKey);
}

const WRAP = Buffer.from('couchgate-backup 1 key');

async function operatorKey(
  secret: BackupSecret,
  salt: Buffer,
  parameters: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  if (secret.type === 'key-file')
    return Buffer.from(hkdfSync('sha256', secret.bytes, salt, 'couchgate-backup key file', KEY_BYTES));
  const { N, r, p } = parameters;
  return derive(secret.text.normalize('NFC'), salt, KEY_BYTES, { N, r, p, maxmem: 256 * N * r });
}

function seal(key: Buffer, plain: Buffer, additionalData: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(additionalData);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function open(key: Buffer, sealed: Buffer, additionalData: Buffer): Buffer | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  })
    .setAAD(additionalData)
    .setAuthTag(sealed.subarray(end));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
  } catch {
    return undefined;
  }
}
