// Checks the passwords of API keys, from memory if possible.
import { type Couch } from '../couch/couch.ts';
import { type NewKey, type KeyStore, type KeySummary, type KeyVerdict } from './api-key.ts';
import { KeyCache } from './key-cache.ts';
import { type CachedKey, type KeyRecord, summarise } from './key-document.ts';
import { KeyUse } from './key-use.ts';
import { KeyWrites } from './key-writes.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { isKeyShaped, matchPassword } from './secret.ts';
import { type Store } from '../couch/store.ts';

export interface KeyStoreOptions {
  readonly couch: Couch;
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'onInvalidation' | 'publish' | 'deliver'>;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  readonly now: () => number;
}

export interface RunningKeyStore extends KeyStore {
  /** Writes the pending `last_used` times. */
  close(): Promise<void>;
}

const WRONG: KeyVerdict = { outcome: 'wrong' };
const EXPIRED: KeyVerdict = { outcome: 'expired' };
const NOT_A_KEY: KeyVerdict = { outcome: 'notAKey' };

/**
 * Creates the key store. It must be created before other listeners of the invalidation bus, so that they read
 * the changed key.
 */
export function createKeyStore(options: KeyStoreOptions): RunningKeyStore {
  return new CouchKeyStore(options);
}

class CouchKeyStore implements RunningKeyStore {
  readonly #options: KeyStoreOptions;
  readonly #cache: KeyCache;
  readonly #writes: KeyWrites;
  readonly #use: KeyUse;

  constructor(options: KeyStoreOptions) {
    const { store, bus, now } = options;
    this.#options = options;
    this.#cache = new KeyCache({
      store,
      now,
      fallbackMs: options.fallbackCacheSeconds * 1000,
      outageMs: options.outageCacheSeconds * 1000,
      onChange: (name) => {
        bus.deliver({ kind: 'key', name });
        this.#cache.markFresh(name);
      },
    });
    this.#writes = new KeyWrites(options, this.#cache);
    this.#use = new KeyUse({ store, now, lastUse: (name) => this.#cache.lastUse(name) });
    bus.onInvalidation((item) => {
      if (item.kind === 'key') this.#cache.markStale(item.name);
    });
  }

  close(): Promise<void> {
    return this.#use.close();
  }

  verify(name: string, password: string): KeyVerdict | Promise<KeyVerdict> {
    if (!isKeyShaped(name)) {
      matchPassword([], password);
      return NOT_A_KEY;
    }
    const cached = this.#cache.find(name);
    return cached instanceof Promise
      ? cached.then((read) => this.#verify(name, read, password))
      : this.#verify(name, cached, password);
  }

  #verify(name: string, cached: CachedKey, password: string): KeyVerdict | Promise<KeyVerdict> {
    const verdict = this.#check(cached, password);
    if (verdict !== WRONG || cached.revoked) return verdict;
    // Another replica may have rotated the key just now.
    return this.#cache.confirm(name)?.then((read) => this.#check(read, password)) ?? verdict;
  }

  #check({ record, revoked }: CachedKey, password: string): KeyVerdict {
    const digest = matchPassword(record?.digests ?? [], password);
    if (revoked) return WRONG;
    if (record === undefined) return NOT_A_KEY;
    if (digest === undefined) return WRONG;
    const now = this.#options.now();
    const until = Math.min(digest.until, record.until);
    if (until <= now) return digest.until <= now ? WRONG : EXPIRED;
    this.#use.note(record.name);
    return { outcome: 'accepted', version: digest.salt, until };
  }

  holds(name: string, version: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const cached = this.#cache.find(name);
    if (cached instanceof Promise) return cached.then((read) => this.#isValid(read, version));
    if (this.#isValid(cached, version)) return true;
    return this.#cache.confirm(name)?.then((read) => this.#isValid(read, version)) ?? false;
  }

  #isValid({ record, revoked }: CachedKey, version: string): boolean {
    const now = this.#options.now();
    if (record === undefined || revoked || record.until <= now) return false;
    const isValid = record.digests.some(({ salt, until }) => salt === version && until > now);
    if (isValid) this.#use.note(record.name);
    return isValid;
  }

  isKeyName(name: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const isKey = ({ record, revoked }: CachedKey): boolean => record !== undefined || revoked;
    const cached = this.#cache.find(name);
    return cached instanceof Promise ? cached.then(isKey) : isKey(cached);
  }

  recall(name: string): 'valid' | 'revoked' | undefined {
    return this.#cache.recall(name);
  }

  create(properties: NewKey): ReturnType<KeyStore['create']> {
    return this.#writes.create(properties);
  }

  async list(): Promise<readonly KeySummary[]> {
    const records = await this.#cache.all();
    return records
      .toSorted((a, b) => (a.createdAt + a.name < b.createdAt + b.name ? -1 : 1))
      .map((record) => this.#summary(record));
  }

  async describe(name: string): Promise<KeySummary | undefined> {
    if (!isKeyShaped(name)) return undefined;
    const { record, revoked } = await this.#cache.find(name);
    return record === undefined || revoked ? undefined : this.#summary(record);
  }

  async change(...change: Parameters<KeyStore['change']>): ReturnType<KeyStore['change']> {
    const record = await this.#writes.change(...change);
    return record === undefined ? undefined : this.#summary(record);
  }

  revoke(name: string, by: string): Promise<boolean> {
    return this.#writes.revoke(name, by);
  }

  rotate(name: string, overlapSeconds: number): ReturnType<KeyStore['rotate']> {
    return this.#writes.rotate(name, overlapSeconds);
  }

  #summary(record: KeyRecord): KeySummary {
    return summarise(record, this.#cache.lastUse(record.name)?.hour);
  }
}
