// Reads a restored database again and compares every leaf with the snapshot, by content hash. A comparison of
// revisions alone proves nothing: another body can stand under the same revision.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CouchTransfer } from '../couch/transfer.ts';
import { hashOnly } from './attachment-reader.ts';
import { Chain, compactChain } from './chain.ts';
import { compare } from './canonical.ts';
import { DocumentReader } from './document-reader.ts';
import { type OnEvent } from './events.ts';
import { pagesOf } from './feed.ts';
import { IndexWriter, type IndexedLeaf, type IndexEntry, type IndexRef } from './index-file.ts';
import { type LeafToStore } from './leaf-writer.ts';
import { BESIDE_CLIENTS } from './pace.ts';
import { PageGroups } from './page-groups.ts';
import { Repository } from './repository.ts';
import { type DocumentProblem } from './problem-list.ts';
import { type Snapshot } from './snapshot.ts';
import { DatabaseSource } from './source.ts';

export interface CheckOutcome {
  readonly leaves: number;
  readonly attachments: number;
  readonly differences: readonly DocumentProblem[];
}

const INDEX_ENTRIES = 50_000;
const MAX_DIFFERENCES = 1000;
const NOWHERE = { pack: '', offset: 0, length: 0, line: 0 };

/** Compares the database with the snapshot. `differences` is empty if they are equal. */
export async function checkRestored(
  context: { readonly repository: Repository; readonly couch: CouchTransfer; readonly onEvent: OnEvent },
  snapshot: Snapshot,
  database: string,
): Promise<CheckOutcome> {
  const { repository, couch, onEvent } = context;
  const folder = await mkdtemp(join(tmpdir(), 'couchgate-check-'));
  try {
    const scratch = new Repository(folder, repository.id, repository.cipher);
    onEvent({ type: 'start', database, action: 'check', resumed: false, total: snapshot.counts.leaves });
    const { refs, problems } = await indexOf(scratch, couch, database, onEvent);
    const wanted = await Chain.open(repository, snapshot.index, { check: true });
    const found = await Chain.open(scratch, refs);
    const outcome = await compareChains(wanted, found);
    const properties = await propertyDifferences(couch, database, snapshot);
    return { ...outcome, differences: [...problems, ...properties, ...outcome.differences] };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads all leaves of a database, attachments included, and indexes their content hashes. */
async function indexOf(
  scratch: Repository,
  couch: CouchTransfer,
  database: string,
  onEvent: OnEvent,
): Promise<{ readonly refs: readonly IndexRef[]; readonly problems: readonly DocumentProblem[] }> {
  const source = new DatabaseSource(couch, database);
  const reader = new DocumentReader(source, { store: hashOnly });
  const problems: DocumentProblem[] = [];
  let refs: readonly IndexRef[] = [];
  let entries: IndexEntry[] = [];
  let documents = 0;
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const writer = new IndexWriter(scratch);
    for (const entry of entries.sort((a, b) => compare(a.id, b.id))) await writer.add(entry);
    const ref = await writer.finish();
    if (ref !== undefined) refs = await compactChain(scratch, [ref, ...refs]);
    entries = [];
  };
  for await (const page of pagesOf(source)) {
    const rows = new Map(page.rows.map((row) => [row.id, { ...row, known: undefined }]));
    const groups = new PageGroups([...rows.values()], BESIDE_CLIENTS);
    while (!groups.areTaken) {
      const wanted = groups.next();
      for (const outcome of await reader.read(wanted)) {
        if ('problem' in outcome) problems.push({ id: outcome.id, reason: outcome.problem });
        if (!('leaves' in outcome)) continue;
        groups.wasRead(rows.get(outcome.id), outcome.bytes);
        bytes += outcome.bytes;
        entries.push({ id: outcome.id, leaves: outcome.leaves.map(indexed) });
      }
      documents += wanted.length;
      onEvent({ type: 'progress', database, documents, bytes, pending: page.pending });
    }
    if (entries.length >= INDEX_ENTRIES) await flush();
  }
  await flush();
  return { refs, problems };
}

function indexed(one: LeafToStore): IndexedLeaf {
  if ('stored' in one) return one.stored;
  const { leaf, hash, attachments } = one;
  return { rev: leaf.rev, deleted: leaf.deleted, hash, attachments, place: NOWHERE };
}

/** Both are in the order of ids. */
async function compareChains(wanted: Chain, found: Chain): Promise<CheckOutcome> {
  const differences: DocumentProblem[] = [];
  let leaves = 0;
  let attachments = 0;
  const add = (id: string, reason: string): void => {
    if (differences.length < MAX_DIFFERENCES) differences.push({ id, reason });
  };
  const others = found.entries();
  let other = await others.next();
  for await (const entry of wanted.entries()) {
    while (other.done !== true && compare(other.value.id, entry.id) < 0) {
      add(other.value.id, 'is in the database, but not in the snapshot');
      other = await others.next();
    }
    leaves += entry.leaves.length;
    for (const leaf of entry.leaves) attachments += leaf.attachments.length;
    if (other.done === true || other.value.id !== entry.id) {
      add(entry.id, 'is not in the database');
      continue;
    }
    for (const reason of leafDifferences(entry.leaves, other.value.leaves)) add(entry.id, reason);
    other = await others.next();
  }
  for (; other.done !== true; other = await others.next())
    add(other.value.id, 'is in the database, but not in the snapshot');
  return { leaves, attachments, differences };
}

function leafDifferences(wanted: readonly IndexedLeaf[], found: readonly IndexedLeaf[]): readonly string[] {
  const byRev = new Map(found.map((leaf) => [leaf.rev, leaf]));
  const missing = wanted.flatMap(({ rev, hash }) => {
    const other = byRev.get(rev);
    if (other === undefined) return [`revision ${rev} is not in the database`];
    return other.hash === hash ? [] : [`revision ${rev} has another content`];
  });
  const known = new Set(wanted.map(({ rev }) => rev));
  const added = found
    .filter(({ rev }) => !known.has(rev))
    .map(({ rev }) => `revision ${rev} is not in the snapshot`);
  return [...missing, ...added];
}

async function propertyDifferences(
  couch: CouchTransfer,
  database: string,
  { properties }: Snapshot,
): Promise<readonly DocumentProblem[]> {
  const source = new DatabaseSource(couch, database);
  const found = await source.properties(await source.info());
  // A smaller cluster keeps fewer copies than `n` asks for.
  const names = ['q', 'partitioned', 'revs_limit', 'purged_infos_limit'] as const;
  return names
    .filter((name) => found[name] !== properties[name])
    .map((name) => ({
      id: '',
      reason: `${name} is ${String(found[name])}, not ${String(properties[name])}`,
    }));
}
