// The state of one name in memory, and how a change of the store brings it up to date.
import { type ChangeRow } from '../couch/couch.ts';
import { losersIn } from '../couch/revision.ts';
import { type StoredDocument } from '../couch/store.ts';
import { type CachedKey, isNewer, KEY, type KeyRecord, parseKey, REVOKED } from './key-document.ts';

/** A change of one name: from the feed, or a write of this process. */
export interface KeyChange {
  /** Revision of the `key:` document; empty = the change says nothing about that document. */
  readonly rev: string;
  /** `undefined` with a revision = the document was deleted. */
  readonly record: KeyRecord | undefined;
  readonly revoked: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/**
 * Reads a row of the feed. `undefined` = not about a key. A name without `change` must be read again: its
 * revocation was removed, the row does not say which revision was deleted, or there are several leaves.
 */
export function changeIn(
  { id, deleted, doc }: ChangeRow,
  at: number,
): { readonly name: string; readonly change: KeyChange | undefined } | undefined {
  if (id.startsWith(REVOKED)) {
    const change = deleted ? undefined : { rev: '', record: undefined, revoked: true, at };
    return { name: id.slice(REVOKED.length), change };
  }
  if (!id.startsWith(KEY)) return undefined;
  const name = id.slice(KEY.length);
  const rev = typeof doc?.['_rev'] === 'string' ? doc['_rev'] : '';
  // Beside the winner, other leaves count too.
  if (rev === '' || losersIn(doc).length > 0) return { name, change: undefined };
  const record = deleted ? undefined : parseKey(doc as StoredDocument);
  return { name, change: { rev, record, revoked: false, at } };
}

/** Joins two changes of one name: a revocation stays, and the newer document counts. */
export function joinChanges(before: KeyChange | undefined, after: KeyChange): KeyChange {
  if (before === undefined) return after;
  const isBefore = after.rev === '' || (before.rev !== '' && isNewer(before.rev, after.rev));
  const { rev, record } = isBefore ? before : after;
  return { rev, record, revoked: before.revoked || after.revoked, at: after.at };
}

/** When an entry was read, and what that means for its validity. */
export interface ReadFacts {
  /** When its read started, in milliseconds since 1970; -Infinity = it was written here and not read. */
  readonly at: number;
  /** Number of times that the feed had gone up or down before. */
  readonly feedEpoch: number;
  /** True if the feed reports every later change. */
  readonly isCovered: boolean;
}

/** The state of one name in memory. */
export class KnownKey implements CachedKey {
  record: KeyRecord | undefined;
  revoked: boolean;
  readonly facts: ReadFacts;
  /** True if an invalidation said that the name has changed since. */
  isStale = false;
  /** True in the memory of used keys, see key-cache.ts. */
  isKept = false;
  /** Hour since 1970 for which a use was recorded. */
  usedHour = -1;

  constructor(record: KeyRecord | undefined, revoked: boolean, facts: ReadFacts) {
    this.record = record;
    this.revoked = revoked;
    this.facts = facts;
  }

  /** Applies a change that was seen after the entry was stored. */
  apply({ rev, record, revoked }: KeyChange): void {
    this.revoked ||= revoked;
    if (rev !== '' && (this.record === undefined || isNewer(rev, this.record.rev))) this.record = record;
  }

  /**
   * Applies a change that was seen before or during the read. A copy of the store may have answered that does
   * not have it yet. If the document is missing, only a change within `lagMs` makes it present: later, it
   * counts as deleted.
   */
  catchUp(change: KeyChange | undefined, lagMs: number): void {
    if (change === undefined) return;
    if (this.record === undefined && this.facts.at - change.at >= lagMs) this.revoked ||= change.revoked;
    else this.apply(change);
  }
}
