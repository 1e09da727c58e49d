// Writes files of a repository so that a crash leaves either the whole file or none.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
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

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async write(bytes: Buffer): Promise<void> {
    try {
      await this.#handle.appendFile(bytes);
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

/** A rename survives a power failure only if the folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Reads a whole file of the repository. A missing one is damage: something refers to it. */
export async function readRepositoryFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Damaged(`The repository is damaged: ${path} is missing.`);
    throw fileFailure(error, `Reading ${path}`);
  }
}
