// Reads the `key:` document of a name, also if concurrent writes left several states of it.
import { type Store, type StoredDocument } from '../couch/store.ts';
import { KEY, type KeyRecord, parseKey } from './key-document.ts';

/** A key with the revisions of the leaves beside the winner. */
export interface ReadKey {
  readonly record: KeyRecord;
  readonly losers: readonly string[];
}

/** The revisions of the leaves beside the winner, in a document that was read with them. */
export function losersIn(document: Readonly<Record<string, unknown>>): readonly string[] {
  const { _conflicts: losers } = document;
  return Array.isArray(losers) ? losers.filter((rev) => typeof rev === 'string') : [];
}

/**
 * Reads a key; `undefined` = there is none. Throws `Unavailable`. CouchDB's choice of a winner must not bring
 * back what an owner has ended: a change of the label can win against a rotation at the same time. The
 * passwords are those of the last rotation, and the key ends at the earliest time of all leaves (H21).
 */
export async function readKey(store: Pick<Store, 'read'>, name: string): Promise<ReadKey | undefined> {
  const document = await store.read(KEY + name, { conflicts: true });
  if (document === undefined) return undefined;
  const losers = losersIn(document);
  const leaves = await Promise.all(losers.map((rev) => store.read(KEY + name, { rev })));
  const others = leaves.filter((leaf): leaf is StoredDocument => leaf !== undefined).map(parseKey);
  const winner = parseKey(document);
  const newest = others.reduce((best, one) => (one.rotations > best.rotations ? one : best), winner);
  const until = Math.min(winner.until, ...others.map((one) => one.until));
  const { digests, rotations } = newest;
  return { record: { ...winner, digests, rotations, until }, losers };
}
