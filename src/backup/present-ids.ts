// Remembers which documents a database has, in eight bytes each, to find those that were purged.
import { createHash } from 'node:crypto';

/** A set of ids by 64 bits of their SHA-256: two ids agree with a probability of 1 in 10^19. */
export class PresentIds {
  #hashes = new BigUint64Array(1024);
  #count = 0;
  #sorted = true;

  add(id: string): void {
    if (this.#count === this.#hashes.length) {
      const larger = new BigUint64Array(2 * this.#count);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[this.#count] = hashOf(id);
    this.#count += 1;
    this.#sorted = false;
  }

  has(id: string): boolean {
    const hashes = this.#hashes.subarray(0, this.#count);
    if (!this.#sorted) hashes.sort();
    this.#sorted = true;
    const wanted = hashOf(id);
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] ?? 0n) < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#count && hashes[low] === wanted;
  }
}

/** 64 bits of the SHA-256 of an id. */
export function hashOf(id: string): bigint {
  return createHash('sha256').update(id).digest().readBigUInt64BE(0);
}
