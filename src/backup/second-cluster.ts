// Keeps a copy of each snapshot on a second CouchDB (`backup_target`): the increment is written from the
// repository, with the same revisions, into a database that is the owner's alone.
import { setTimeout as delay } from 'node:timers/promises';
import { type CouchTransfer, type TransferAnswer } from '../couch/transfer.ts';
import { databasePath } from '../couch/document-path.ts';
import { parseJson } from '../json/parse.ts';
import { compare } from './canonical.ts';
import { Chain } from './chain.ts';
import { BackupError } from './errors.ts';
import { type OnEvent } from './events.ts';
import { pagesOf } from './feed.ts';
import { type IndexedLeaf, type IndexEntry } from './index-file.ts';
import { type Repository } from './repository.ts';
import { writeEntries } from './restore-database.ts';
import { readSnapshot, type Snapshot } from './snapshot.ts';
import { DatabaseSource } from './source.ts';
import { purgeAll, settleLeaves, type LeavesDeps } from './target-leaves.ts';
import { RestoreTarget, sentence } from './target.ts';

export interface SecondClusterContext {
  readonly repository: Repository;
  /** The client of the second cluster. */
  readonly couch: CouchTransfer;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal;
}

/** What the database on the second cluster has. CouchDB does not replicate it. */
interface Marker {
  readonly _rev?: string;
  /** Id of the repository that writes this database. */
  readonly repository: string;
  readonly instance_start_time: string;
  /** The snapshot that the database has; null while the first one is written. */
  readonly snapshot: string | null;
}

const MARKER = '_local/couchgate-backup';
const DELETED_AT_ONCE = 100;
const MAX_CONFLICTS = 1000;
const MAX_TRIES = 5;
const RETRY_MS = 500;

/**
 * Brings the database of the same name on the second cluster to the state of the snapshot. What an earlier
 * run could not write is made up for. A database that this repository does not write is never touched.
 * Throws a BackupError or `Unavailable`.
 */
export async function writeToSecondCluster(context: SecondClusterContext, snapshot: Snapshot): Promise<void> {
  const { repository, couch } = context;
  const { database, properties } = snapshot;
  const target = new RestoreTarget(couch, database);
  let marker = (await target.exists()) ? await ownMarker(context, target, snapshot) : undefined;
  const present = marker === undefined ? undefined : await presentChain(repository, snapshot, marker);
  if (marker !== undefined && present === undefined) {
    await target.remove();
    await target.untilGone();
    marker = undefined;
  }
  if (marker === undefined) {
    await target.create(properties);
    marker = await writeMarker(couch, database, markerOf(repository, snapshot, null));
  } else await target.setLimits(properties);
  if (marker.snapshot === snapshot.id) return;
  const wanted = await Chain.open(repository, snapshot.index, { check: true });
  const gone = new Map<string, readonly string[]>();
  let hasChanges = false;
  for await (const { id, before, after } of changesOf(present, wanted)) {
    if (after === undefined) gone.set(id, revisionsOf(before));
    hasChanges = true;
  }
  if (hasChanges) {
    // A server that cannot purge refuses what its validation functions refuse; the count names what is gone.
    await purgeAll(target, gone);
    if (present === undefined) {
      await writeWithPatience(context, snapshot, documentsToWrite(present, wanted));
      await writeEntries(context, snapshot, database, designsOf(wanted));
    } else await writeChanges(context, snapshot, { target, present, wanted });
    await requireCount(couch, snapshot);
  }
  await writeMarker(couch, database, { ...marker, ...markerOf(repository, snapshot, snapshot.id) });
}

/** Writes the increment. Its documents have the leaves of the snapshot then, and no others. */
async function writeChanges(
  context: SecondClusterContext,
  snapshot: Snapshot,
  {
    target,
    present,
    wanted,
  }: { readonly target: RestoreTarget; readonly present: Chain; readonly wanted: Chain },
): Promise<void> {
  const { couch } = context;
  const { database } = snapshot;
  const leaves: LeavesDeps = {
    couch,
    target,
    write: (entries) => writeEntries(context, snapshot, database, entries),
  };
  const canPurge = await target.canPurge();
  // An earlier run that was interrupted may have deleted design documents already.
  if (canPurge) await deleteDesigns(couch, target);
  await writeWithPatience(context, snapshot, documentsToWrite(present, wanted));
  await settleLeaves(leaves, documentsToWrite(present, wanted)());
  if (canPurge) await purgeDesigns(couch, target);
  await writeEntries(context, snapshot, database, designsOf(wanted));
  await settleLeaves(leaves, designsOf(wanted));
}

/** Throws a BackupError for a database that is not of this repository, or that others can read. */
async function ownMarker(
  { repository, couch }: SecondClusterContext,
  target: RestoreTarget,
  { database }: Snapshot,
): Promise<Marker | undefined> {
  const answer = await couch.ask({ method: 'GET', path: `${databasePath(database)}/${MARKER}` });
  if (answer.status !== 200 && answer.status !== 404)
    throw new BackupError(`Reading ${database} on backup_target failed: ${sentence(answer)}.`);
  const marker = answer.status === 200 ? (parseJson(answer.bytes) as Marker) : undefined;
  if (marker?.repository !== repository.id) {
    // A run that ended between the creation and the marker leaves an empty database.
    const { total } = await new DatabaseSource(couch, database).info();
    if (marker !== undefined || total > 0 || !(await target.isOwnerOnly()))
      throw new BackupError(
        `backup_target has a database ${database} that this repository does not write; it was not touched.`,
      );
    await target.remove();
    await target.untilGone();
    return undefined;
  }
  if (!(await target.isOwnerOnly()))
    throw new BackupError(
      `The database ${database} on backup_target is not the owner's alone any more; nothing was written.`,
    );
  return marker;
}

function markerOf(
  { id: repository }: Repository,
  { instance_start_time }: Snapshot,
  snapshot: string | null,
): Marker {
  return { repository, instance_start_time, snapshot };
}

async function writeMarker(couch: CouchTransfer, database: string, marker: Marker): Promise<Marker> {
  const path = `${databasePath(database)}/${MARKER}`;
  const answer = await couch.ask({ method: 'PUT', path, body: JSON.stringify(marker) });
  if (answer.status >= 300)
    throw new BackupError(`Writing ${database} on backup_target failed: ${sentence(answer)}.`);
  return { ...marker, _rev: (parseJson(answer.bytes) as { readonly rev: string }).rev };
}

/**
 * The chain of the snapshot that the target has. Undefined if the database must be made again: its first
 * snapshot was never finished or was forgotten, or the source database was deleted and made again.
 */
async function presentChain(
  repository: Repository,
  snapshot: Snapshot,
  { snapshot: id, instance_start_time }: Marker,
): Promise<Chain | undefined> {
  if (id === null || instance_start_time !== snapshot.instance_start_time) return undefined;
  if (!(await repository.list('snapshots')).includes(id)) return undefined;
  return Chain.open(repository, (await readSnapshot(repository, id)).index, { check: true });
}

interface EntryChange {
  readonly id: string;
  readonly before: readonly IndexedLeaf[];
  /** Undefined if the document was purged. */
  readonly after: IndexEntry | undefined;
}

/** The documents that differ. Without `present`, all of `wanted`. */
async function* changesOf(present: Chain | undefined, wanted: Chain): AsyncGenerator<EntryChange> {
  const old = present?.entries();
  let before = await old?.next();
  for await (const after of wanted.entries()) {
    while (before?.done === false && compare(before.value.id, after.id) < 0) {
      yield { id: before.value.id, before: before.value.leaves, after: undefined };
      before = await old?.next();
    }
    const same = before?.done === false && before.value.id === after.id ? before.value.leaves : [];
    if (!areEqual(same, after.leaves)) yield { id: after.id, before: same, after };
    if (before?.done === false && before.value.id === after.id) before = await old?.next();
  }
  for (; before?.done === false; before = await old?.next())
    yield { id: before.value.id, before: before.value.leaves, after: undefined };
}

/** The nodes forget a deleted validation function a moment after the deletion. */
async function writeWithPatience(
  context: SecondClusterContext,
  snapshot: Snapshot,
  entries: () => AsyncIterable<IndexEntry>,
): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      await writeEntries(context, snapshot, snapshot.database, entries());
      return;
    } catch (error) {
      if (tries === MAX_TRIES || !(error instanceof BackupError) || !error.message.includes('forbidden'))
        throw error;
      await delay(RETRY_MS);
    }
}

function documentsToWrite(present: Chain | undefined, wanted: Chain): () => AsyncIterable<IndexEntry> {
  return async function* () {
    for await (const { id, after } of changesOf(present, wanted))
      if (after !== undefined && !id.startsWith('_design/')) yield after;
  };
}

async function* designsOf(wanted: Chain): AsyncGenerator<IndexEntry> {
  for await (const entry of wanted.entries()) if (entry.id.startsWith('_design/')) yield entry;
}

async function requireCount(couch: CouchTransfer, { database, counts }: Snapshot): Promise<void> {
  const { total } = await new DatabaseSource(couch, database).info();
  const wanted = counts.documents + counts.deleted;
  if (total !== wanted)
    throw new BackupError(`${database} on backup_target has ${total} documents; the snapshot has ${wanted}.`);
}

/**
 * Deletes the design documents, so that their validation functions do not refuse revisions that they did
 * not refuse at the source. A purge alone would not do: CouchDB keeps the functions of purged documents.
 * `purgeDesigns` takes the tombstones out again.
 */
async function deleteDesigns(couch: CouchTransfer, target: RestoreTarget): Promise<void> {
  const path = databasePath(target.database);
  const range = `startkey=%22_design%2F%22&endkey=%22_design0%22&limit=${DELETED_AT_ONCE}`;
  for (let round = 0; round < MAX_CONFLICTS; round += 1) {
    const answer = await couch.ask({ method: 'GET', path: `${path}/_all_docs?${range}` });
    if (answer.status !== 200) throw failed(target, 'reading', answer);
    const { rows } = parseJson(answer.bytes) as {
      readonly rows: readonly { readonly id: string; readonly value: { readonly rev: string } }[];
    };
    // The winners; another leaf of the same document wins in the next round.
    if (rows.length === 0) return;
    const docs = rows.map(({ id, value }) => ({ _id: id, _rev: value.rev, _deleted: true }));
    const body = JSON.stringify({ docs });
    const deleted = await couch.ask({ method: 'POST', path: `${path}/_bulk_docs`, body });
    if (deleted.status >= 300) throw failed(target, 'writing', deleted);
  }
}

/** Purges every leaf of every design document. */
async function purgeDesigns(couch: CouchTransfer, target: RestoreTarget): Promise<void> {
  const source = new DatabaseSource(couch, target.database);
  const leaves = new Map<string, readonly string[]>();
  for await (const { rows } of pagesOf(source))
    for (const { id, revs } of rows) if (id.startsWith('_design/')) leaves.set(id, revs);
  await purgeAll(target, leaves);
}

function failed({ database }: RestoreTarget, doing: string, answer: TransferAnswer): BackupError {
  return new BackupError(`${doing} ${database} on backup_target failed: ${sentence(answer)}.`);
}

function revisionsOf(leaves: readonly IndexedLeaf[]): readonly string[] {
  return leaves.map(({ rev }) => rev);
}

function areEqual(a: readonly IndexedLeaf[], b: readonly IndexedLeaf[]): boolean {
  if (a.length !== b.length) return false;
  const hashes = new Map(a.map(({ rev, hash }) => [rev, hash]));
  return b.every(({ rev, hash }) => hashes.get(rev) === hash);
}
