// Compares two versions of a document and lists the paths that differ.
import { writeJson } from '../json/exact-numbers.ts';
import { parseStored } from '../json/parse.ts';
import { contentOf } from './index-shape.ts';
import { type PackedLeaf } from './pack.ts';

export interface JsonChange {
  readonly kind: 'added' | 'removed' | 'changed';
  /** Keys and positions from the top of the document. */
  readonly path: readonly (string | number)[];
  /** JSON text; absent if added. */
  readonly before?: string;
  /** JSON text; absent if removed. */
  readonly after?: string;
}

/** The fields that every revision changes, and those that compare attachments by CouchDB's digest. */
const LEFT_OUT = new Set(['_rev', '_revisions', '_attachments']);
/** Deeper parts are compared as one value. */
const MAX_DEPTH = 100;

/** Returns the content of a stored leaf for `jsonDiff`: attachments by type, length and SHA-256. */
export function comparable(packed: PackedLeaf): unknown {
  return comparableDocument(packed.leaf.raw, (name) => {
    const attachment = packed.attachments.get(name);
    return attachment === undefined ? '' : contentOf(attachment);
  });
}

/** Returns the content of a document; `hashOf` gives the SHA-256 of each attachment. */
export function comparableDocument(raw: string, hashOf: (name: string) => string): unknown {
  const document = parseStored(Buffer.from(raw)) as Record<string, unknown>;
  const { _attachments: stubs } = document as { _attachments?: Record<string, Record<string, unknown>> };
  const kept = Object.entries(document).filter(([name]) => !LEFT_OUT.has(name));
  const attachments = Object.entries(stubs ?? {}).map(([name, { content_type: type, length }]) => [
    name,
    { content_type: type, length, sha256: hashOf(name) },
  ]);
  return Object.fromEntries([
    ...kept,
    ...(attachments.length > 0 ? [['_attachments', Object.fromEntries(attachments)]] : []),
  ]);
}

/** Lists the differences in the order of the older value. */
export function jsonDiff(before: unknown, after: unknown): readonly JsonChange[] {
  const changes: JsonChange[] = [];
  collect(before, after, [], changes);
  return changes;
}

function collect(
  before: unknown,
  after: unknown,
  path: readonly (string | number)[],
  changes: JsonChange[],
): void {
  const [left, right] = [fieldsOf(before), fieldsOf(after)];
  const isComparable =
    left !== undefined && right !== undefined && Array.isArray(before) === Array.isArray(after);
  if (!isComparable || path.length >= MAX_DEPTH) {
    const [a, b] = [writeJson(before), writeJson(after)];
    if (a !== b) changes.push({ kind: 'changed', path, before: a, after: b });
    return;
  }
  for (const [key, value] of left) {
    const step = Array.isArray(before) ? Number(key) : key;
    if (right.has(key)) collect(value, right.get(key), [...path, step], changes);
    else changes.push({ kind: 'removed', path: [...path, step], before: writeJson(value) });
  }
  for (const [key, value] of right)
    if (!left.has(key))
      changes.push({
        kind: 'added',
        path: [...path, Array.isArray(after) ? Number(key) : key],
        after: writeJson(value),
      });
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : undefined;
}
