// Limits how many operations run at once, in total and per caller, and queues the rest up to a limit.
import { type Entry, LinkedList } from './linked-list.ts';
import { Quota } from './quota.ts';

/** An operation that waits for a slot. */
export interface Waiter {
  /** The quota key that the slot is charged to. */
  readonly caller: string;
  /** Its place in the queue, for the limiter. */
  queued?: Entry<Waiter> | undefined;
  /** Called when the waiter got a slot. The owner must call `release` when the operation ends. */
  granted(): void;
  /** Called when the queue was emptied without a slot: the waiter must try elsewhere or fail. */
  displaced(): void;
}

/** After `full`, neither `granted` nor `displaced` is called. */
export type Acquired = 'granted' | 'queued' | 'full';

export interface ConcurrencyLimits {
  /** Slots in total. */
  readonly limit: number;
  /** Waiters in total. */
  readonly queueLimit: number;
  /** Part of both that one caller may have: above 0, up to 1, rounded up to whole slots. */
  readonly share: number;
  /** True: a slot is granted first to a caller that holds none, else in order. */
  readonly servesNewFirst?: boolean;
}

/**
 * Slots with a bounded queue and a quota per caller, for both slots and queue places. A caller that sends or
 * reads slowly can hold its slots without a time limit; the quota keeps slots free for other callers (H15).
 * Pinned by test/hostile/h15-slow-clients.test.ts.
 *
 * `acquire` and `release` run for every request; they allocate nothing while a slot is free.
 */
export class ConcurrencyLimiter {
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #running: Quota;
  readonly #queued: Quota;
  readonly #queue = new LinkedList<Waiter>();
  readonly #servesNewFirst: boolean;
  #active = 0;

  constructor({ limit, queueLimit, share, servesNewFirst = false }: ConcurrencyLimits) {
    this.#servesNewFirst = servesNewFirst;
    this.#limit = limit;
    this.#queueLimit = queueLimit;
    this.#running = new Quota(limit, share);
    this.#queued = new Quota(queueLimit, share);
  }

  /** Slots in use. */
  get active(): number {
    return this.#active;
  }

  /** Length of the queue. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** True if `acquire` would grant a slot to this caller immediately. */
  hasFreeSlot(caller: string): boolean {
    return this.#active < this.#limit && this.#running.hasRoom(caller);
  }

  /** True if `acquire` would grant a slot to this caller or queue it. */
  accepts(caller: string): boolean {
    return this.hasFreeSlot(caller) || (this.#queue.size < this.#queueLimit && this.#queued.hasRoom(caller));
  }

  /** Takes a free slot for the caller. Returns false, and queues nothing, if there is none. */
  takeFreeSlot(caller: string): boolean {
    if (!this.hasFreeSlot(caller)) return false;
    this.#occupy(caller);
    return true;
  }

  /** Takes a free slot, or queues the waiter, which gets `granted` or `displaced` later. */
  acquire(waiter: Waiter): Acquired {
    const { caller } = waiter;
    if (this.takeFreeSlot(caller)) return 'granted';
    if (!this.accepts(caller)) return 'full';
    waiter.queued = this.#queue.add(waiter);
    this.#queued.add(caller);
    return 'queued';
  }

  /** True if all slots are in use and another caller waits only for that. */
  isWantedFrom(caller: string): boolean {
    if (this.#active < this.#limit) return false;
    for (let entry = this.#queue.first; entry !== undefined; entry = entry.next)
      if (entry.value.caller !== caller && this.#running.hasRoom(entry.value.caller)) return true;
    return false;
  }

  /** Returns a slot and grants it to a waiter whose caller has quota left. */
  release(caller: string): void {
    this.#active -= 1;
    this.#running.remove(caller);
    const next = this.#nextWaiter();
    if (next === undefined) return;
    this.abandon(next);
    this.#occupy(next.caller);
    // The caller of `release` returns its connection to the pool after this call. With nextTick, the next
    // operation can reuse that connection.
    process.nextTick(grant, next);
  }

  #nextWaiter(): Waiter | undefined {
    let first: Waiter | undefined;
    for (let entry = this.#queue.first; entry !== undefined; entry = entry.next) {
      const { value } = entry;
      if (!this.#running.hasRoom(value.caller)) continue;
      if (!this.#servesNewFirst || !this.#running.holds(value.caller)) return value;
      first ??= value;
    }
    return first;
  }

  #occupy(caller: string): void {
    this.#active += 1;
    this.#running.add(caller);
  }

  /** Removes a waiter from the queue, for example because its client disconnected. */
  abandon(waiter: Waiter): void {
    const { queued } = waiter;
    if (queued !== undefined && this.#queue.remove(queued)) this.#queued.remove(waiter.caller);
  }

  /** Empties the queue and calls `displaced` on every waiter. Slots in use are not affected. */
  rejectAll(): void {
    const waiters = this.#queue.values();
    for (const waiter of waiters) this.abandon(waiter);
    for (const waiter of waiters) waiter.displaced();
  }
}

function grant(waiter: Waiter): void {
  waiter.granted();
}
