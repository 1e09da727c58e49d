// Ends an answer of the few places if its client does not read, or reads slowly while others wait (H15).
import { type Socket } from 'node:net';
import { type CutReason } from '../context.ts';

/** Least rate while others wait: 256 KiB a second. Without it, four keys can hold all places for hours. */
const LEAST_BYTES_PER_MS = 262;

export interface ReadingRules {
  /** Longest time, in ms, without any reading, and the time over which the rate is measured. */
  readonly unreadMs: number;
  /** True if another caller waits for the place. */
  readonly isWanted: () => boolean;
  readonly end: (reason: CutReason) => void;
}

/**
 * Measures how fast a client reads, over the time in which Couchgate waits for it. The time in which CouchDB
 * is slow does not count.
 */
export class ReadingWatch {
  readonly #rules: ReadingRules;
  #waitedMs = 0;
  #bytes = 0;

  constructor(rules: ReadingRules) {
    this.#rules = rules;
  }

  /** Counts bytes that were given to the socket. */
  sent(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * Begins to wait for the client. Returns what ends the wait. The timer of a socket begins again when a part
   * of the written bytes was sent.
   */
  wait(socket: Socket): () => void {
    const { unreadMs, end } = this.#rules;
    const { timeout = 0 } = socket;
    const cut = (): void => end('client was silent');
    socket.setTimeout(unreadMs).once('timeout', cut);
    let since = performance.now();
    const measure = (): void => {
      const now = performance.now();
      this.#waitedMs += now - since;
      since = now;
      this.#endIfSlow();
    };
    const timer = setInterval(measure, unreadMs).unref();
    // A client that leaves ends no wait: the timer would keep its answer for ever.
    const left = (): void => clearInterval(timer);
    socket.once('close', left);
    return () => {
      socket.off('timeout', cut).off('close', left).setTimeout(timeout);
      clearInterval(timer);
      measure();
    };
  }

  #endIfSlow(): void {
    const { unreadMs, isWanted, end } = this.#rules;
    if (this.#waitedMs < unreadMs) return;
    const isSlow = this.#bytes < LEAST_BYTES_PER_MS * this.#waitedMs;
    if (isSlow && isWanted()) end('client was slow');
    this.#waitedMs = 0;
    this.#bytes = 0;
  }
}
