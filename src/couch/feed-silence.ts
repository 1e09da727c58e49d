// Decides when a feed of a node counts as silent, also after this process itself was blocked.
import { wasBlocked } from './patient-timeout.ts';

/** Milliseconds. A feed without data for so long is suspect, even if this process was blocked (H17: 2 s). */
const MAX_TRUST_MS = 2000;

export interface FeedSilenceEvents {
  /** No data was read for `MAX_TRUST_MS`. What the node sent meanwhile may be in the socket, unread. */
  readonly suspect: () => void;
  /** After `suspect`: all that the node had sent has been read. */
  readonly recovered: () => void;
  /** The feed is silent. `isNodeSilent` is false if the node may not even have got the request. */
  readonly silent: (isNodeSilent: boolean) => void;
}

/**
 * Watches a feed whose node sends heartbeats. Timers run before the data that arrived while this process was
 * blocked, so the data is read first: a block is no silence of the node.
 */
export class FeedSilence {
  readonly #silenceMs: number;
  readonly #events: FeedSilenceEvents;
  readonly #timer: NodeJS.Timeout;
  #heardAt = performance.now();
  #wasEverHeard = false;
  #isSuspect = false;
  #isOver = false;

  /** `silenceMs` is longer than the time between two heartbeats, and shorter than `MAX_TRUST_MS`. */
  constructor(silenceMs: number, events: FeedSilenceEvents) {
    this.#silenceMs = silenceMs;
    this.#events = events;
    this.#timer = setTimeout(() => this.#fire(), silenceMs);
  }

  /** True between `suspect` and `recovered`: what is read may be older than what follows it. */
  get isSuspect(): boolean {
    return this.#isSuspect;
  }

  /** Call it for all data of the feed. */
  heard(): void {
    this.#heardAt = performance.now();
    this.#wasEverHeard = true;
    this.#timer.refresh();
  }

  cancel(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #fire(): void {
    const heardAt = this.#heardAt;
    const isNodeSilent = this.#wasEverHeard || !wasBlocked(heardAt + this.#silenceMs);
    if (performance.now() - heardAt >= MAX_TRUST_MS) {
      this.#isSuspect = true;
      this.#events.suspect();
    }
    // After the sockets were read.
    setImmediate(() => {
      if (this.#isOver) return;
      if (this.#heardAt === heardAt) {
        this.#events.silent(isNodeSilent);
      } else if (this.#isSuspect) {
        this.#isSuspect = false;
        this.#events.recovered();
      }
    });
  }
}
