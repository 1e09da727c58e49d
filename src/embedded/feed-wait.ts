// Lets a feed wait for the next change, sends heartbeats meanwhile, and reports when the feed must end.
import { type ServerResponse } from 'node:http';
import { type Database } from './database.ts';

/** If the database is removed, a client that does not read keeps its connection for this time. */
const CLOSE_GRACE_MS = 1000;

/** Waits for changes of one database on behalf of one feed. */
export class ChangeWaiter {
  readonly #database: Database;
  readonly #res: ServerResponse;
  readonly #stopListening: () => void;
  readonly #heartbeat: NodeJS.Timeout | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  /**
   * Subscribes immediately, so that the feed misses no change while it reads. `heartbeatMs` 0 = no heartbeat.
   */
  constructor(database: Database, res: ServerResponse, heartbeatMs: number, heartbeat: string) {
    this.#database = database;
    this.#res = res;
    this.#stopListening = database.onChange(() => this.#onChange());
    res.once('close', () => this.#wake?.());
    if (heartbeatMs > 0) this.#heartbeat = setInterval(() => res.write(heartbeat), heartbeatMs);
  }

  /** The client disconnected or the database was removed. */
  get isOver(): boolean {
    return this.#res.destroyed || this.#database.isRemoved;
  }

  /** Resolves with true after a change, with false after `ms` without one. */
  async waitForChange(ms: number): Promise<boolean> {
    if (!this.#changed && !this.isOver) {
      await new Promise<void>((resolve) => {
        const timer = ms === Infinity ? undefined : setTimeout(resolve, ms);
        const wake = (): void => {
          clearTimeout(timer);
          resolve();
        };
        this.#wake = wake;
      });
      this.#wake = undefined;
    }
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** Stops the heartbeat and unsubscribes. */
  end(): void {
    clearInterval(this.#heartbeat);
    this.#stopListening();
  }

  #onChange(): void {
    this.#changed = true;
    this.#wake?.();
    if (this.#database.isRemoved) setTimeout(() => this.#res.destroy(), CLOSE_GRACE_MS).unref();
  }
}

/** Writes and waits until the socket buffer has room, so that a slow client uses no memory. */
export async function writeWithBackPressure(res: ServerResponse, text: string): Promise<void> {
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
