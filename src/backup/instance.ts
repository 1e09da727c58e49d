// The instance section of a backup: what belongs to the whole instance and holds credentials. Its documents
// are snapshots of the databases of Couchgate and CouchDB. One record names those of a run, with the files.
import { randomBytes } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ownDatabases } from '../catalogue/database-name.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { backupDatabase, type BackupContext, type SecondCluster } from './backup-database.ts';
import { sentenceOf, warnOfFuture } from './backup-databases.ts';
import { BackupError, Cancelled, Damaged, fileFailure, RepositoryLocked } from './errors.ts';
import { OwnDatabase } from './failure.ts';
import { requireNewestKnown, timeStamp } from './future.ts';
import { type Lock } from './lock.ts';
import { type Repository } from './repository.ts';
import { lackOf, readBox, writeRecord, type Snapshot } from './snapshot.ts';
import { fieldsIn, isListOf, isText, isTime } from './snapshot-shape.ts';
import { NoDatabase } from './source.ts';

/** The databases of CouchDB that hold credentials. */
export const USERS = '_users';
export const REPLICATOR = '_replicator';

/** Files of the configuration that decide who may connect. */
const FILES = ['ip-whitelist.yaml', 'cors.yaml'] as const;

export interface InstanceFile {
  readonly name: string;
  readonly text: string;
}

export interface InstanceSection {
  readonly format: 1;
  readonly id: string;
  readonly started: string;
  readonly finished: string;
  /** False if a database or a file could not be read completely; `problems` says which. */
  readonly complete: boolean;
  /** Name of the store database. */
  readonly store: string;
  /** Names that the store had before, as earlier sections say: those may be forgotten. */
  readonly former_stores?: readonly string[];
  /** Ids of the snapshots by database. A database that did not exist has none. */
  readonly snapshots: Readonly<Record<string, string>>;
  readonly files: readonly InstanceFile[];
  readonly problems: readonly string[];
}

const SECTION_ID = /^\d{8}T\d{9}Z-instance-[0-9a-f]{6}$/;

/** The databases of an instance section: the store, the history of permissions, users, replication jobs. */
export function instanceDatabases(store: string): readonly string[] {
  return [...ownDatabases(store), USERS, REPLICATOR];
}

/** Throws a BackupError for a repository that anybody can read. */
export function requireEncryption({ cipher }: Repository): void {
  if (cipher === undefined)
    throw new BackupError(
      'The instance section holds credentials; it is backed up into an encrypted repository only (backup_key_file).',
    );
}

/**
 * Makes snapshots of the databases of the instance and writes the record, last. What cannot be read makes it
 * incomplete. Throws as `requireEncryption`; `Cancelled`, `RepositoryLocked`.
 */
export async function backupInstance(
  context: BackupContext,
  options: { readonly store: string; readonly configFolder: string },
): Promise<InstanceSection> {
  const { repository, lock, onEvent } = context;
  requireEncryption(repository);
  const started = new Date();
  const snapshots: Record<string, string> = {};
  const problems: string[] = [];
  for (const database of instanceDatabases(options.store)) {
    const snapshot = await snapshotOrReason(context, database);
    if (typeof snapshot === 'string') {
      onEvent({ type: 'problem', database, reason: snapshot });
      problems.push(`${database}: ${snapshot}`);
    } else if (snapshot !== undefined) {
      snapshots[database] = snapshot.id;
      if (!snapshot.complete) problems.push(`${database}: without ${lackOf(snapshot)}`);
    }
  }
  const files: InstanceFile[] = [];
  for (const name of FILES) {
    try {
      const text = await readIfThere(join(options.configFolder, name));
      if (text !== undefined) files.push({ name, text });
    } catch (error) {
      problems.push(sentenceOf(error));
    }
  }
  const section: InstanceSection = {
    format: 1,
    id: `${timeStamp(started)}-instance-${randomBytes(3).toString('hex')}`,
    started: started.toISOString(),
    finished: new Date().toISOString(),
    complete: problems.length === 0,
    store: options.store,
    former_stores: (await storeNames(repository, options.store)).filter((name) => name !== options.store),
    snapshots,
    files,
    problems,
  };
  await lock.check();
  await writeRecord(repository, 'instance', section.id, 'instance', section, isSection);
  return section;
}

/** Undefined if there is no such database; the reason if it cannot be read. */
async function snapshotOrReason(
  context: BackupContext,
  database: string,
): Promise<Snapshot | string | undefined> {
  if (context.signal?.aborted === true) throw new Cancelled('The backup was cancelled.');
  try {
    const snapshot = await backupDatabase(context, database);
    await warnOfFuture(context, database);
    return snapshot;
  } catch (error) {
    if (error instanceof NoDatabase) return undefined;
    if (error instanceof Cancelled || error instanceof RepositoryLocked) throw error;
    return sentenceOf(error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileFailure(error, `Reading ${path}`);
  }
}

function isSection(value: unknown): value is InstanceSection {
  const { format, id, started, finished, complete, store, former_stores: former = [] } = fieldsIn(value);
  const { snapshots, files, problems } = fieldsIn(value);
  return (
    format === 1 &&
    isText(id) &&
    isTime(started) &&
    isTime(finished) &&
    typeof complete === 'boolean' &&
    isText(store) &&
    [former, problems].every((list) => Array.isArray(list) && list.every(isText)) &&
    Object.values(fieldsIn(snapshots)).every(isText) &&
    isListOf(files, ({ name, text }) => isText(name) && isText(text))
  );
}

/** Reads all instance sections, oldest first. Throws `Damaged`. */
export async function listInstances(repository: Repository): Promise<readonly InstanceSection[]> {
  const names = (await repository.list('instance')).filter((name) => SECTION_ID.test(name)).sort();
  const sections: InstanceSection[] = [];
  for (const name of names) {
    const section = await readBox(repository, 'instance', name, 'instance', isSection);
    // The id becomes a path when the section is removed.
    if (section.id !== name)
      throw new Damaged(`The repository is damaged: instance section ${name} holds another one.`);
    sections.push(section);
  }
  return sections;
}

/**
 * The name of the store today, and those that it has or had according to a section: `store_database` may have
 * changed, and the sections of that time may be forgotten.
 */
export async function storeNames(repository: Repository, store: string): Promise<readonly string[]> {
  const sections = await listInstances(repository);
  const known = sections.flatMap((section) => [section.store, ...(section.former_stores ?? [])]);
  return [...new Set([store, ...known])];
}

/** Couchgate's own databases, also by the names that the store had before. */
export async function ownNames(repository: Repository, store: string): Promise<readonly string[]> {
  return (await storeNames(repository, store)).flatMap(ownDatabases);
}

/** Throws `OwnDatabase` for one of Couchgate's own databases (H34). */
export async function refuseOwnNames(repository: Repository, store: string, database: string): Promise<void> {
  if ((await ownNames(repository, store)).includes(database))
    throw new OwnDatabase(
      'This database has the credentials of Couchgate; use the commands couchgate restore and verify.',
    );
}

/** The second cluster with what it never gets, which is read once. */
export function secondCluster(
  repository: Repository,
  couch: CouchTransfer | undefined,
  store: string,
): SecondCluster | undefined {
  if (couch === undefined) return undefined;
  let names: Promise<readonly string[]> | undefined;
  const withheld = (): Promise<readonly string[]> => (names ??= ownNames(repository, store));
  return { couch, withheld };
}

/**
 * Finds a section by a beginning of its id, the newest one at or before a time, or the newest one. Throws a
 * BackupError if there is none, and if the newest one is not known.
 */
export async function chooseInstance(
  repository: Repository,
  { id = '', time }: { readonly id?: string | undefined; readonly time?: Date | undefined },
): Promise<InstanceSection> {
  const all = await listInstances(repository);
  if (id === '' && time === undefined) requireNewestKnown(all, 'Instance section');
  const found = all.filter(
    (one) => one.id.startsWith(id) && (time === undefined || Date.parse(one.started) <= time.getTime()),
  );
  if (id !== '' && found.length > 1)
    throw new BackupError(`${found.length} instance sections begin with ${id}; write more of the id.`);
  const last = found.at(-1);
  if (last === undefined)
    throw new BackupError(
      'The repository has no such instance section; couchgate backup --instance makes one.',
    );
  return last;
}

/** Removes the records of these sections. Their snapshots are removed by `removeSnapshots`. */
export async function removeInstances(
  repository: Repository,
  lock: Lock,
  sections: readonly InstanceSection[],
): Promise<void> {
  for (const { id } of sections) {
    await lock.check();
    await rm(join(repository.folder, 'instance', id), { force: true });
  }
}
