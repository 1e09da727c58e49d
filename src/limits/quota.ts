// Counts how much of something each caller has, so that none gets more than its share. What is shared out is its readers' business.

export class Quota {
  readonly #most: number;
  readonly #had = new Map<string, number>();

  /** `share` is the part of `limit` that one caller may have, above 0 and up to 1; of few it is rounded up. */
  constructor(limit: number, share: number) {
    this.#most = Math.ceil(limit * share);
  }

  hasRoom(caller: string, amount = 1): boolean {
    return (this.#had.get(caller) ?? 0) + amount <= this.#most;
  }

  add(caller: string, amount = 1): void {
    this.#had.set(caller, (this.#had.get(caller) ?? 0) + amount);
  }

  remove(caller: string, amount = 1): void {
    const left = (this.#had.get(caller) ?? 0) - amount;
    if (left > 0) this.#had.set(caller, left);
    else this.#had.delete(caller);
  }
}
