// Counts what one node carries at once and lets the rest wait in a bounded line. Which node is asked is nodes.ts's business.

/** Something that waits for a slot. */
export interface Waiter {
  /** The slot is the waiter's now; it must be given back. */
  granted(): void;
  /** The node takes nothing more: the waiter has to look for another one. */
  displaced(): void;
}

export class Slots {
  readonly #limit: number;
  readonly #lineLimit: number;
  /** A set keeps the order of arrival and lets a client that left go at once. */
  readonly #line = new Set<Waiter>();
  #taken = 0;

  constructor(limit: number, lineLimit: number) {
    this.#limit = limit;
    this.#lineLimit = lineLimit;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#line.size;
  }

  get free(): boolean {
    return this.#taken < this.#limit;
  }

  /** True when `take` would find a slot or a place in the line. */
  get open(): boolean {
    return this.free || this.#line.size < this.#lineLimit;
  }

  /** True = the slot is taken, at once; false = the waiter stands in line, or would if the line were not full: ask `open` first. */
  take(waiter: Waiter): boolean {
    if (this.free) {
      this.#taken += 1;
      return true;
    }
    if (this.open) this.#line.add(waiter);
    return false;
  }

  give(): void {
    const [next] = this.#line;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#line.delete(next);
    // The connection of the exchange that ends becomes free in this very turn, behind us: the next one shall find it.
    process.nextTick(grant, next);
  }

  /** Takes a waiter out of the line, for example because its client left. */
  leave(waiter: Waiter): void {
    this.#line.delete(waiter);
  }

  /** Sends the whole line elsewhere. */
  disperse(): void {
    const line = [...this.#line];
    this.#line.clear();
    for (const waiter of line) waiter.displaced();
  }
}

function grant(waiter: Waiter): void {
  waiter.granted();
}
