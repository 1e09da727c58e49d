// Implements the invalidation bus: worker messages inside a replica, the store and `_users` between replicas.
import { setTimeout as delay } from 'node:timers/promises';
import { type ChangeRow, type Couch } from '../couch/couch.ts';
import { Outbox, type OutboxOptions, PERMISSIONS, SESSION_PREFIX } from './outbox.ts';
import { type BusMessage, type InvalidationBus } from './bus.ts';
import { OutageReport } from '../couch/outage.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';
import { USER_ID_PREFIX } from '../couch/user-id.ts';

export interface InvalidationBusOptions extends OutboxOptions {
  readonly couch: Couch;
  readonly store: Store;
  /** Sends an invalidation to the other workers; resolves when each of them has called `deliver`. */
  readonly workerChannel?: { readonly broadcast: (message: BusMessage) => Promise<void> };
  /** Called on every change of `up`. */
  readonly onState?: (up: boolean) => void;
}

export interface RunningInvalidationBus extends InvalidationBus {
  /** Starts to follow `_users`; the store starts itself. */
  start(): void;
  /** Calls only the listeners of this process, for an invalidation that came from a worker or a feed. */
  deliver(message: BusMessage): void;
  close(): void;
}

export const SWEEP_MS = 3_600_000;

export function createInvalidationBus(options: InvalidationBusOptions): RunningInvalidationBus {
  return new StoreInvalidationBus(options);
}

class StoreInvalidationBus implements RunningInvalidationBus {
  readonly #options: InvalidationBusOptions;
  readonly #listeners: ((message: BusMessage) => void)[] = [];
  readonly #outbox: Outbox;
  readonly #readOutage: OutageReport;
  readonly #sweepOutage: OutageReport;
  readonly #stop = new AbortController();
  #users: { readonly close: () => void } | undefined = undefined;
  #sweep: NodeJS.Timeout | undefined = undefined;
  #storeUp = false;
  #usersUp = false;
  #endedSessionsRead = false;
  #upUntil = -Infinity;

  constructor(options: InvalidationBusOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options);
    this.#readOutage = new OutageReport('ended sessions cannot be read from the store yet', options.report);
    this.#sweepOutage = new OutageReport('expired sessions cannot be deleted from the store', options.report);
    options.store.onRow((row) => this.#readRow(row));
    options.store.onState((up) => void this.#storeChanged(up));
  }

  get up(): boolean {
    return this.#upUntil === Infinity;
  }

  get upUntil(): number {
    return this.#upUntil;
  }

  onMessage(listener: (message: BusMessage) => void): void {
    this.#listeners.push(listener);
  }

  deliver(message: BusMessage): void {
    for (const listener of this.#listeners) listener(message);
  }

  start(): void {
    this.#users = this.#options.couch.follow('_users', {
      change: ({ id }) => {
        if (id.startsWith(USER_ID_PREFIX))
          this.deliver({ kind: 'user', name: id.slice(USER_ID_PREFIX.length) });
      },
      state: (up) => {
        this.#usersUp = up;
        this.#updateState();
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

  async publish(message: BusMessage): Promise<void> {
    this.deliver(message);
    await Promise.all([this.#options.workerChannel?.broadcast(message), this.#outbox.send(message)]);
  }

  #readRow({ id, doc }: ChangeRow): void {
    if (id.startsWith(PERMISSIONS))
      this.deliver({ kind: 'permissions', database: id.slice(PERMISSIONS.length) });
    else if (id.startsWith(SESSION_PREFIX) && doc !== undefined) this.#readSession(doc as StoredDocument);
  }

  #readSession(document: StoredDocument): void {
    const expiresAt = document['expires_at'];
    if (typeof expiresAt !== 'number' || expiresAt <= this.#options.now()) return;
    this.deliver({ kind: 'session', id: document._id.slice(SESSION_PREFIX.length), expiresAt });
  }

  /**
   * The feed starts at the present, so sessions that ended before this process started are read once from the
   * store. Until then the bus is not up. Later gaps are filled by the feed itself.
   */
  async #storeChanged(up: boolean): Promise<void> {
    this.#storeUp = false;
    this.#updateState();
    while (up && this.#options.store.up && !this.#storeUp && !this.#stop.signal.aborted) {
      try {
        if (!this.#endedSessionsRead) {
          await this.#options.store.each(SESSION_PREFIX, (document) => this.#readSession(document));
        }
        this.#endedSessionsRead = true;
        this.#storeUp = this.#options.store.up;
        this.#readOutage.succeeded();
      } catch (error) {
        this.#readOutage.failed(error);
        await delay(500, undefined, { ref: false });
      }
    }
    this.#updateState();
  }

  #updateState(): void {
    const up = this.#storeUp && this.#usersUp;
    if (up === this.up) return;
    this.#upUntil = up ? Infinity : this.#options.now();
    this.#options.onState?.(up);
  }

  async #sweepEndedSessions(): Promise<void> {
    const expired: StoredDocument[] = [];
    const { store, now } = this.#options;
    try {
      await store.each(SESSION_PREFIX, ({ _id, _rev, expires_at }) => {
        // Wait one hour more than needed: the clocks of replicas differ.
        if (Number(expires_at) + SWEEP_MS <= now() && _rev !== undefined)
          expired.push({ _id, _rev, _deleted: true });
      });
      if (expired.length > 0) await store.writeAll(expired);
      this.#sweepOutage.succeeded();
    } catch (error) {
      // The next sweep deletes them. Until then they only take space.
      if (!this.#stop.signal.aborted) this.#sweepOutage.failed(error);
    }
  }
}
