// Reads the `key:` document of a name, also if concurrent writes left several states of it.
import { losersIn } from '../couch/revision.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';
import { KEY, type KeyRecord, parseKey } from './key-document.ts';
import { type Digest } from './secret.ts';

/** A key with the revisions of the leaves beside the winner. */
export interface ReadKey {
  readonly record: KeyRecord;
  readonly losers: readonly string[];
}

/**
 * Reads a key; `undefined` = there is none. Throws `Unavailable`. CouchDB's choice of a winner must not bring
 * back what an owner has ended: a change of the label can win against a rotation at the same time. The
 * passwords are those of the last rotation, and the key ends at the earliest time of all leaves (H21). Of
 * rotations at the same time, nothing says which one was acknowledged.
 */
export async function readKey(store: Pick<Store, 'read'>, name: string): Promise<ReadKey | undefined> {
  const document = await store.read(KEY + name, { conflicts: true });
  if (document === undefined) return undefined;
  const losers = losersIn(document);
  const leaves = await Promise.all(losers.map((rev) => store.read(KEY + name, { rev })));
  const others = leaves.filter((leaf): leaf is StoredDocument => leaf !== undefined).map(parseKey);
  const winner = parseKey(document);
  const states = [winner, ...others];
  const rotations = Math.max(...states.map((one) => one.rotations));
  const until = Math.min(...states.map((one) => one.until));
  const digests = sharedDigests(states.filter((one) => one.rotations === rotations));
  return { record: { ...winner, digests, rotations, until }, losers };
}

/** The first digest of each state, which its rotation added, and older ones that no state has ended. */
function sharedDigests(states: readonly KeyRecord[]): readonly Digest[] {
  const added = new Set(states.map(({ digests }) => digests[0]?.salt));
  const all = states.flatMap(({ digests }) => digests);
  const salts = [...new Set(all.map(({ salt }) => salt))];
  return salts.flatMap((salt) => {
    const same = all.filter((digest) => digest.salt === salt);
    if (!added.has(salt) && same.length < states.length) return [];
    return same
      .slice(0, 1)
      .map((digest) => ({ ...digest, until: Math.min(...same.map((one) => one.until)) }));
  });
}
