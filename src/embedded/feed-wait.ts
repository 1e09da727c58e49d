// Lets a feed wait for the next change, keeps its connection warm, and tells it when to stop.
import { type ServerResponse } from 'node:http';
import { type Database } from './database.ts';

/** Time for a reader that takes nothing to notice that its database is gone. */
const GRACE_MS = 1000;

export class FeedWait {
  readonly #database: Database;
  readonly #res: ServerResponse;
  readonly #stopListening: () => void;
  readonly #heartbeat: NodeJS.Timeout | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  /** Listens from now on: what changes while the feed is reading is not missed. */
  constructor(database: Database, res: ServerResponse, heartbeatMs: number, beat: string) {
    this.#database = database;
    this.#res = res;
    this.#stopListening = database.onChange(() => this.#onChange());
    res.once('close', () => this.#wake?.());
    if (heartbeatMs > 0) this.#heartbeat = setInterval(() => res.write(beat), heartbeatMs);
  }

  get isOver(): boolean {
    return this.#res.destroyed || this.#database.isRemoved;
  }

  /** Resolves with false when `ms` passed without a change. */
  async forChange(ms: number): Promise<boolean> {
    if (!this.#changed && !this.isOver) {
      await new Promise<void>((resolve) => {
        const timer = ms === Infinity ? undefined : setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  end(): void {
    clearInterval(this.#heartbeat);
    this.#stopListening();
  }

  #onChange(): void {
    this.#changed = true;
    this.#wake?.();
    if (this.#database.isRemoved) setTimeout(() => this.#res.destroy(), GRACE_MS).unref();
  }
}

/** Writes and waits until the client has taken it, so that a slow one costs no memory. */
export async function write(res: ServerResponse, text: string): Promise<void> {
  if (res.destroyed || res.write(text)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      res.off('drain', done);
      res.off('close', done);
      resolve();
    };
    res.once('drain', done);
    res.once('close', done);
  });
}
