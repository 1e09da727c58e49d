// Encodes one piece of a repository file: compressed, encrypted if the repository is, with its length before
// it. docs/backup-format.md describes the layout.
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { type RepositoryCipher } from './cipher.ts';
import { Damaged } from './errors.ts';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Flags (1 byte) and length of the payload (4 bytes, big endian). */
export const BOX_HEADER_BYTES = 5;
const GZIP = 1;
const ENCRYPTED = 2;
/** Documents have many repetitions: a low level costs a third of the time and 10 % of the size. */
const LEVEL = 3;
/** A box never holds more than this after decompression: a damaged length must not exhaust the memory. */
const MAX_PLAIN_BYTES = 1024 * 1024 * 1024;

/** What a box is used as. It is authenticated, so that a box cannot stand in the place of another kind. */
export type BoxKind =
  'pack' | 'index' | 'directory' | 'snapshot' | 'partial' | 'verified' | 'instance' | `attachment ${string}`;

/** Encodes `plain`. With `asIs`, it is not compressed. */
export async function sealBox(
  plain: Buffer,
  kind: BoxKind,
  cipher: RepositoryCipher | undefined,
  asIs = false,
): Promise<Buffer> {
  const body = asIs ? plain : await compress(plain, { level: LEVEL, chunkSize: roomFor(plain) });
  const flags = (asIs ? 0 : GZIP) | (cipher === undefined ? 0 : ENCRYPTED);
  const payload = cipher === undefined ? body : cipher.seal(body, additionalData(kind, flags));
  const header = Buffer.alloc(BOX_HEADER_BYTES);
  header.writeUInt8(flags, 0);
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/** Returns the length of the whole box whose header is given. */
export function boxLength(header: Buffer): number {
  if (header.length < BOX_HEADER_BYTES) throw new Damaged('The repository is damaged: a file is truncated.');
  return BOX_HEADER_BYTES + header.readUInt32BE(1);
}

/** Decodes a whole box. `where` names the file in errors. Throws `Damaged`. */
export async function openBox(
  box: Buffer,
  kind: BoxKind,
  cipher: RepositoryCipher | undefined,
  where: string,
): Promise<Buffer> {
  if (box.length < BOX_HEADER_BYTES || boxLength(box) !== box.length)
    throw new Damaged(`The repository is damaged: ${where} is truncated.`);
  const flags = box.readUInt8(0);
  const payload = box.subarray(BOX_HEADER_BYTES);
  // Without this check, a plain box could replace an encrypted one.
  if ((flags & ENCRYPTED) !== (cipher === undefined ? 0 : ENCRYPTED))
    throw new Damaged(`The repository is damaged: a part of ${where} has the wrong encryption.`);
  const body = cipher === undefined ? payload : cipher.open(payload, additionalData(kind, flags));
  if (body === undefined) throw new Damaged(`The repository is damaged: a part of ${where} was changed.`);
  if ((flags & GZIP) === 0) return body;
  try {
    return await decompress(body, { maxOutputLength: MAX_PLAIN_BYTES });
  } catch {
    throw new Damaged(`The repository is damaged: a part of ${where} cannot be decompressed.`);
  }
}

/** Bytes for a compressed copy: one piece needs one trip to the thread pool, pieces of 16 KiB many. */
function roomFor(plain: Buffer): number {
  return Math.max(1024, plain.length + (plain.length >>> 8) + 64);
}

function additionalData(kind: BoxKind, flags: number): Buffer {
  return Buffer.from(`couchgate-backup 1 ${kind} ${flags}`);
}
