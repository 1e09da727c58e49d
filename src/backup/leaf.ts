// Reads one leaf revision from the text of CouchDB: its identity, its attachments, and its content hash.
import { canonicalObject, InvalidJson, JsonCursor, sha256 } from './canonical.ts';
import type { Member, ScannedObject } from './canonical.ts';
import { isCount } from './index-shape.ts';

/** An attachment as CouchDB describes it in a document without the data. */
export interface AttachmentStub {
  readonly name: string;
  readonly content_type: string;
  /** MD5 of what CouchDB stores, which may be compressed: `md5-…`. */
  readonly digest: string;
  readonly revpos: number;
  /**
   * Bytes of the content; of a file that a client compressed itself, what the client said. -1 if that is no
   * number of bytes.
   */
  readonly length: number;
  /** How CouchDB stores it, if it is compressed: `gzip`. */
  readonly encoding?: string;
  /** Bytes that CouchDB stores; -1 if it does not say so. */
  readonly encoded_length?: number;
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
  /** The content hash of a leaf without attachments; undefined if their content is needed first. */
  readonly bareHash: string | undefined;
}

/** Reads a document that was scanned as part of `text`. Throws `InvalidJson` if it is not a document. */
export function leafOf(text: string, scanned: ScannedObject): LeafText {
  const { members, start, end } = scanned;
  let id: string | undefined;
  let rev: string | undefined;
  let deleted = false;
  let stubs: readonly AttachmentStub[] = [];
  for (const { name, canonical } of members)
    if (!name.startsWith('_')) continue;
    else if (name === '_id') id = textOf(canonical);
    else if (name === '_rev') rev = textOf(canonical);
    else if (name === '_deleted') deleted = canonical === 'true';
    else if (name === '_attachments') stubs = stubsOf(canonical);
  if (id === undefined || rev === undefined) throw new InvalidJson('a document has no _id or no _rev');
  const raw = text.slice(start, end).replaceAll('\n', ' ');
  // The members are not kept: they would survive until the document is written, at the price of its size.
  const bareHash = stubs.length === 0 ? sha256(contentOf(members)) : undefined;
  return { id, rev, deleted, raw, stubs, bareHash };
}

/** Reads a document whose text begins at the position 0. */
export function leafOfText(raw: string): LeafText {
  return leafOf(raw, new JsonCursor(raw).scanObject());
}

/** The members of a leaf; their positions are those in `raw`. */
export function membersOf(leaf: LeafText): readonly Member[] {
  return new JsonCursor(leaf.raw).scanObject().members;
}

/** The revisions before this one, newest first, as far as `_revisions` has them. */
export function ancestorsOf(leaf: LeafText): readonly string[] {
  const history = membersOf(leaf).find(({ name }) => name === '_revisions');
  if (history === undefined) return [];
  const { start, ids } = JSON.parse(history.canonical) as { start: number; ids: readonly string[] };
  return ids.slice(1).map((id, before) => `${start - 1 - before}-${id}`);
}

/** The value of a string in canonical form; undefined for another value. */
function textOf(canonical: string): string | undefined {
  if (!canonical.startsWith('"')) return undefined;
  return canonical.includes('\\') ? (JSON.parse(canonical) as string) : canonical.slice(1, -1);
}

/**
 * Fields may be missing in what another server than CouchDB sends. CouchDB keeps `revpos` and the `length` of
 * a compressed attachment as a client wrote them, whatever they are (H39.3).
 */
function stubsOf(canonical: string): readonly AttachmentStub[] {
  const stubs = JSON.parse(canonical) as Readonly<
    Record<string, Readonly<Partial<Record<keyof AttachmentStub, unknown>>>>
  >;
  return Object.entries(stubs).map(([name, stub]) => ({
    name,
    content_type: (stub.content_type ?? 'application/octet-stream') as string,
    digest: typeof stub.digest === 'string' ? stub.digest : '',
    revpos: isCount(stub.revpos) ? stub.revpos : 0,
    length: isCount(stub.length) ? stub.length : -1,
    ...(typeof stub.encoding !== 'string' || stub.encoding === 'identity'
      ? {}
      : { encoding: stub.encoding, encoded_length: isCount(stub.encoded_length) ? stub.encoded_length : -1 }),
  }));
}

/**
 * SHA-256 of the canonical JSON of a leaf. Attachments count by type and by the SHA-256 of their content,
 * which `hashes` gives by name.
 */
export function contentHash(leaf: LeafText, hashes: ReadonlyMap<string, string>): string {
  if (leaf.bareHash !== undefined) return leaf.bareHash;
  const attachments = canonicalObject(
    leaf.stubs.map(({ name }) => JSON.stringify(name)),
    leaf.stubs.map(
      ({ name, content_type: type }) =>
        `{"content_type":${JSON.stringify(type)},"sha256":"${hashes.get(name) ?? ''}"}`,
    ),
  );
  return sha256(contentOf(membersOf(leaf), attachments));
}

/** Canonical JSON of the content: without the fields that describe the history of a document. */
function contentOf(members: readonly Member[], attachments?: string): string {
  const keys: string[] = [];
  const values: string[] = [];
  for (const { name, key, canonical } of members) {
    if (name === '_revisions' || name === '_attachments') continue;
    keys.push(key);
    values.push(canonical);
  }
  if (attachments !== undefined) {
    keys.push('"_attachments"');
    values.push(attachments);
  }
  return canonicalObject(keys, values);
}

/** Returns the JSON of a document with another value of `_attachments`. */
export function withAttachments(leaf: LeafText, value: string): string {
  const member = membersOf(leaf).find(({ name }) => name === '_attachments');
  if (member === undefined) return leaf.raw;
  return leaf.raw.slice(0, member.valueStart) + value + leaf.raw.slice(member.end);
}
