// Lists API keys from the store, page by page: a worker does not hold all of them.
import { type Store, type StoredDocument } from '../couch/store.ts';
import { type KeyPage, type KeySummary } from './api-key.ts';
import {
  isNewer,
  KEY,
  type KeyRecord,
  parseKey,
  REVOKED,
  summarise,
  USED,
  usedHourIn,
} from './key-document.ts';
import { type KeyChange } from './known-key.ts';

/** After every name of a key. */
const END = '\ufff0';
/** Keys per request to the store. */
const PAGE = 2000;
/** Names per request: three documents each. */
const NAMES = 500;

/**
 * Reads pages of one copy of the store, without a quorum. The latest changes that this process knows are
 * applied to them, so a list shows what was just changed.
 */
export class KeyList {
  readonly #store: Store;
  readonly #latest: { readonly changes: Iterable<readonly [string, KeyChange]> };

  constructor(store: Store, latest: { readonly changes: Iterable<readonly [string, KeyChange]> }) {
    this.#store = store;
    this.#latest = latest;
  }

  /**
   * Reads the keys with names after `after`, in the order of their names, from at most `limit` names. Revoked
   * ones are left out.
   */
  async page(after: string, limit: number): Promise<KeyPage> {
    const from = `${after}\u0000`;
    const { documents, next } = await this.#store.range(KEY + from, KEY + END, limit);
    const last = next === undefined ? END : next.slice(KEY.length, -1);
    const [revoked, used] = await Promise.all([
      this.#allFrom(REVOKED, from, last),
      this.#allFrom(USED, from, last),
    ]);
    const records = new Map(
      documents.map((document) => [document._id.slice(KEY.length), parseKey(document)]),
    );
    const ended = new Set(revoked.map(({ _id }) => _id.slice(REVOKED.length)));
    for (const [name, change] of this.#latest.changes)
      if (name > after && name <= last) applyTo(records, ended, name, change);
    const hours = new Map(used.map((document) => [document._id.slice(USED.length), usedHourIn(document)]));
    const keys = [...records.values()]
      .filter(({ name }) => !ended.has(name))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((record) => summarise(record, hours.get(record.name)));
    return { keys, next: next === undefined ? undefined : last };
  }

  async hasAny(): Promise<boolean> {
    const { keys, next } = await this.page('', 100);
    return keys.length > 0 || next !== undefined;
  }

  /** Looks up names of keys; those of no key are missing. */
  async named(names: readonly string[]): Promise<ReadonlyMap<string, KeySummary | 'revoked'>> {
    const found = new Map<string, KeySummary | 'revoked'>();
    const latest = new Map(this.#latest.changes);
    for (let at = 0; at < names.length; at += NAMES) {
      const part = names.slice(at, at + NAMES);
      const documents = await this.#store.readMany(
        part.flatMap((name) => [KEY + name, REVOKED + name, USED + name]),
      );
      for (const name of part) {
        const records = new Map<string, KeyRecord>();
        const ended = new Set<string>();
        const document = documents.get(KEY + name);
        if (document !== undefined) records.set(name, parseKey(document));
        if (documents.has(REVOKED + name)) ended.add(name);
        applyTo(records, ended, name, latest.get(name));
        const record = records.get(name);
        if (ended.has(name)) found.set(name, 'revoked');
        else if (record !== undefined)
          found.set(name, summarise(record, usedHourIn(documents.get(USED + name))));
      }
    }
    return found;
  }

  async #allFrom(prefix: string, from: string, last: string): Promise<readonly StoredDocument[]> {
    const found: StoredDocument[] = [];
    for (let start: string | undefined = prefix + from; start !== undefined;) {
      const { documents, next } = await this.#store.range(start, prefix + last, PAGE);
      for (const document of documents) found.push(document);
      start = next;
    }
    return found;
  }
}

function applyTo(
  records: Map<string, KeyRecord>,
  ended: Set<string>,
  name: string,
  change: KeyChange | undefined,
): void {
  if (change === undefined) return;
  if (change.revoked) ended.add(name);
  if (change.rev === '' || !isNewer(change.rev, records.get(name)?.rev ?? '0-')) return;
  if (change.record === undefined) records.delete(name);
  else records.set(name, change.record);
}
