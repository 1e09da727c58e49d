// Reads the answer of `_bulk_get`: the leaves of documents, byte for byte.
import { isAscii } from 'node:buffer';
import { JsonCursor } from './canonical.ts';
import { leafOf, type LeafText } from './leaf.ts';

/** The leaves of one document, or the reason why they cannot be read. */
export type DocumentRead =
  | { readonly id: string; readonly leaves: readonly LeafText[] }
  /** Its leaves are too large together. */
  | { readonly id: string; readonly isLarge: true }
  | { readonly id: string; readonly error: string };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws TypeError for invalid UTF-8. The text of an ASCII answer is not copied character by character. */
export function textOf(bytes: Buffer): string {
  return isAscii(bytes) ? bytes.toString('latin1') : utf8.decode(bytes);
}

/** Reads the answer of `_bulk_get`. Throws `InvalidJson`, or TypeError for invalid UTF-8. */
export function documentsIn(ids: readonly string[], bytes: Buffer): readonly DocumentRead[] {
  const results = new Map<string, { leaves: LeafText[]; error: string | undefined }>();
  const text = textOf(bytes);
  const cursor = new JsonCursor(text);
  cursor.object((key) => {
    if (key !== '"results"') return void cursor.value();
    cursor.array(() => {
      let id = '';
      const leaves: LeafText[] = [];
      let error: string | undefined;
      cursor.object((field) => {
        if (field === '"id"') id = JSON.parse(cursor.value()) as string;
        else if (field !== '"docs"') cursor.value();
        else
          cursor.array(() =>
            cursor.object((kind) => {
              if (kind === '"ok"') leaves.push(leafOf(text, cursor.scanObject()));
              else error = errorOf(cursor.value());
            }),
          );
      });
      if (leaves.some((leaf) => leaf.id !== id)) error = 'CouchDB returned another document';
      const earlier = results.get(id);
      results.set(id, { leaves: [...(earlier?.leaves ?? []), ...leaves], error: error ?? earlier?.error });
    });
  });
  // CouchDB can leave an item out; nothing may be lost without a word.
  return ids.map((id) => {
    const result = results.get(id);
    if (result === undefined) return { id, error: 'CouchDB returned no result' };
    if (result.error !== undefined) return { id, error: result.error };
    return result.leaves.length > 0
      ? { id, leaves: result.leaves }
      : { id, error: 'CouchDB returned no revision' };
  });
}

/** `not_found: missing`. */
function errorOf(canonical: string): string {
  const { error, reason } = JSON.parse(canonical) as { error?: unknown; reason?: unknown };
  return `${String(error)}: ${String(reason)}`;
}

export function isMissing(problem: string): boolean {
  return problem.startsWith('not_found:');
}
