// Counts how much of a resource each caller holds and limits every caller to its share.

/** A limit per caller. `add` does not check it: call `hasRoom` first. */
export class Quota {
  readonly #limit: number;
  readonly #held = new Map<string, number>();

  /**
   * @param total Amount of the whole resource, in the unit of `amount` (slots, bytes, attempts).
   * @param share Part of it that one caller may hold: above 0, up to 1. The result is rounded up.
   */
  constructor(total: number, share: number) {
    this.#limit = Math.ceil(total * share);
  }

  /** True if the caller may hold `amount` more. */
  hasRoom(caller: string, amount = 1): boolean {
    return (this.#held.get(caller) ?? 0) + amount <= this.#limit;
  }

  /** True if the caller holds some of it. */
  holds(caller: string): boolean {
    return this.#held.has(caller);
  }

  add(caller: string, amount = 1): void {
    this.#held.set(caller, (this.#held.get(caller) ?? 0) + amount);
  }

  remove(caller: string, amount = 1): void {
    const left = (this.#held.get(caller) ?? 0) - amount;
    if (left > 0) this.#held.set(caller, left);
    else this.#held.delete(caller);
  }
}
