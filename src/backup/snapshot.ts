// Writes, reads and lists snapshots: one manifest for each backup of a database, written last.
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeJson } from '../json/exact-numbers.ts';
import { parseStored } from '../json/parse.ts';
import { openBox, sealBox } from './box.ts';
import { BackupError, Damaged } from './errors.ts';
import { readRepositoryFile, writeFileAtomically } from './files.ts';
import { futureFirst, requireNewestKnown, timeStamp } from './future.ts';
import { type IndexRef } from './index-file.ts';
import { problemCount, type KnownProblems } from './problem-list.ts';
import { type PurgeState } from './purge-counts.ts';
import { type Repository } from './repository.ts';
import { isPartialRun, isSnapshot, isVerification } from './snapshot-shape.ts';

/** Properties with which a restored database is created. */
export interface DatabaseProperties {
  readonly q: number;
  readonly n: number;
  readonly partitioned: boolean;
  readonly revs_limit: number;
  readonly purged_infos_limit: number;
}

export interface SnapshotCounts {
  /** Documents with at least one leaf that is not deleted. */
  readonly documents: number;
  /** Documents with deleted leaves only. */
  readonly deleted: number;
  readonly leaves: number;
  readonly attachments: number;
}

/** The state of the database up to which a chain is complete. */
export interface ChainState extends PurgeState, KnownProblems {
  readonly database: string;
  /** Creation time of the database; another one means that it was deleted and made again. */
  readonly instance_start_time: string;
  readonly since: string;
  /**
   * A sequence with every copy of every range that was read, where a range has several. Absent in snapshots
   * of older versions.
   */
  readonly copies?: string;
  /** Newest first. */
  readonly index: readonly IndexRef[];
}

export interface Snapshot extends ChainState {
  readonly format: 1;
  readonly id: string;
  /**
   * The snapshot holds everything that was written before `started`, and nothing written after `finished`.
   */
  readonly started: string;
  readonly finished: string;
  /** True if every document was read; false if those changed since `parent`. */
  readonly full: boolean;
  readonly parent: string | null;
  /** False if something could not be read: `problems`, or more than half of the copies of a range. */
  readonly complete: boolean;
  /** The copies that could not be read, `node first-last`; absent if there are none. */
  readonly unread?: readonly string[];
  readonly properties: DatabaseProperties;
  readonly security: unknown;
  readonly counts: SnapshotCounts;
  /**
   * Bytes of the packs, index files and attachments that the run put into the repository. Absent in snapshots
   * of older versions.
   */
  readonly added_bytes?: number;
}

/** Names what a snapshot lacks: `3 documents, the copies on NODE`. Empty if it lacks nothing. */
export function lackOf(snapshot: Pick<Snapshot, 'problems' | 'more_problems' | 'unread'>): string {
  const { unread = [] } = snapshot;
  const count = problemCount(snapshot);
  const documents = count === 0 ? [] : [`${count} documents`];
  const copies = unread.length === 0 ? [] : [`the copies on ${nodesOf(unread)}`];
  return [...documents, ...copies].join(', ');
}

/** The nodes of copies, `node first-last`. */
export function nodesOf(copies: readonly string[]): string {
  return [...new Set(copies.map((copy) => copy.split(' ', 1)[0]))].join(', ');
}

/** The state of a run that has not ended. */
export interface PartialRun extends ChainState {
  readonly format: 1;
  readonly parent: string | null;
  readonly started: string;
  /** Bytes that it has put into the repository; absent if an older version began it. */
  readonly added_bytes?: number;
}

/** The record of a successful test restore. */
export interface Verification {
  readonly snapshot: string;
  readonly verified_at: string;
  readonly leaves: number;
  readonly attachments: number;
}

/** Returns a new id: time, tag of the database, random digits. It sorts by time. */
export function newSnapshotId(repository: Repository, database: string, time: Date): string {
  return `${timeStamp(time)}-${repository.databaseTag(database)}-${randomBytes(3).toString('hex')}`;
}

/** Other files in the folders are foreign: a file server or a program for synchronization makes some. */
const SNAPSHOT_ID = /^\d{8}T\d{9}Z-[0-9a-f]{8}-[0-9a-f]{6}$/;
const DATABASE_TAG = /^[0-9a-f]{8}$/;

/** Ids of all snapshots, oldest first, whether they can be read or not. */
export async function snapshotIds(repository: Repository): Promise<readonly string[]> {
  return (await repository.list('snapshots')).filter((name) => SNAPSHOT_ID.test(name)).sort();
}

export async function writeSnapshot(repository: Repository, snapshot: Snapshot): Promise<void> {
  await writeRecord(repository, 'snapshots', snapshot.id, 'snapshot', snapshot, isSnapshot);
}

/** Manifests that are read at the same time. */
const READ_TOGETHER = 16;

/** Called with a sentence for a manifest that cannot be read. */
export type OnDamaged = (reason: string) => void;

/**
 * Reads all snapshots, oldest first; with `database`, those of one database. Those of the future come before
 * all others. Throws `Damaged`, or with `onDamaged` leaves out what is damaged.
 */
export async function listSnapshots(
  repository: Repository,
  database?: string,
  onDamaged?: OnDamaged,
): Promise<readonly Snapshot[]> {
  const tag = database === undefined ? undefined : repository.databaseTag(database);
  const ids = await snapshotIds(repository);
  const names = tag === undefined ? ids : ids.filter((id) => id.split('-')[1] === tag);
  const snapshots: Snapshot[] = [];
  for (let at = 0; at < names.length; at += READ_TOGETHER) {
    const some = names.slice(at, at + READ_TOGETHER);
    const read = await Promise.allSettled(some.map((name) => readSnapshot(repository, name)));
    for (const one of read)
      if (one.status === 'fulfilled') {
        if (database === undefined || one.value.database === database) snapshots.push(one.value);
      } else if (one.reason instanceof Damaged && onDamaged !== undefined) onDamaged(one.reason.message);
      else throw one.reason;
  }
  return futureFirst(snapshots);
}

/** Reads one snapshot by its whole id. Throws `Damaged`. */
export async function readSnapshot(repository: Repository, id: string): Promise<Snapshot> {
  const snapshot = await readBox(repository, 'snapshots', id, 'snapshot', isSnapshot);
  if (snapshot.id !== id) throw new Damaged(`The repository is damaged: snapshot ${id} holds another one.`);
  return snapshot;
}

/**
 * Finds the snapshot of a database: by id or a unique beginning of it, the newest one before `time`, or the
 * newest one. Throws a BackupError if there is none, and if the newest one is not known.
 */
export async function chooseSnapshot(
  repository: Repository,
  database: string,
  choice: { readonly id?: string | undefined; readonly time?: Date | undefined },
  onDamaged?: OnDamaged,
): Promise<Snapshot> {
  const all = await listSnapshots(repository, database, onDamaged);
  if (all.length === 0) throw new BackupError(`The repository has no snapshot of ${database}.`);
  const { id, time } = choice;
  if (id === undefined && time === undefined) requireNewestKnown(all, 'Snapshot');
  const found = all.filter(
    (one) =>
      (id === undefined || one.id.startsWith(id)) &&
      (time === undefined || Date.parse(one.started) <= time.getTime()),
  );
  if (id !== undefined && found.length > 1)
    throw new BackupError(`${found.length} snapshots of ${database} begin with ${id}; write more of the id.`);
  const last = found.at(-1);
  if (last === undefined)
    throw new BackupError(
      id === undefined
        ? `The repository has no snapshot of ${database} before ${time?.toISOString() ?? ''}; the oldest is of ${all[0]?.started ?? ''}.`
        : `The repository has no snapshot ${id} of ${database}.`,
    );
  return last;
}

export async function readPartial(repository: Repository, database: string): Promise<PartialRun | undefined> {
  const tag = repository.databaseTag(database);
  if (!(await repository.list('partial')).includes(tag)) return undefined;
  const partial = await readBox(repository, 'partial', tag, 'partial', isPartialRun);
  return partial.database === database ? partial : undefined;
}

/** All runs that have not ended. */
export async function listPartials(repository: Repository): Promise<readonly PartialRun[]> {
  const names = (await repository.list('partial')).filter((name) => DATABASE_TAG.test(name));
  return Promise.all(names.map((name) => readBox(repository, 'partial', name, 'partial', isPartialRun)));
}

export async function writePartial(repository: Repository, partial: PartialRun): Promise<void> {
  const tag = repository.databaseTag(partial.database);
  await writeRecord(repository, 'partial', tag, 'partial', partial, isPartialRun);
}

export async function removePartial(repository: Repository, database: string): Promise<void> {
  await rm(join(repository.folder, 'partial', repository.databaseTag(database)), { force: true });
}

export async function writeVerification(repository: Repository, verification: Verification): Promise<void> {
  const { snapshot } = verification;
  await writeRecord(repository, 'verified', snapshot, 'verified', verification, isVerification);
}

/** The successful test restores by snapshot. */
export async function listVerifications(repository: Repository): Promise<ReadonlyMap<string, Verification>> {
  const names = (await repository.list('verified')).filter((name) => SNAPSHOT_ID.test(name));
  const read = await Promise.all(
    names.map((name) => readBox(repository, 'verified', name, 'verified', isVerification)),
  );
  return new Map(read.map((one) => [one.snapshot, one]));
}

type RecordKind = 'snapshot' | 'partial' | 'verified' | 'instance';

/** Writes a record as one file, atomically. Throws a BackupError for one that `readBox` would refuse. */
export async function writeRecord(
  repository: Repository,
  folder: string,
  name: string,
  kind: RecordKind,
  value: unknown,
  isRight: (value: unknown) => boolean,
): Promise<void> {
  if (!isRight(parseStored(Buffer.from(writeJson(value)))))
    throw new BackupError(`CouchDB describes a database in a way that no ${kind} record can hold.`);
  await writeBox(repository, folder, name, kind, value);
}

/** Writes a record as one file, atomically, whatever its form. */
export async function writeBox(
  repository: Repository,
  folder: string,
  name: string,
  kind: RecordKind,
  value: unknown,
): Promise<void> {
  const box = await sealBox(Buffer.from(writeJson(value)), kind, repository.cipher);
  await writeFileAtomically(repository.folder, join(repository.folder, folder, name), box);
}

/** Reads a record. Throws `Damaged`, also if it does not have the form that `isRight` checks. */
export async function readBox<T>(
  repository: Repository,
  folder: string,
  name: string,
  kind: RecordKind,
  isRight: (value: unknown) => value is T,
): Promise<T> {
  const path = join(repository.folder, folder, name);
  const plain = await openBox(await readRepositoryFile(path), kind, repository.cipher, path);
  let value: unknown;
  try {
    value = parseStored(plain);
  } catch {
    // As a record of another form.
  }
  if (!isRight(value)) throw new Damaged(`The repository is damaged: ${path} cannot be read.`);
  return value;
}
