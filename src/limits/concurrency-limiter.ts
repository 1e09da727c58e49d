// Counts what runs at once, for all and for each caller, and lets the rest wait in a bounded line. What it is that runs is up to who asks: requests on
// one node, Couchgate's own reads.
import { Quota } from './quota.ts';

/** Something that waits for a slot. */
export interface Waiter {
  /** Whose share the slot comes out of. */
  readonly caller: string;
  /** The slot is the waiter's now; it must be given back. */
  granted(): void;
  /** Nothing more is taken here: the waiter has to look elsewhere. */
  displaced(): void;
}

/**
 * A caller that sends slowly, or reads slowly, holds its slots for as long as it likes; so that it cannot hold them all, a caller has no more
 * than its share of the slots, and of the places in the line (H15). Pinned by test/hostile/h15-slow-clients.test.ts.
 */
export class ConcurrencyLimiter {
  readonly #limit: number;
  readonly #lineLimit: number;
  readonly #running: Quota;
  readonly #waiting: Quota;
  /** A set keeps the order of arrival and lets a client that left go at once. */
  readonly #line = new Set<Waiter>();
  #taken = 0;

  /** `share` is the part that one caller may have, above 0 and up to 1; of few it is rounded up. */
  constructor(limit: number, lineLimit: number, share: number) {
    this.#limit = limit;
    this.#lineLimit = lineLimit;
    this.#running = new Quota(limit, share);
    this.#waiting = new Quota(lineLimit, share);
  }

  get active(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#line.size;
  }

  hasFreeSlot(caller: string): boolean {
    return this.#taken < this.#limit && this.#running.hasRoom(caller);
  }

  /** True when `take` would find a slot or a place in the line. */
  accepts(caller: string): boolean {
    return this.hasFreeSlot(caller) || (this.#line.size < this.#lineLimit && this.#waiting.hasRoom(caller));
  }

  /** True = the slot is taken, at once; false = the waiter stands in line, or would if there were a place: ask `isOpenFor` first. */
  acquire(waiter: Waiter): boolean {
    const { caller } = waiter;
    if (this.hasFreeSlot(caller)) {
      this.#occupy(caller);
      return true;
    }
    if (this.accepts(caller)) {
      this.#line.add(waiter);
      this.#waiting.add(caller);
    }
    return false;
  }

  release(caller: string): void {
    this.#taken -= 1;
    this.#running.remove(caller);
    for (const next of this.#line) {
      if (!this.#running.hasRoom(next.caller)) continue;
      this.abandon(next);
      this.#occupy(next.caller);
      // The connection of the exchange that ends becomes free in this very turn, behind us: the next one shall find it.
      process.nextTick(grant, next);
      return;
    }
  }

  #occupy(caller: string): void {
    this.#taken += 1;
    this.#running.add(caller);
  }

  /** Takes a waiter out of the line, for example because its client left. */
  abandon(waiter: Waiter): void {
    if (this.#line.delete(waiter)) this.#waiting.remove(waiter.caller);
  }

  /** Sends the whole line elsewhere. */
  rejectAll(): void {
    const line = [...this.#line];
    for (const waiter of line) this.abandon(waiter);
    for (const waiter of line) waiter.displaced();
  }
}

function grant(waiter: Waiter): void {
  waiter.granted();
}
