// Restores one document: writes an old version as a new revision on the winner that the operator has seen.
import { type CouchTransfer } from '../couch/transfer.ts';
import { databasePath, documentPath, isAcceptedPath } from '../couch/document-path.ts';
import { parseJson } from '../json/parse.ts';
import { inlineStubs, partsOf } from './attachment-part.ts';
import { contentHashes } from './attachment-reader.ts';
import { isMissing } from './bulk-get-answer.ts';
import { BackupError } from './errors.ts';
import { type IndexedLeaf } from './index-file.ts';
import { comparable, comparableDocument, jsonDiff, type JsonChange } from './json-diff.ts';
import { leafOfText, membersOf, withAttachments, type LeafText } from './leaf.ts';
import { multipartBody } from './multipart.ts';
import { type PackedLeaf } from './pack.ts';
import { type Repository } from './repository.ts';
import { DatabaseSource } from './source.ts';
import { jsonObject, sentence } from './target.ts';
import { readLeaf, winnerFirst } from './versions.ts';

/** The document as it is now. */
export interface LiveDocument {
  /** Undefined if there is none. */
  readonly rev: string | undefined;
  readonly deleted: boolean;
  /** Content for `jsonDiff`; undefined if there is none or it is deleted. */
  readonly content: unknown;
}

export type DocumentRestore =
  | { readonly outcome: 'restored'; readonly rev: string }
  /** Somebody changed the document meanwhile; nothing was written. */
  | {
      readonly outcome: 'conflict';
      readonly rev: string | undefined;
      readonly changes: readonly JsonChange[];
    };

/** Reads the winner, and the SHA-256 of its attachments. */
export async function readLive(couch: CouchTransfer, database: string, id: string): Promise<LiveDocument> {
  const source = new DatabaseSource(couch, database);
  const leaf = await winnerOf(couch, database, id);
  if (leaf === undefined) return { rev: undefined, deleted: false, content: undefined };
  const hashes = leaf.deleted ? new Map<string, string>() : await contentHashes(source, leaf);
  if (hashes === undefined)
    throw new BackupError(`An attachment of the document cannot be read at present; try again.`);
  const content = leaf.deleted ? undefined : comparableDocument(leaf.raw, (name) => hashes.get(name) ?? '');
  return { rev: leaf.rev, deleted: leaf.deleted, content };
}

/** Undefined if there is no document. A deleted one is the newest tombstone. */
export async function winnerOf(
  couch: CouchTransfer,
  database: string,
  id: string,
): Promise<LeafText | undefined> {
  const path = `${documentPath(database, id)}?att_encoding_info=true`;
  if (!isAcceptedPath(path)) return winnerAmongLeaves(new DatabaseSource(couch, database), id);
  const answer = await couch.ask({ method: 'GET', path, isHeadForeign: true });
  if (answer.status === 200) return leafOfText(answer.bytes.toString());
  if (answer.status !== 404) throw new BackupError(`Reading the document failed: ${sentence(answer)}.`);
  const { reason } = parseJson(answer.bytes) as { readonly reason?: string };
  if (reason !== 'deleted') return undefined;
  // A new document on a tombstone needs no revision; which tombstone is newest does not matter.
  const source = new DatabaseSource(couch, database);
  const read = await source.document(id, await source.leafRevisions(id));
  return 'leaves' in read ? read.leaves[0] : undefined;
}

/** The winner of a document that no path can name. */
async function winnerAmongLeaves(source: DatabaseSource, id: string): Promise<LeafText | undefined> {
  const read = await source.document(id, await source.leafRevisions(id));
  if ('leaves' in read) return [...read.leaves].sort(winnerFirst)[0];
  const problem = 'error' in read ? read.error : 'it is too large';
  if (isMissing(problem)) return undefined;
  throw new BackupError(`Reading the document failed: ${problem}.`);
}

/**
 * Writes the stored leaf as a new revision with its attachments. `expected` is the document that was shown;
 * if another revision wins now, nothing is written, and the outcome says what changed.
 */
export async function restoreDocument(
  context: { readonly repository: Repository; readonly couch: CouchTransfer },
  database: string,
  id: string,
  stored: IndexedLeaf,
  expected: LiveDocument,
): Promise<DocumentRestore> {
  const { repository, couch } = context;
  if (stored.deleted)
    throw new BackupError(`The document was deleted in this snapshot; there is no content to restore.`);
  const packed = await readLeaf(repository, stored);
  const path = documentPath(database, id);
  const rev = isAcceptedPath(path)
    ? await put(couch, path, requestOf(repository, packed, expected))
    : await writeInBulk(couch, database, await inlineJson(repository, packed, expected));
  if (rev !== undefined) return { outcome: 'restored', rev };
  const now = await readLive(couch, database, id);
  return { outcome: 'conflict', rev: now.rev, changes: jsonDiff(expected.content ?? {}, now.content ?? {}) };
}

/** The new revision; undefined if another one won meanwhile. */
async function put(
  couch: CouchTransfer,
  path: string,
  request: ReturnType<typeof requestOf>,
): Promise<string | undefined> {
  const answer = await couch.ask({ method: 'PUT', path, ...request });
  if (answer.status === 409) return undefined;
  if (answer.status === 201 || answer.status === 202) return (parseJson(answer.bytes) as { rev: string }).rev;
  throw new BackupError(`Writing the document failed: ${sentence(answer)}.`);
}

/** As `put`, for a document that no path can name. */
async function writeInBulk(
  couch: CouchTransfer,
  database: string,
  json: string,
): Promise<string | undefined> {
  const path = `${databasePath(database)}/_bulk_docs`;
  const answer = await couch.ask({ method: 'POST', path, body: `{"docs":[${json}]}` });
  if (answer.status !== 201 && answer.status !== 202)
    throw new BackupError(`Writing the document failed: ${sentence(answer)}.`);
  const [row] = parseJson(answer.bytes) as readonly { rev?: string; error?: string; reason?: string }[];
  if (row?.error === 'conflict') return undefined;
  if (row?.rev !== undefined && row.error === undefined) return row.rev;
  throw new BackupError(`Writing the document failed: ${String(row?.error)}: ${String(row?.reason)}.`);
}

/** With the attachments in it, which are never large: they were read so. */
async function inlineJson(
  repository: Repository,
  packed: PackedLeaf,
  expected: LiveDocument,
): Promise<string> {
  return jsonOf(packed, await inlineStubs(repository, packed), expected);
}

function jsonOf(
  { leaf }: PackedLeaf,
  stored: readonly (readonly [string, object])[],
  expected: LiveDocument,
): string {
  // The attachments are new in this revision.
  const stubs = stored.map(([name, stub]) => [name, { ...stub, revpos: undefined }] as const);
  const rev = expected.rev === undefined || expected.deleted ? undefined : expected.rev;
  return withRevision(leafOfText(withAttachments(leaf, jsonObject(stubs))), rev);
}

function requestOf(repository: Repository, packed: PackedLeaf, expected: LiveDocument) {
  const { stubs, parts } = partsOf(repository, packed);
  const json = jsonOf(packed, stubs, expected);
  if (stubs.length === 0) return { body: json };
  const { contentType, contentLength, open } = multipartBody(json, parts);
  return { body: open, contentType, contentLength };
}

/** Replaces `_rev` and leaves out the history. */
export function withRevision(leaf: LeafText, rev: string | undefined): string {
  const kept = membersOf(leaf)
    .filter(({ name }) => name !== '_rev' && name !== '_revisions')
    .map(({ start, end }) => leaf.raw.slice(start, end));
  return `{${[...(rev === undefined ? [] : [`"_rev":${JSON.stringify(rev)}`]), ...kept].join(',')}}`;
}

/** Compares a stored leaf with the document as it is now. */
export async function diffWithLive(
  repository: Repository,
  stored: IndexedLeaf,
  live: LiveDocument,
): Promise<readonly JsonChange[]> {
  const packed = await readLeaf(repository, stored);
  return jsonDiff(stored.deleted ? {} : comparable(packed), live.content ?? {});
}
