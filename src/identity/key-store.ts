// Decides whether a password is an API key's, at once from memory where that can be. What memory holds and how fresh it is, is
// key-copies.ts's business; how keys are made, changed and ended, key-writes.ts's.
import { type Couch } from '../couch/couch.ts';
import { type KeyOrder, type KeyStore, type KeySummary, type KeyVerdict } from './api-key.ts';
import { KeyCopies } from './key-copies.ts';
import { type KeyCopy, type KeyRecord, summarise } from './key-document.ts';
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
  /** Writes what is left to write of the last uses. */
  close(): Promise<void>;
}

const REFUSED: KeyVerdict = { outcome: 'wrong' };
const EXPIRED: KeyVerdict = { outcome: 'expired' };
const NOT_A_KEY: KeyVerdict = { outcome: 'notAKey' };

/** Must be made before whoever else listens to the desk: a listener that asks for a changed key then gets the change. */
export function createKeyStore(options: KeyStoreOptions): RunningKeyStore {
  return new CouchKeyStore(options);
}

class CouchKeyStore implements RunningKeyStore {
  readonly #options: KeyStoreOptions;
  readonly #copies: KeyCopies;
  readonly #writes: KeyWrites;
  readonly #use: KeyUse;

  constructor(options: KeyStoreOptions) {
    const { store, bus, now } = options;
    this.#options = options;
    this.#copies = new KeyCopies({
      store,
      now,
      fallbackMs: options.fallbackCacheSeconds * 1000,
      outageMs: options.outageCacheSeconds * 1000,
      onChange: (name) => {
        bus.deliver({ kind: 'key', name });
        this.#copies.markFresh(name);
      },
    });
    this.#writes = new KeyWrites(options, this.#copies);
    this.#use = new KeyUse({ store, now, lastUse: (name) => this.#copies.lastUse(name) });
    bus.onInvalidation((bus) => {
      if (bus.kind === 'key') this.#copies.markStale(bus.name);
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
    const copy = this.#copies.find(name);
    return copy instanceof Promise
      ? copy.then((read) => this.#verify(name, read, password))
      : this.#verify(name, copy, password);
  }

  #verify(name: string, copy: KeyCopy, password: string): KeyVerdict | Promise<KeyVerdict> {
    const verdict = this.#judge(copy, password);
    if (verdict !== REFUSED || copy.revoked) return verdict;
    // Another replica may have given the key a new password a moment ago.
    return this.#copies.confirm(name)?.then((read) => this.#judge(read, password)) ?? verdict;
  }

  #judge({ record, revoked }: KeyCopy, password: string): KeyVerdict {
    const digest = matchPassword(record?.digests ?? [], password);
    if (revoked) return REFUSED;
    if (record === undefined) return NOT_A_KEY;
    if (digest === undefined) return REFUSED;
    const now = this.#options.now();
    const until = Math.min(digest.until, record.until);
    if (until <= now) return digest.until <= now ? REFUSED : EXPIRED;
    this.#use.note(record.name);
    return { outcome: 'accepted', version: digest.salt, until };
  }

  holds(name: string, version: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const copy = this.#copies.find(name);
    if (copy instanceof Promise) return copy.then((read) => this.#isGood(read, version));
    if (this.#isGood(copy, version)) return true;
    return this.#copies.confirm(name)?.then((read) => this.#isGood(read, version)) ?? false;
  }

  #isGood({ record, revoked }: KeyCopy, version: string): boolean {
    const now = this.#options.now();
    if (record === undefined || revoked || record.until <= now) return false;
    const good = record.digests.some(({ salt, until }) => salt === version && until > now);
    if (good) this.#use.note(record.name);
    return good;
  }

  isKeyName(name: string): boolean | Promise<boolean> {
    if (!isKeyShaped(name)) return false;
    const isKey = ({ record, revoked }: KeyCopy): boolean => record !== undefined || revoked;
    const copy = this.#copies.find(name);
    return copy instanceof Promise ? copy.then(isKey) : isKey(copy);
  }

  create(order: KeyOrder): ReturnType<KeyStore['create']> {
    return this.#writes.create(order);
  }

  async list(): Promise<readonly KeySummary[]> {
    const records = await this.#copies.all();
    return records
      .toSorted((a, b) => (a.createdAt + a.name < b.createdAt + b.name ? -1 : 1))
      .map((record) => this.#summary(record));
  }

  async describe(name: string): Promise<KeySummary | undefined> {
    if (!isKeyShaped(name)) return undefined;
    const { record, revoked } = await this.#copies.find(name);
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
    return summarise(record, this.#copies.lastUse(record.name)?.hour);
  }
}
