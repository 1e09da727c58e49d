// Writes files of a repository so that a crash leaves either the whole file or none.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Damaged, fileFailure } from './errors.ts';

/** Creates a temporary file in `folder`/tmp that `publish` moves to its place. */
export async function openDraft(folder: string): Promise<Draft> {
  const path = join(folder, 'tmp', randomBytes(12).toString('hex'));
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return new Draft(path, await open(path, 'wx', 0o600));
  } catch (error) {
    throw fileFailure(error, 'Writing to the repository');
  }
}

/** A file that nobody sees before it is complete and on disk. */
export class Draft {
  readonly #path: string;
  readonly #handle: FileHandle;
  #bytes = 0;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Bytes that were written. */
  get bytes(): number {
    return this.#bytes;
  }

  async write(bytes: Buffer): Promise<void> {
    try {
      await this.#handle.appendFile(bytes);
      this.#bytes += bytes.length;
    } catch (error) {
      throw fileFailure(error, 'Writing to the repository');
    }
  }

  /** Syncs the file, moves it to `target`, and syncs the folder. An existing file is replaced. */
  async publish(target: string): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      await rename(this.#path, target);
      await syncFolder(dirname(target));
    } catch (error) {
      throw fileFailure(error, 'Writing to the repository');
    }
  }

  /**
   * Puts the file in place unless another one is there; false then. `content` is what it holds. The draft
   * stays.
   */
  async publishNew(target: string, content: Buffer): Promise<boolean> {
    try {
      await this.#handle.sync();
      if (!(await placeNew(this.#path, target, content))) return false;
      await syncFolder(dirname(target));
      return true;
    } catch (error) {
      throw fileFailure(error, 'Writing to the repository');
    }
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }
}

/** Writes a whole file atomically. */
export async function writeFileAtomically(folder: string, target: string, bytes: Buffer): Promise<void> {
  const draft = await openDraft(folder);
  try {
    await draft.write(bytes);
    await draft.publish(target);
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

/** Creates a file atomically; false if there is one, which another process may create at the same time. */
export async function createFileAtomically(folder: string, target: string, bytes: Buffer): Promise<boolean> {
  const draft = await openDraft(folder);
  try {
    await draft.write(bytes);
    return await draft.publishNew(target, bytes);
  } finally {
    await draft.discard();
  }
}

/** A file system without hard links. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Links a draft to its place; false if there is a file. Rejects with errors of the file system. */
export async function placeNew(draft: string, target: string, content: string | Buffer): Promise<boolean> {
  try {
    await link(draft, target).catch(async (error: unknown) => {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      await writeFile(target, content, { flag: 'wx', mode: 0o600, flush: true });
    });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** A rename survives a power failure only if the folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A record is far smaller; a hostile one must not fill the memory. */
const MAX_RECORD_BYTES = 256 * 1024 * 1024;

/** Reads a whole file of the repository. A missing one is damage: something refers to it. */
export async function readRepositoryFile(path: string): Promise<Buffer> {
  const bytes = await readFileIfThere(path);
  if (bytes === undefined) throw missing(path);
  return bytes;
}

/** Reads a whole file of the repository; undefined if there is none. Throws as `openContentFile`. */
export async function readFileIfThere(path: string): Promise<Buffer | undefined> {
  const handle = await openRegularFile(path);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    if (size > MAX_RECORD_BYTES) throw new Damaged(`The repository is damaged: ${path} is too large.`);
    return await handle.readFile();
  } catch (error) {
    throw fileFailure(error, `Reading ${path}`);
  } finally {
    await handle.close();
  }
}

/**
 * Opens a file that the repository refers to. Throws `Damaged` if it is missing, and if it is a link or no
 * file: whoever can write to the folder could otherwise let a reader wait at a pipe for ever, or send it to
 * another place (H38).
 */
export async function openContentFile(path: string): Promise<FileHandle> {
  const handle = await openRegularFile(path);
  if (handle === undefined) throw missing(path);
  return handle;
}

function missing(path: string): Damaged {
  return new Damaged(`The repository is damaged: ${path} is missing.`);
}

async function openRegularFile(path: string): Promise<FileHandle | undefined> {
  let handle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ENOTDIR') throw new Damaged(`${dirname(path)} is not a folder.`);
    if (code === 'ELOOP') throw new Damaged(`The repository is damaged: ${path} is a link.`);
    throw fileFailure(error, `Reading ${path}`);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new Damaged(`The repository is damaged: ${path} is not a file.`);
}

/** Reads a part of a file. Throws `Damaged` if the file is shorter. */
export async function readPart(
  handle: FileHandle,
  path: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const damaged = new Damaged(`The repository is damaged: ${path} is truncated.`);
  // Before the memory for it is taken: the length may come from a hostile index.
  if (offset + length > (await handle.stat()).size) throw damaged;
  const bytes = Buffer.allocUnsafe(length);
  const { bytesRead } = await handle.read(bytes, 0, length, offset);
  if (bytesRead < length) throw damaged;
  return bytes;
}

/** Opens a file and reads a part of it. Throws as `openContentFile` and `readPart`. */
export async function readPartOf(path: string, offset: number, length: number): Promise<Buffer> {
  const handle = await openContentFile(path);
  try {
    return await readPart(handle, path, offset, length);
  } finally {
    await handle.close();
  }
}
