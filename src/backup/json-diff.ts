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
/** Each change repeats the keys above it, which a writer chooses: they could fill the memory (H39.6). */
const MAX_PATH_CHARACTERS = 8_388_608;

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

/**
 * Lists the differences in the order of the older value. If their paths together are too long, the whole
 * value is one difference.
 */
export function jsonDiff(before: unknown, after: unknown): readonly JsonChange[] {
  const comparison = new Comparison();
  comparison.compare(before, after, []);
  if (comparison.pathCharacters <= MAX_PATH_CHARACTERS) return comparison.changes;
  return [{ kind: 'changed', path: [], before: writeJson(before), after: writeJson(after) }];
}

type Path = JsonChange['path'];

class Comparison {
  readonly changes: JsonChange[] = [];
  /** Characters of the paths of all changes; past the limit, nothing more is compared. */
  pathCharacters = 0;

  compare(before: unknown, after: unknown, path: Path): void {
    const [left, right] = [fieldsOf(before), fieldsOf(after)];
    const isComparable =
      left !== undefined && right !== undefined && Array.isArray(before) === Array.isArray(after);
    if (!isComparable || path.length >= MAX_DEPTH) {
      const [a, b] = [writeJson(before), writeJson(after)];
      if (a !== b) this.#add({ kind: 'changed', path, before: a, after: b });
      return;
    }
    const isArray = Array.isArray(before);
    for (const [key, value] of left) {
      if (this.pathCharacters > MAX_PATH_CHARACTERS) return;
      const inner = [...path, isArray ? Number(key) : key];
      if (right.has(key)) this.compare(value, right.get(key), inner);
      else this.#add({ kind: 'removed', path: inner, before: writeJson(value) });
    }
    for (const [key, value] of right) {
      if (this.pathCharacters > MAX_PATH_CHARACTERS) return;
      if (left.has(key)) continue;
      this.#add({ kind: 'added', path: [...path, isArray ? Number(key) : key], after: writeJson(value) });
    }
  }

  #add(change: JsonChange): void {
    this.changes.push(change);
    for (const step of change.path) this.pathCharacters += String(step).length + 1;
  }
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : undefined;
}
