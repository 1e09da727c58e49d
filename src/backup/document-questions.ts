// Answers what the repository has of one document, compares versions, and restores one.
import { documentPath, isAcceptedPath } from '../couch/document-path.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { parseStored } from '../json/parse.ts';
import { contentHashes } from './attachment-reader.ts';
import { NotInRepository } from './failure.ts';
import { type IndexedLeaf } from './index-file.ts';
import { contentOf } from './index-shape.ts';
import { comparable, comparableDocument, jsonDiff, type JsonChange } from './json-diff.ts';
import { leafOfText, type LeafText } from './leaf.ts';
import { type Question } from './process-protocol.ts';
import { type Repository } from './repository.ts';
import { readLive, restoreDocument, winnerOf, type LiveDocument } from './restore-document.ts';
import { snapshotOf } from './run-job.ts';
import { type Snapshot } from './snapshot.ts';
import { DatabaseSource } from './source.ts';
import { findVersions, leavesIn, readLeaf, type DocumentVersion } from './versions.ts';

interface Parts {
  readonly couch: CouchTransfer;
  readonly repository: Repository;
}

interface Body {
  readonly status: number;
  readonly body: unknown;
}

type Of<K extends Question['kind']> = Extract<Question, { readonly kind: K }>;

/** Every stored version, newest first, and the revision of the live document. */
export async function answerVersions(
  { couch, repository }: Parts,
  { database, id }: Of<'versions'>,
): Promise<Body> {
  const damages: string[] = [];
  const versions = await findVersions(repository, database, id, (reason) => damages.push(reason));
  if (versions.length === 0) throw new NotInRepository('No snapshot has this document.');
  // Without `readLive`, which would read the attachments.
  const live = await winnerOf(couch, database, id);
  const body = { database, id, live: liveFields(live), versions: versions.map(versionFields), damages };
  return { status: 200, body };
}

/** One stored version with its body, and what differs from the live document or from another snapshot. */
export async function answerVersion(
  { couch, repository }: Parts,
  { database, id, snapshot: snapshotId, rev, to }: Of<'version'>,
): Promise<Body> {
  const snapshot = await snapshotOf(repository, database, snapshotId);
  const stored = await leafOf(repository, snapshot, id, rev);
  const packed = await readLeaf(repository, stored);
  const before = stored.deleted ? {} : comparable(packed);
  const other = to === undefined ? await liveSide(couch, database, id) : await storedSide(repository, to);
  const document = parseStored(Buffer.from(packed.leaf.raw));
  const body = {
    database,
    id,
    snapshot: snapshot.id,
    started: snapshot.started,
    ...leafFields(stored),
    document,
    ...other.fields,
    changes: jsonDiff(before, other.content),
  };
  return { status: 200, body };

  async function storedSide(from: Repository, otherId: string): Promise<Side> {
    const second = await snapshotOf(from, database, otherId);
    const [leaf] = await leavesIn(from, second, id);
    const fields = { to: { snapshot: second.id, started: second.started } };
    if (leaf === undefined) return { content: {}, fields: { to: { ...fields.to, rev: null } } };
    const read = await readLeaf(from, leaf);
    const content = leaf.deleted ? {} : comparable(read);
    const otherDocument = parseStored(Buffer.from(read.leaf.raw));
    return { content, fields: { to: { ...fields.to, ...leafFields(leaf), document: otherDocument } } };
  }
}

interface Side {
  readonly content: unknown;
  readonly fields: object;
}

async function liveSide(couch: CouchTransfer, database: string, id: string): Promise<Side> {
  const live = await readLive(couch, database, id);
  return { content: live.content ?? {}, fields: { live: liveFields(live) } };
}

type LiveState = Pick<LiveDocument, 'rev' | 'deleted'>;

function liveFields(live: LiveState | undefined): object | null {
  return live?.rev === undefined ? null : { rev: live.rev, deleted: live.deleted };
}

function versionFields({ first, last, snapshots, leaves }: DocumentVersion): object {
  const [winner] = leaves;
  return {
    snapshot: last.id,
    rev: winner?.rev ?? null,
    deleted: winner?.deleted ?? true,
    first: { snapshot: first.id, started: first.started },
    last: { snapshot: last.id, started: last.started },
    snapshots,
    leaves: leaves.map(leafFields),
  };
}

function leafFields({ rev, deleted, attachments }: IndexedLeaf) {
  const files = attachments.map((one) => ({ name: one.name, length: one.length, sha256: contentOf(one) }));
  return { rev, deleted, attachments: files };
}

async function leafOf(
  repository: Repository,
  snapshot: Snapshot,
  id: string,
  rev: string | undefined,
): Promise<IndexedLeaf> {
  const leaves = await leavesIn(repository, snapshot, id);
  const found = rev === undefined ? leaves[0] : leaves.find((leaf) => leaf.rev === rev);
  if (found !== undefined) return found;
  const what = rev === undefined ? 'this document' : 'this revision of the document';
  throw new NotInRepository(`Snapshot ${snapshot.id} does not have ${what}.`);
}

/**
 * Writes the stored version as a new revision on the one that the owner has seen. 409 with what has changed
 * since, if another one is live now.
 */
export async function restoreOne(
  { couch, repository }: Parts,
  { database, id, snapshot: snapshotId, rev, revision }: Of<'restoreDocument'>,
): Promise<Body> {
  const snapshot = await snapshotOf(repository, database, snapshotId);
  const stored = await leafOf(repository, snapshot, id, rev);
  if (stored.deleted)
    throw new NotInRepository('The document was deleted in this snapshot; there is no content to restore.');
  const live = await readLive(couch, database, id);
  if (!isSeen(live, revision)) return conflict(live, await changesSince(couch, database, id, revision, live));
  const result = await restoreDocument({ repository, couch }, database, id, stored, live);
  if (result.outcome === 'restored')
    return { status: 201, body: { ok: true, id, rev: result.rev, snapshot: snapshot.id, from: stored.rev } };
  return conflict({ rev: result.rev }, result.changes);
}

/** A tombstone is no content: who has seen none has seen it. */
function isSeen(live: LiveDocument, revision: string | null): boolean {
  return live.rev === (revision ?? undefined) || (revision === null && live.deleted);
}

function conflict({ rev }: Pick<LiveDocument, 'rev'>, changes: readonly JsonChange[] | null): Body {
  const reason = 'The document has changed since the revision that the request names; nothing was written.';
  return { status: 409, body: { error: 'conflict', reason, rev: rev ?? null, changes } };
}

/** What changed since the revision that the owner has seen; null if CouchDB does not have it any more. */
async function changesSince(
  couch: CouchTransfer,
  database: string,
  id: string,
  revision: string | null,
  live: LiveDocument,
): Promise<readonly JsonChange[] | null> {
  const now = live.content ?? {};
  if (revision === null) return jsonDiff({}, now);
  const seen = await readRevision(couch, database, id, revision);
  if (seen === undefined) return null;
  if (seen.deleted) return jsonDiff({}, now);
  const hashes = await contentHashes(new DatabaseSource(couch, database), seen);
  if (hashes === undefined) return null;
  return jsonDiff(
    comparableDocument(seen.raw, (name) => hashes.get(name) ?? ''),
    now,
  );
}

async function readRevision(
  couch: CouchTransfer,
  database: string,
  id: string,
  revision: string,
): Promise<LeafText | undefined> {
  const path = `${documentPath(database, id)}?att_encoding_info=true&rev=${encodeURIComponent(revision)}`;
  if (!isAcceptedPath(path)) {
    const read = await new DatabaseSource(couch, database).revisions(id, [revision]);
    return 'leaves' in read ? read.leaves[0] : undefined;
  }
  const answer = await couch.ask({ method: 'GET', path, isHeadForeign: true });
  return answer.status === 200 ? leafOfText(answer.bytes.toString()) : undefined;
}
