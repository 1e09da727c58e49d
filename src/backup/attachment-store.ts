// Stores the content of attachments, each once, in chunks: an attachment is never in memory as a whole.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { BOX_HEADER_BYTES, boxLength, openBox, sealBox } from './box.ts';
import { Damaged, fileFailure } from './errors.ts';
import { openContentFile, openDraft, readPart } from './files.ts';
import { type Repository } from './repository.ts';

const CHUNK_BYTES = 1024 * 1024;
const PROBE_BYTES = 64 * 1024;
/** Content that does not shrink by this part is stored as it is: most images and archives. */
const WORTH_COMPRESSING = 0.95;

export interface StoredContent {
  readonly sha256: string;
  readonly length: number;
  /** False if the repository had it already. */
  readonly added: boolean;
}

/** Stores the content of a stream. Rejects with the error of the stream. */
export async function storeAttachment(
  repository: Repository,
  content: AsyncIterable<Buffer>,
): Promise<StoredContent> {
  const digest = createHash('sha256');
  const draft = await openDraft(repository.folder);
  let length = 0;
  let number = 0;
  let asIs: boolean | undefined;
  try {
    const write = async (chunk: Buffer, isLast: boolean): Promise<void> => {
      asIs ??= !(await isCompressible(chunk));
      const box = await sealBox(chunk, chunkKind(number, isLast), repository.cipher, asIs);
      number += 1;
      await draft.write(box);
    };
    let pending: Buffer | undefined;
    for await (const chunk of inChunks(content)) {
      digest.update(chunk);
      length += chunk.length;
      if (pending !== undefined) await write(pending, false);
      pending = chunk;
    }
    await write(pending ?? Buffer.alloc(0), true);
    const sha256 = digest.digest('hex');
    const target = repository.pathOf('attachments', repository.attachmentName(sha256));
    if (await exists(target)) {
      await draft.discard();
      return { sha256, length, added: false };
    }
    await draft.publish(target);
    repository.onStored(draft.bytes);
    return { sha256, length, added: true };
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

/** Number of the chunk and whether it is the last: chunks cannot be moved or cut off in an encrypted file. */
function chunkKind(number: number, isLast: boolean): `attachment ${string}` {
  return `attachment ${number} ${isLast ? 'last' : 'more'}`;
}

async function isCompressible(chunk: Buffer): Promise<boolean> {
  const sample = chunk.subarray(0, PROBE_BYTES);
  const sealed = await sealBox(sample, 'pack', undefined);
  return sealed.length < sample.length * WORTH_COMPRESSING;
}

async function* inChunks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const part of content) {
    parts.push(part);
    size += part.length;
    while (size >= CHUNK_BYTES) {
      const joined = Buffer.concat(parts, size);
      yield joined.subarray(0, CHUNK_BYTES);
      // A copy: the rest must not keep the whole joined buffer alive.
      const rest = Buffer.from(joined.subarray(CHUNK_BYTES));
      parts = [rest];
      size = rest.length;
    }
  }
  if (size > 0) yield Buffer.concat(parts, size);
}

/**
 * Reads the content of an attachment. Throws `Damaged` before the end if its SHA-256 is another one: the last
 * chunk is given out after the check.
 */
export async function* readAttachment(repository: Repository, sha256: string): AsyncGenerator<Buffer> {
  const path = repository.pathOf('attachments', repository.attachmentName(sha256));
  const handle = await openContentFile(path);
  const digest = createHash('sha256');
  try {
    const { size } = await handle.stat();
    let number = 0;
    for (let offset = 0; offset < size; number += 1) {
      const header = Buffer.alloc(BOX_HEADER_BYTES);
      await handle.read(header, 0, header.length, offset);
      const length = boxLength(header);
      const box = await readPart(handle, path, offset, length);
      offset += length;
      const chunk = await openBox(box, chunkKind(number, offset >= size), repository.cipher, path);
      digest.update(chunk);
      if (offset >= size && digest.digest('hex') !== sha256)
        throw new Damaged(`The repository is damaged: ${path} does not have the content that was backed up.`);
      yield chunk;
    }
    if (number === 0) throw new Damaged(`The repository is damaged: ${path} is empty.`);
  } finally {
    await handle.close();
  }
}

/** True if the repository has the file of this content. */
export function hasAttachment(repository: Repository, sha256: string): Promise<boolean> {
  return exists(repository.pathOf('attachments', repository.attachmentName(sha256)));
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileFailure(error, `Reading ${path}`);
  }
}
