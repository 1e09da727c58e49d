// Registers exchanges with the revocation watch: feeds and waiting requests at once, others after a second
// (H19).
import { type Context, type CutReason, permitted } from '../context.ts';
import { type Entry, LinkedList } from '../limits/linked-list.ts';
import { type RevocationWatch } from './revocation-watch.ts';
import { watchedBy } from './watched-exchange.ts';

/** An exchange that waits for CouchDB or passes its answer on. */
export interface RunningExchange {
  readonly context: Context;
  /** Its place among the running exchanges, for this class. */
  running: Entry<RunningExchange> | undefined;
  /** Ends the exchange, whose permission is revoked. */
  cut(reason: CutReason): void;
}

/** Age at which an exchange is registered. Most exchanges end before, and cost only an entry in a list. */
const WATCHED_AFTER_MS = 1000;
const SWEEP_MS = 500;

/**
 * The exchanges of one process. A client that reads slowly can prolong an answer without limit, and CouchDB
 * continues to read data for it. Pinned by test/hostile/h19-decisions.test.ts.
 */
export class RunningExchanges {
  readonly #watch: Pick<RevocationWatch, 'register'>;
  /** Exchanges that are not registered, in the order of their start. */
  readonly #unwatched = new LinkedList<RunningExchange>();
  readonly #unregister = new Map<RunningExchange, () => void>();
  readonly #timer: NodeJS.Timeout;

  constructor(watch: Pick<RevocationWatch, 'register'>) {
    this.#watch = watch;
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  /** Adds an exchange that has just started. */
  add(exchange: RunningExchange): void {
    exchange.running = this.#unwatched.add(exchange);
  }

  /** Registers an exchange at once, because it is a feed or has to wait. */
  watch(exchange: RunningExchange): void {
    this.#leave(exchange);
    if (this.#unregister.has(exchange)) return;
    const { context } = exchange;
    const watched = watchedBy(context, permitted(context), (reason) => exchange.cut(reason));
    // Its permission may have been revoked since it was decided, before it was registered.
    this.#unregister.set(exchange, this.#watch.register(watched, { checkNow: true }));
  }

  /** Removes an exchange that has ended. */
  remove(exchange: RunningExchange): void {
    if (this.#leave(exchange)) return;
    this.#unregister.get(exchange)?.();
    this.#unregister.delete(exchange);
  }

  /** Registers every exchange that has reached WATCHED_AFTER_MS. */
  sweep(): void {
    const limit = performance.now() - WATCHED_AFTER_MS;
    for (let entry = this.#unwatched.first; entry !== undefined; entry = this.#unwatched.first) {
      if (entry.value.context.startedAt > limit) return;
      this.watch(entry.value);
    }
  }

  /** Returns false if it is not among the unwatched ones. */
  #leave({ running }: RunningExchange): boolean {
    return running !== undefined && this.#unwatched.remove(running);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
