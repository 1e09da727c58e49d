// Removes from a repository what no snapshot and no unfinished run refers to.
import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Chain } from './chain.ts';
import { fileFailure } from './errors.ts';
import { IndexReader } from './index-file.ts';
import { type Lock } from './lock.ts';
import { whileNobodyReads } from './readers.ts';
import { isContentName, type ContentFolder, type Repository } from './repository.ts';
import { listPartials, listSnapshots } from './snapshot.ts';

export interface PruneOutcome {
  readonly files: number;
  readonly bytes: number;
}

interface Needed {
  readonly index: Set<string>;
  readonly packs: Set<string>;
  readonly attachments: Set<string>;
}

/**
 * Runs `before`, which removes snapshots, then removes packs, index files and attachments that nothing needs.
 * A pack stays while one of its documents is needed. If a snapshot cannot be read, no data are removed: what
 * it needs is not known. Throws `RepositoryInUse`, before anything is removed, while a restore reads data.
 */
export async function prune(
  repository: Repository,
  lock: Lock,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<PruneOutcome> {
  return whileNobodyReads(repository, 'forget --prune', async () => {
    await before();
    return removeUnused(repository, lock);
  });
}

async function removeUnused(repository: Repository, lock: Lock): Promise<PruneOutcome> {
  const needed = await whatIsNeeded(repository);
  let files = 0;
  let bytes = 0;
  const remove = async (path: string): Promise<void> => {
    const { size } = await lstat(path);
    await lock.check();
    await rm(path, { force: true });
    files += 1;
    bytes += size;
  };
  try {
    // The index first: a crash must not leave an index file whose packs are gone.
    for (const folder of ['index', 'packs', 'attachments'] as const)
      for await (const name of contentFiles(repository, folder))
        if (!needed[folder].has(name)) await remove(repository.pathOf(folder, name));
    // This process holds the lock, so nobody writes a draft.
    for (const name of await repository.list('tmp'))
      if (DRAFT.test(name)) await remove(join(repository.folder, 'tmp', name));
  } catch (error) {
    throw fileFailure(error, 'Removing unused files');
  }
  return { files, bytes };
}

async function whatIsNeeded(repository: Repository): Promise<Needed> {
  const needed: Needed = { index: new Set(), packs: new Set(), attachments: new Set() };
  for (const { index } of [...(await listSnapshots(repository)), ...(await listPartials(repository))])
    for (const { name } of index) needed.index.add(name);
  for (const name of needed.index) {
    const reader = await IndexReader.open(repository, name, true);
    for (const pack of reader.packs) needed.packs.add(pack);
    for await (const { leaves } of new Chain([reader]).entries())
      for (const { attachments } of leaves)
        for (const { sha256 } of attachments) needed.attachments.add(repository.attachmentName(sha256));
  }
  return needed;
}

/** Only files that Couchgate made: those of others are not its to remove. */
async function* contentFiles(repository: Repository, folder: ContentFolder): AsyncGenerator<string> {
  for (const part of await repository.list(folder))
    if (/^[0-9a-f]{2}$/.test(part))
      for (const name of await repository.list(join(folder, part)))
        if (isContentName(name) && name.startsWith(part)) yield name;
}

/** Names of `openDraft`, and of the drafts of a lock. */
const DRAFT = /^(?:[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
