// Reads one leaf revision from the text of CouchDB: its identity, its attachments, and its content hash.
import { canonicalObject, InvalidJson, JsonCursor, sha256 } from './canonical.ts';
import type { Member, ScannedObject } from './canonical.ts';

/** An attachment as CouchDB describes it in a document without the data. */
export interface AttachmentStub {
  readonly name: string;
  readonly content_type: string;
  /** MD5 of what CouchDB stores, which may be compressed: `md5-…`. */
  readonly digest: string;
  readonly revpos: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * A leaf revision. `raw` is the JSON of CouchDB, byte for byte, with `_revisions` and stubs of attachments.
 */
export interface LeafText {
  readonly id: string;
  readonly rev: string;
  readonly deleted: boolean;
  readonly raw: string;
  readonly stubs: readonly AttachmentStub[];
  /**
   * The members; their positions are those of the text that was scanned, in which `raw` begins at `start`.
   */
  readonly members: readonly Member[];
  readonly start: number;
}

/** Reads a document that was scanned as part of `text`. Throws `InvalidJson` if it is not a document. */
export function leafOf(text: string, scanned: ScannedObject): LeafText {
  const { members, start, end } = scanned;
  const id = stringMember(members, '_id');
  const rev = stringMember(members, '_rev');
  const deleted = members.find(({ name }) => name === '_deleted')?.canonical === 'true';
  const attachments = members.find(({ name }) => name === '_attachments');
  const raw = text.slice(start, end).replaceAll('\n', ' ');
  const stubs = attachments === undefined ? [] : stubsOf(attachments.canonical);
  return { id, rev, deleted, raw, stubs, members, start };
}

/** Reads a document whose text begins at the position 0. */
export function leafOfText(raw: string): LeafText {
  return leafOf(raw, new JsonCursor(raw).scanObject());
}

function stringMember(members: readonly Member[], wanted: string): string {
  const found = members.find(({ name }) => name === wanted);
  if (found?.canonical.startsWith('"') !== true) throw new InvalidJson(`a document has no ${wanted}`);
  return JSON.parse(found.canonical) as string;
}

/** Fields may be missing in what another server than CouchDB sends. */
function stubsOf(canonical: string): readonly AttachmentStub[] {
  const stubs = JSON.parse(canonical) as Readonly<Record<string, Partial<AttachmentStub>>>;
  return Object.entries(stubs).map(([name, stub]) => ({
    name,
    content_type: stub.content_type ?? 'application/octet-stream',
    digest: stub.digest ?? '',
    revpos: stub.revpos ?? 0,
    length: stub.length ?? -1,
  }));
}

/** Fields of CouchDB that describe the history of a document, not its content. */
const NO_CONTENT = new Set(['_revisions', '_attachments']);

/**
 * SHA-256 of the canonical JSON of a leaf. Attachments count by type and by the SHA-256 of their content,
 * which `hashes` gives by name.
 */
export function contentHash(leaf: LeafText, hashes: ReadonlyMap<string, string>): string {
  const keys: string[] = [];
  const values: string[] = [];
  for (const { name, canonical } of leaf.members) {
    if (NO_CONTENT.has(name)) continue;
    keys.push(JSON.stringify(name));
    values.push(canonical);
  }
  if (leaf.stubs.length > 0) {
    keys.push('"_attachments"');
    values.push(
      canonicalObject(
        leaf.stubs.map(({ name }) => JSON.stringify(name)),
        leaf.stubs.map(
          ({ name, content_type: type }) =>
            `{"content_type":${JSON.stringify(type)},"sha256":"${hashes.get(name) ?? ''}"}`,
        ),
      ),
    );
  }
  return sha256(canonicalObject(keys, values));
}

/** Returns the JSON of a document with another value of `_attachments`. */
export function withAttachments(leaf: LeafText, value: string): string {
  const member = leaf.members.find(({ name }) => name === '_attachments');
  if (member === undefined) return leaf.raw;
  const { start, raw } = leaf;
  return raw.slice(0, member.valueStart - start) + value + raw.slice(member.end - start);
}
