// Gives documents of the second cluster the leaves of a snapshot, and no others. A leaf that was purged at
// the source is still one there: as a conflict, or as the winner.
import { setTimeout as delay } from 'node:timers/promises';
import { type CouchTransfer } from '../couch/transfer.ts';
import { isMissing } from './bulk-get-answer.ts';
import { BackupError } from './errors.ts';
import { inPages } from './in-pages.ts';
import { type IndexEntry } from './index-file.ts';
import { BESIDE_CLIENTS } from './pace.ts';
import { hasFewLeaves, PageGroups } from './page-groups.ts';
import { DatabaseSource, type ChangeRow } from './source.ts';
import { type RestoreTarget } from './target.ts';

export interface LeavesDeps {
  /** The client of the second cluster. */
  readonly couch: CouchTransfer;
  readonly target: RestoreTarget;
  /** Writes documents with all their leaves. */
  readonly write: (entries: readonly IndexEntry[]) => Promise<void>;
}

/** CouchDB looks up so many ids of a feed without reading the whole feed. */
const IDS_AT_ONCE = 100;
/** What CouchDB accepts in one purge by default. */
const PURGED_AT_ONCE = 100;
const PURGED_REVISIONS = 1000;
/** How long the copies may take to agree. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 500;

/** Purges leaves that are not wanted, and writes those that are missing then. Throws a BackupError. */
export async function settleLeaves(deps: LeavesDeps, entries: AsyncIterable<IndexEntry>): Promise<void> {
  for await (const page of inPages(entries, IDS_AT_ONCE)) await settlePage(deps, page);
}

/** Purges these revisions of documents. False if the server cannot purge. */
export async function purgeAll(
  target: RestoreTarget,
  revisions: ReadonlyMap<string, readonly string[]>,
): Promise<boolean> {
  for (const part of partsOf(revisions)) if (!(await target.purge(part))) return false;
  return true;
}

function* partsOf(revisions: ReadonlyMap<string, readonly string[]>): Generator<Map<string, string[]>> {
  let part = new Map<string, string[]>();
  let count = 0;
  for (const [id, revs] of revisions)
    for (let at = 0; at < revs.length; at += PURGED_REVISIONS) {
      const some = revs.slice(at, at + PURGED_REVISIONS);
      if (part.size === PURGED_AT_ONCE || count + some.length > PURGED_REVISIONS) {
        yield part;
        [part, count] = [new Map<string, string[]>(), 0];
      }
      part.set(id, some);
      count += some.length;
    }
  if (part.size > 0) yield part;
}

async function settlePage({ couch, target, write }: LeavesDeps, page: readonly IndexEntry[]): Promise<void> {
  const source = new DatabaseSource(couch, target.database);
  const until = performance.now() + PATIENCE_MS;
  // One copy of each range answers, without bodies. Where it differs, all are asked.
  let found = await source.leafRevisionsOf(page.map(({ id }) => id));
  let left = page.filter((entry) => differs(entry, found));
  for (let round = 0; left.length > 0; round += 1) {
    if (round > 1) await delay(PAUSE_MS);
    found = await leavesOf(source, left);
    left = left.filter((entry) => differs(entry, found));
    const name = `Document ${JSON.stringify(left[0]?.id)} on backup_target`;
    if (left.length > 0 && performance.now() > until)
      throw new BackupError(`${name} does not have the revisions of the snapshot.`);
    const added = new Map(left.map((entry) => [entry.id, addedTo(entry, found)] as const));
    if (!(await purgeAll(target, added)))
      throw new BackupError(`${name} has other revisions than the snapshot, and this server cannot purge.`);
    // With the branch of a purged leaf, CouchDB removes its ancestors, one of which may be wanted.
    const lacking = left.filter((entry) => lacks(entry, found));
    if (lacking.length > 0) await write(lacking);
  }
}

/** The leaves that all copies have together; of a large document, those that one copy names. */
async function leavesOf(
  source: DatabaseSource,
  entries: readonly IndexEntry[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map(await source.leafRevisionsOf(entries.map(({ id }) => id)));
  const rows = entries.map(({ id, leaves }): ChangeRow => {
    const revs = found.get(id) ?? [];
    return { id, revs: revs.length > leaves.length ? revs : leaves.map(({ rev }) => rev) };
  });
  const groups = new PageGroups(rows.filter(hasFewLeaves), BESIDE_CLIENTS);
  while (!groups.areTaken) {
    const group = groups.next();
    for (const read of await source.leaves(group.map(({ id }) => id)))
      if ('leaves' in read) {
        found.set(
          read.id,
          read.leaves.map(({ rev }) => rev),
        );
        const bytes = read.leaves.reduce((sum, { raw }) => sum + raw.length, 0);
        groups.wasRead(
          group.find(({ id }) => id === read.id),
          bytes,
        );
      } else if ('error' in read && isMissing(read.error)) found.delete(read.id);
      else if ('error' in read)
        throw new BackupError(
          `Document ${JSON.stringify(read.id)} on backup_target cannot be read: ${read.error}`,
        );
  }
  return found;
}

type Found = ReadonlyMap<string, readonly string[]>;

function differs(entry: IndexEntry, found: Found): boolean {
  return lacks(entry, found) || addedTo(entry, found).length > 0;
}

function lacks({ id, leaves }: IndexEntry, found: Found): boolean {
  const revs = new Set(found.get(id));
  return leaves.some(({ rev }) => !revs.has(rev));
}

function addedTo({ id, leaves }: IndexEntry, found: Found): readonly string[] {
  const wanted = new Set(leaves.map(({ rev }) => rev));
  return (found.get(id) ?? []).filter((rev) => !wanted.has(rev));
}
