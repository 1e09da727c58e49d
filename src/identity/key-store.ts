// Checks the passwords of API keys, from memory if possible.
import { type Couch } from '../couch/couch.ts';
import { type KeyPage, type KeyStore, type KeySummary, type KeyVerdict } from './api-key.ts';
import { KeyCache } from './key-cache.ts';
import { type CachedKey, HOUR_MS, type KeyRecord, summarise, USED, usedHourIn } from './key-document.ts';
import { KeyList } from './key-list.ts';
import { KeyUse } from './key-use.ts';
import { KeyWrites } from './key-writes.ts';
import { type KnownKey } from './known-key.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { isKeyShaped, matchPassword } from './secret.ts';
import { type Store } from '../couch/store.ts';

export interface KeyStoreOptions {
  readonly couch: Couch;
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'onMessage' | 'publish' | 'deliver'>;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  /** Keys in memory. */
  readonly keyCacheEntries: number;
  readonly now: () => number;
}

export interface RunningKeyStore extends KeyStore {
  /** Keys in memory, and names read from the store so far. */
  readonly stats: { readonly entries: number; readonly reads: number };
  /** Writes the pending `last_used` times. */
  close(): Promise<void>;
}

const WRONG: KeyVerdict = { outcome: 'wrong' };
const EXPIRED: KeyVerdict = { outcome: 'expired' };
const NOT_A_KEY: KeyVerdict = { outcome: 'notAKey' };

/** Creates the key store. It listens to the invalidation bus. */
export function createKeyStore(options: KeyStoreOptions): RunningKeyStore {
  return new CouchKeyStore(options);
}

class CouchKeyStore implements RunningKeyStore {
  readonly #options: KeyStoreOptions;
  readonly #cache: KeyCache;
  readonly #writes: KeyWrites;
  readonly #use: KeyUse;
  readonly #list: KeyList;

  constructor(options: KeyStoreOptions) {
    const { store, bus, now } = options;
    this.#options = options;
    this.#cache = new KeyCache({
      store,
      now,
      maxKeys: options.keyCacheEntries,
      fallbackMs: options.fallbackCacheSeconds * 1000,
      outageMs: options.outageCacheSeconds * 1000,
      onChange: (name) => this.#cache.announce(name, () => bus.deliver({ kind: 'key', name })),
    });
    this.#writes = new KeyWrites(options, this.#cache);
    this.#use = new KeyUse({ store });
    this.#list = new KeyList(store, this.#cache);
    bus.onMessage((item) => {
      if (item.kind === 'key') this.#cache.markStale(item.name);
    });
  }

  get stats(): RunningKeyStore['stats'] {
    return { entries: this.#cache.size, reads: this.#cache.reads };
  }

  close(): Promise<void> {
    this.#cache.close();
    return this.#use.close();
  }

  verify(name: string, password: string, caller = ''): KeyVerdict | Promise<KeyVerdict> {
    if (!isKeyShaped(name)) {
      matchPassword([], password);
      return NOT_A_KEY;
    }
    const known = this.#cache.find(name, caller);
    return known instanceof Promise
      ? known.then((read) => this.#verify(name, read, password, caller))
      : this.#verify(name, known, password, caller);
  }

  #verify(name: string, known: KnownKey, password: string, caller: string): KeyVerdict | Promise<KeyVerdict> {
    const verdict = this.#check(name, known, password);
    if (verdict !== WRONG || known.revoked) return verdict;
    // Another replica may have rotated the key just now.
    return (
      this.#cache.confirm(name, known, caller)?.then((read) => this.#check(name, read, password)) ?? verdict
    );
  }

  #check(name: string, known: KnownKey, password: string): KeyVerdict {
    const { record, revoked } = known;
    const digest = matchPassword(record?.digests ?? [], password);
    if (revoked) return WRONG;
    if (record === undefined) return NOT_A_KEY;
    if (digest === undefined) return WRONG;
    const now = this.#options.now();
    const until = Math.min(digest.until, record.until);
    if (until <= now) return digest.until <= now ? WRONG : EXPIRED;
    this.#used(name, known, now);
    return { outcome: 'accepted', version: digest.salt, until };
  }

  holds(name: string, version: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const known = this.#cache.find(name, name);
    if (known instanceof Promise) return known.then((read) => this.#isValid(name, read, version));
    if (this.#isValid(name, known, version)) return true;
    return (
      this.#cache.confirm(name, known, name)?.then((read) => this.#isValid(name, read, version)) ?? false
    );
  }

  #isValid(name: string, known: KnownKey, version: string): boolean {
    const now = this.#options.now();
    const { record, revoked } = known;
    if (record === undefined || revoked || record.until <= now) return false;
    for (const { salt, until } of record.digests) {
      if (salt !== version || until <= now) continue;
      this.#used(name, known, now);
      return true;
    }
    return false;
  }

  /** Records the use of a key, and keeps it in memory. */
  #used(name: string, known: KnownKey, now: number): void {
    if (!known.isKept) this.#cache.keep(name, known);
    const hour = Math.floor(now / HOUR_MS);
    if (known.usedHour === hour) return;
    known.usedHour = hour;
    this.#use.note(name, hour);
  }

  isKeyName(name: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const isKey = ({ record, revoked }: CachedKey): boolean => record !== undefined || revoked;
    const known = this.#cache.find(name, '');
    return known instanceof Promise ? known.then(isKey) : isKey(known);
  }

  recall(name: string): 'valid' | 'revoked' | undefined {
    return this.#cache.recall(name);
  }

  create(...key: Parameters<KeyStore['create']>): ReturnType<KeyStore['create']> {
    return this.#writes.create(...key);
  }

  page(after: string, limit: number): Promise<KeyPage> {
    return this.#list.page(after, limit);
  }

  hasAny(): Promise<boolean> {
    return this.#list.hasAny();
  }

  named(names: readonly string[]): ReturnType<KeyStore['named']> {
    return this.#list.named(names.filter(isKeyShaped));
  }

  async describe(name: string): Promise<KeySummary | undefined> {
    if (!isKeyShaped(name)) return undefined;
    const { record, revoked } = await this.#cache.find(name, '');
    return record === undefined || revoked ? undefined : this.#summary(record);
  }

  async change(...change: Parameters<KeyStore['change']>): ReturnType<KeyStore['change']> {
    const record = await this.#writes.change(...change);
    return record === undefined ? undefined : this.#summary(record);
  }

  revoke(name: string, by: string): Promise<boolean> {
    return this.#writes.revoke(name, by);
  }

  rotate(...rotation: Parameters<KeyStore['rotate']>): ReturnType<KeyStore['rotate']> {
    return this.#writes.rotate(...rotation);
  }

  async #summary(record: KeyRecord): Promise<KeySummary> {
    return summarise(record, usedHourIn(await this.#options.store.read(USED + record.name)));
  }
}
