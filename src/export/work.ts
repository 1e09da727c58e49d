// Divides the work of an export into portions, so that other requests of the process run between them (H33).
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Lookups and cells in one portion: a few milliseconds. */
const PORTION = 5000;

/** A longer text is written in several pieces, in UTF-16 code units. */
export const PIECE_LENGTH = 64 * 1024;

/** Counts work in lookups of a member and written cells. */
export class Work {
  #done = 0;

  add(units: number): void {
    this.#done += units;
  }

  /** True once a portion is done; counts the next one from then on. */
  takePortion(): boolean {
    if (this.#done < PORTION) return false;
    this.#done = 0;
    return true;
  }

  /** Lets other requests run if a portion is done. */
  async pauseIfDue(): Promise<void> {
    if (this.takePortion()) await nextTurn();
  }
}
