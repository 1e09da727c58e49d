// Restores one document: writes an old version as a new revision on the winner that the operator has seen.
import { type CouchTransfer } from '../couch/transfer.ts';
import { documentPath } from '../couch/document-path.ts';
import { parseJson } from '../json/parse.ts';
import { partsOf } from './attachment-part.ts';
import { contentHashes } from './attachment-reader.ts';
import { BackupError } from './errors.ts';
import { type IndexedLeaf } from './index-file.ts';
import { comparable, comparableDocument, jsonDiff, type JsonChange } from './json-diff.ts';
import { leafOfText, membersOf, withAttachments, type LeafText } from './leaf.ts';
import { multipartBody } from './multipart.ts';
import { type PackedLeaf } from './pack.ts';
import { type Repository } from './repository.ts';
import { DatabaseSource } from './source.ts';
import { jsonObject, sentence } from './target.ts';
import { readLeaf } from './versions.ts';

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
  const answer = await couch.ask({ method: 'GET', path, isHeadForeign: true });
  if (answer.status === 200) return leafOfText(answer.bytes.toString());
  if (answer.status !== 404) throw new BackupError(`Reading the document failed: ${sentence(answer)}.`);
  const { reason } = parseJson(answer.bytes) as { readonly reason?: string };
  if (reason !== 'deleted') return undefined;
  // A new document on a tombstone needs no revision; which tombstone is newest does not matter.
  const [read] = await new DatabaseSource(couch, database).leaves([id]);
  return read !== undefined && 'leaves' in read ? read.leaves[0] : undefined;
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
  const request = requestOf(repository, packed, expected);
  const answer = await couch.ask({ method: 'PUT', path: documentPath(database, id), ...request });
  if (answer.status === 201 || answer.status === 202)
    return { outcome: 'restored', rev: (parseJson(answer.bytes) as { rev: string }).rev };
  if (answer.status !== 409) throw new BackupError(`Writing the document failed: ${sentence(answer)}.`);
  const now = await readLive(couch, database, id);
  return { outcome: 'conflict', rev: now.rev, changes: jsonDiff(expected.content ?? {}, now.content ?? {}) };
}

function requestOf(repository: Repository, packed: PackedLeaf, expected: LiveDocument) {
  const { leaf } = packed;
  const { stubs: stored, parts } = partsOf(repository, packed);
  // The attachments are new in this revision.
  const stubs = stored.map(([name, stub]) => [name, { ...stub, revpos: undefined }] as const);
  const rev = expected.rev === undefined || expected.deleted ? undefined : expected.rev;
  const json = withRevision(leafOfText(withAttachments(leaf, jsonObject(stubs))), rev);
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
