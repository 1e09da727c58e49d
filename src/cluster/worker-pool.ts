// The primary of several worker processes: forks them, replaces one that dies, and ends them together.
// What a worker does is main.ts's business; how they speak with each other is relay.ts's and siblings.ts's.
import cluster, { type Worker } from 'node:cluster';
import { availableParallelism } from 'node:os';
import { PrimaryChannel, send } from './primary-channel.ts';

export interface WorkersLog {
  info(fields: object, sentence: string): void;
  warn(fields: object, sentence: string): void;
}

export interface WorkerPoolOptions {
  readonly count: number;
  /** Time that a draining worker has before it is killed: the drain's own pause and limit together, milliseconds. */
  readonly drainMs: number;
  readonly log: WorkersLog;
  /** How long a broadcast waits for a worker that does not act, milliseconds. */
  readonly broadcastTimeoutMs?: number;
}

export interface WorkerPool {
  /** Exit code for this process, when all workers are gone for good. */
  readonly ended: Promise<number>;
  /** Resolves when every worker of the first ones serves; never, if that never comes about. */
  readonly serving: Promise<void>;
  /** Asks every serving worker a question (siblings.answer); those that do not answer in time are left out. */
  gather(question: string, timeoutMs?: number): Promise<readonly unknown[]>;
  /** Lets every worker finish and end; the second call ends them at once. */
  drain(): void;
  /** Has every worker read its files again. */
  reload(): void;
}

const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** A worker that lived this long had started well; its death starts the pauses afresh. */
const GOOD_LIFE_MS = 10_000;
/** What a worker may need beyond its drain to close its files. */
const EXIT_GRACE_MS = 5000;
const GATHER_TIMEOUT_MS = 1000;
const BROADCAST_TIMEOUT_MS = 2000;

/** The number of worker processes that the setting `workers` asks for: `auto` = one a core that this process may use. */
export function workerCount(setting: string): number {
  return setting === 'auto' ? availableParallelism() : Number(setting);
}

/**
 * Starts the workers; each runs this same program with `cluster.isWorker`. A worker that dies takes its own connections with it, and another
 * takes its place, after a pause that doubles while workers die young. When none has ever served, the program cannot run at all
 * (its port is taken, its configuration is wrong): then it ends with the worker's exit code instead of trying for ever.
 */
export function startWorkers(options: WorkerPoolOptions): WorkerPool {
  const { log, broadcastTimeoutMs = BROADCAST_TIMEOUT_MS } = options;
  const relay = new PrimaryChannel({
    timeoutMs: broadcastTimeoutMs,
    onSilence: (workers) => log.warn({ workers }, 'workers did not act on a message in time'),
  });
  const crew = new Crew(options, relay);
  for (let number = 0; number < options.count; number += 1) crew.fork();
  return {
    ended: crew.ended,
    serving: crew.serving,
    gather: (question, timeoutMs = GATHER_TIMEOUT_MS) => relay.gather(question, timeoutMs),
    drain: () => crew.drain(),
    reload: () => crew.tell({ couchgate: 'reload' }),
  };
}

class Crew {
  readonly ended: Promise<number>;
  readonly serving: Promise<void>;
  readonly #options: WorkerPoolOptions;
  readonly #relay: PrimaryChannel;
  readonly #alive = new Set<Worker>();
  readonly #pauses = new Set<NodeJS.Timeout>();
  #end: (code: number) => void = () => undefined;
  #allServe: () => void = () => undefined;
  #state: 'running' | 'draining' | 'killing' = 'running';
  #hasServed = false;
  #exitCode = 0;
  #pauseMs = SHORTEST_PAUSE_MS;

  constructor(options: WorkerPoolOptions, relay: PrimaryChannel) {
    this.#options = options;
    this.#relay = relay;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.serving = new Promise((resolve) => {
      this.#allServe = resolve;
    });
  }

  fork(): void {
    const worker = cluster.fork();
    const startedAt = performance.now();
    this.#alive.add(worker);
    this.#relay.add(worker);
    worker.on('message', () => {
      this.#hasServed ||= this.#relay.serves(worker);
      if ([...this.#alive].every((each) => this.#relay.serves(each))) this.#allServe();
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      this.#alive.delete(worker);
      this.#relay.remove(worker);
      this.#replace({ worker: worker.id, pid: worker.process.pid, code, signal }, startedAt);
    });
  }

  tell(envelope: { readonly couchgate: 'drain' } | { readonly couchgate: 'reload' }): void {
    for (const worker of this.#alive) send(worker, envelope);
  }

  drain(): void {
    if (this.#state === 'running') {
      this.#state = 'draining';
      for (const pause of this.#pauses) clearTimeout(pause);
      this.tell({ couchgate: 'drain' });
      setTimeout(() => this.#kill(), this.#options.drainMs + EXIT_GRACE_MS).unref();
      if (this.#alive.size === 0) this.#end(this.#exitCode);
    } else this.#kill();
  }

  #kill(): void {
    this.#state = 'killing';
    for (const worker of this.#alive) worker.process.kill('SIGKILL');
  }

  #replace(
    death: { readonly code: number | null; readonly [field: string]: unknown },
    startedAt: number,
  ): void {
    const { log } = this.#options;
    if (this.#state === 'running' && !this.#hasServed) {
      log.warn(death, 'a worker died before any had served: giving up');
      this.#exitCode = death.code === 0 || death.code === null ? 1 : death.code;
      this.drain();
    }
    if (this.#state !== 'running') {
      if (this.#alive.size === 0) this.#end(this.#exitCode);
      return;
    }
    if (performance.now() - startedAt > GOOD_LIFE_MS) this.#pauseMs = SHORTEST_PAUSE_MS;
    log.warn({ ...death, pauseMs: this.#pauseMs }, 'a worker died; another takes its place');
    const pause = setTimeout(() => {
      this.#pauses.delete(pause);
      this.fork();
    }, this.#pauseMs);
    this.#pauses.add(pause);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }
}
