// Carries news to everybody whom it concerns: listeners of this process at once, sibling workers by message, other replicas of Couchgate
// through documents of the store and the `_users` database. What a listener does with it is its own business.
import { setTimeout as delay } from 'node:timers/promises';
import { type ChangeRow, type Couch } from '../couch/couch.ts';
import { Outbox, PERMISSIONS, SESSION } from './outbox.ts';
import { type Invalidation, type InvalidationBus } from './bus.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface InvalidationBusOptions {
  readonly couch: Couch;
  readonly store: Store;
  /** Hands news to the sibling workers; resolves when each has called its own `hear`. */
  readonly workerChannel?: { readonly broadcast: (invalidation: Invalidation) => Promise<void> };
  /** Told of every change of `up`, for the metric. */
  readonly onState?: (up: boolean) => void;
  readonly report: (message: string) => void;
  readonly now: () => number;
}

export interface RunningInvalidationBus extends InvalidationBus {
  start(): void;
  /** Tells the listeners of this process, and nobody else: for news that a sibling or a feed brought. */
  deliver(invalidation: Invalidation): void;
  close(): void;
}

const USER = 'org.couchdb.user:';
const SWEEP_MS = 3_600_000;

export function createInvalidationBus(options: InvalidationBusOptions): RunningInvalidationBus {
  return new StoreInvalidationBus(options);
}

class StoreInvalidationBus implements RunningInvalidationBus {
  readonly #options: InvalidationBusOptions;
  readonly #listeners: ((invalidation: Invalidation) => void)[] = [];
  readonly #outbox: Outbox;
  readonly #stop = new AbortController();
  #users: { readonly close: () => void } | undefined = undefined;
  #sweep: NodeJS.Timeout | undefined = undefined;
  #storeUp = false;
  #usersUp = false;
  #sessionsHeard = false;
  #upUntil = -Infinity;

  constructor(options: InvalidationBusOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options);
    options.store.onRow((row) => this.#read(row));
    options.store.onState((up) => void this.#storeChanged(up));
  }

  get up(): boolean {
    return this.#upUntil === Infinity;
  }

  get upUntil(): number {
    return this.#upUntil;
  }

  onInvalidation(listener: (invalidation: Invalidation) => void): void {
    this.#listeners.push(listener);
  }

  deliver(invalidation: Invalidation): void {
    for (const listener of this.#listeners) listener(invalidation);
  }

  start(): void {
    this.#users = this.#options.couch.follow('_users', {
      change: ({ id }) => {
        if (id.startsWith(USER)) this.deliver({ kind: 'user', name: id.slice(USER.length) });
      },
      state: (up) => {
        this.#usersUp = up;
        this.#settle();
      },
    });
    this.#sweep = setInterval(() => void this.#sweepEndedSessions(), SWEEP_MS).unref();
  }

  close(): void {
    this.#stop.abort();
    this.#outbox.close();
    this.#users?.close();
    clearInterval(this.#sweep);
  }

  async publish(invalidation: Invalidation): Promise<void> {
    this.deliver(invalidation);
    await Promise.all([
      this.#options.workerChannel?.broadcast(invalidation),
      this.#outbox.send(invalidation),
    ]);
  }

  #read({ id, doc }: ChangeRow): void {
    if (id.startsWith(PERMISSIONS))
      this.deliver({ kind: 'permissions', database: id.slice(PERMISSIONS.length) });
    else if (id.startsWith(SESSION) && doc !== undefined) this.#readSession(doc as StoredDocument);
  }

  #readSession(document: StoredDocument): void {
    const expiresAt = document['expires_at'];
    if (typeof expiresAt !== 'number' || expiresAt <= this.#options.now()) return;
    this.deliver({ kind: 'session', id: document._id.slice(SESSION.length), expiresAt });
  }

  /** Sessions that ended before this process began are news to it: it counts as up only once it has heard of them. Later gaps the feed itself fills. */
  async #storeChanged(up: boolean): Promise<void> {
    this.#storeUp = false;
    this.#settle();
    while (up && this.#options.store.up && !this.#storeUp && !this.#stop.signal.aborted) {
      try {
        if (!this.#sessionsHeard) {
          await this.#options.store.each(SESSION, (document) => this.#readSession(document));
        }
        this.#sessionsHeard = true;
        this.#storeUp = this.#options.store.up;
      } catch {
        await delay(500, undefined, { ref: false });
      }
    }
    this.#settle();
  }

  #settle(): void {
    const up = this.#storeUp && this.#usersUp;
    if (up === this.up) return;
    this.#upUntil = up ? Infinity : this.#options.now();
    this.#options.onState?.(up);
  }

  async #sweepEndedSessions(): Promise<void> {
    const over: StoredDocument[] = [];
    const { store, now } = this.#options;
    try {
      await store.each(SESSION, ({ _id, _rev, expires_at }) => {
        // An hour more than needed, for replicas whose clocks differ.
        if (Number(expires_at) + SWEEP_MS <= now() && _rev !== undefined)
          over.push({ _id, _rev, _deleted: true });
      });
      if (over.length > 0) await store.writeAll(over);
    } catch {
      // The next sweep finds them again; until then they are documents that nobody asks for.
    }
  }
}
