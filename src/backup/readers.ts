// Keeps the removal of data away from whoever reads them: a restore announces that it reads a repository, and
// a removal of data announces itself. Each looks for the other after it has announced itself.
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileFailure, RepositoryLocked } from './errors.ts';
import { announce, liveRecordAt, type Announcement } from './lock.ts';
import { type Repository } from './repository.ts';

/** Data are not removed now: a restore needs them. */
export class RepositoryInUse extends RepositoryLocked {}

const READERS = 'readers';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM']);
const NOTHING: Announcement = { release: () => Promise.resolve() };

/**
 * Announces that this process reads the repository, until the result is released. Throws `RepositoryLocked`
 * while data are removed. A repository that cannot be written is read without it: a backup on a read-only
 * disk must stay usable, and no data are removed there.
 */
export async function openReader(repository: Repository, command: string): Promise<Announcement> {
  const path = join(repository.folder, READERS, randomUUID());
  let reader: Announcement;
  try {
    reader = await announce(repository, path, command);
  } catch (error) {
    if (READ_ONLY.has((error as NodeJS.ErrnoException).code ?? '')) return NOTHING;
    throw fileFailure(error, 'Writing to the repository');
  }
  const remover = await liveRecordAt(removalPath(repository));
  if (remover === undefined) return reader;
  await reader.release();
  throw new RepositoryLocked(
    `${remover.command} (process ${remover.pid} on ${remover.host}) removes data of the repository since ${remover.since}; try again when it has ended.`,
  );
}

/** Runs `work` as a reader. Throws as `openReader`. */
export async function whileReading<T>(
  repository: Repository,
  command: string,
  work: () => Promise<T>,
): Promise<T> {
  const reader = await openReader(repository, command);
  try {
    return await work();
  } finally {
    await reader.release();
  }
}

/** Runs `work`, which removes data. Throws `RepositoryInUse` if somebody reads them. Needs the lock. */
export async function whileNobodyReads<T>(
  repository: Repository,
  command: string,
  work: () => Promise<T>,
): Promise<T> {
  const removal = await announce(repository, removalPath(repository), command);
  try {
    for (const name of await repository.list(READERS)) {
      // Other files are not Couchgate's to remove (H38).
      if (!UUID.test(name)) continue;
      const path = join(repository.folder, READERS, name);
      const reader = await liveRecordAt(path);
      if (reader !== undefined)
        throw new RepositoryInUse(
          `${reader.command} (process ${reader.pid} on ${reader.host}) reads the repository since ${reader.since}; no data were removed.`,
        );
      await rm(path, { force: true });
    }
    return await work();
  } finally {
    await removal.release();
  }
}

function removalPath({ folder }: Repository): string {
  return join(folder, 'removal');
}
