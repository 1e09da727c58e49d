// Runs the worker processes of a primary: forks them, replaces those that die, and stops them together.
import cluster, { type Worker } from 'node:cluster';
import { availableParallelism } from 'node:os';
import { PrimaryChannel, send } from './primary-channel.ts';

export interface WorkersLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface WorkerPoolOptions {
  readonly count: number;
  /** How long a worker may drain before it is killed, in milliseconds: the drain's delay plus its timeout. */
  readonly drainMs: number;
  readonly log: WorkersLog;
  /** What a worker starts with, also one that replaces another (`askStart`); it must survive JSON. */
  readonly workerStart?: () => unknown;
  /** How long a broadcast waits for a worker that does not handle it, in milliseconds. */
  readonly broadcastTimeoutMs?: number;
}

export interface WorkerPool {
  /** Resolves with the exit code of this process when all workers have exited for good. */
  readonly ended: Promise<number>;
  /** Resolves when all of the first workers serve; never, if one of them does not. */
  readonly serving: Promise<void>;
  /**
   * Sends a request to all serving workers. Resolves with the responses that arrived in time (1 s by
   * default).
   */
  request(name: string, timeoutMs?: number): Promise<readonly unknown[]>;
  /** Drains and stops every worker; the second call kills them. */
  drain(): void;
  /** Makes every worker read its configuration again. */
  reload(): void;
}

const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** The death of a worker that ran this long resets the pause: it did not fail on start. */
const STABLE_AFTER_MS = 10_000;
/** Time for a worker to close its files after the drain. */
const EXIT_GRACE_MS = 5000;
const REQUEST_TIMEOUT_MS = 1000;
const BROADCAST_TIMEOUT_MS = 2000;

/** Number of workers for the setting `workers`: `auto` = one per core that this process may use. */
export function workerCount(setting: string): number {
  return setting === 'auto' ? availableParallelism() : Number(setting);
}

/**
 * Starts the workers; each runs this same program with `cluster.isWorker`. A worker that dies loses its
 * connections and is replaced, after a pause that doubles while workers die soon after their start. If no
 * worker has ever served, the program cannot run (port taken, wrong configuration): it exits with the
 * worker's exit code.
 */
export function startWorkers(options: WorkerPoolOptions): WorkerPool {
  const { log, workerStart = () => undefined, broadcastTimeoutMs = BROADCAST_TIMEOUT_MS } = options;
  const channel = new PrimaryChannel({
    timeoutMs: broadcastTimeoutMs,
    workerStart,
    onSilence: (workers) => log.warn({ workers }, 'workers did not handle a message in time'),
  });
  const pool = new Pool(options, channel);
  for (let number = 0; number < options.count; number += 1) pool.fork();
  return {
    ended: pool.ended,
    serving: pool.serving,
    request: (name, timeoutMs = REQUEST_TIMEOUT_MS) => channel.request(name, timeoutMs),
    drain: () => pool.drain(),
    reload: () => pool.sendToAll({ couchgate: 'reload' }),
  };
}

class Pool {
  readonly ended: Promise<number>;
  readonly serving: Promise<void>;
  readonly #options: WorkerPoolOptions;
  readonly #channel: PrimaryChannel;
  readonly #alive = new Set<Worker>();
  readonly #pauses = new Set<NodeJS.Timeout>();
  #resolveEnded: (code: number) => void = () => undefined;
  #resolveServing: () => void = () => undefined;
  #state: 'running' | 'draining' | 'killing' = 'running';
  #hasServed = false;
  #exitCode = 0;
  #pauseMs = MIN_PAUSE_MS;

  constructor(options: WorkerPoolOptions, channel: PrimaryChannel) {
    this.#options = options;
    this.#channel = channel;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.serving = new Promise((resolve) => {
      this.#resolveServing = resolve;
    });
  }

  fork(): void {
    const worker = cluster.fork();
    const startedAt = performance.now();
    this.#alive.add(worker);
    this.#channel.add(worker);
    worker.on('message', () => {
      this.#hasServed ||= this.#channel.serves(worker);
      if ([...this.#alive].every((each) => this.#channel.serves(each))) this.#resolveServing();
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      this.#alive.delete(worker);
      this.#channel.remove(worker);
      this.#replace({ worker: worker.id, pid: worker.process.pid, code, signal }, startedAt);
    });
  }

  sendToAll(envelope: { readonly couchgate: 'drain' } | { readonly couchgate: 'reload' }): void {
    for (const worker of this.#alive) send(worker, envelope);
  }

  drain(): void {
    if (this.#state === 'running') {
      this.#state = 'draining';
      for (const pause of this.#pauses) clearTimeout(pause);
      this.sendToAll({ couchgate: 'drain' });
      setTimeout(() => this.#kill(), this.#options.drainMs + EXIT_GRACE_MS).unref();
      if (this.#alive.size === 0) this.#resolveEnded(this.#exitCode);
    } else this.#kill();
  }

  #kill(): void {
    this.#state = 'killing';
    for (const worker of this.#alive) worker.process.kill('SIGKILL');
  }

  #replace(
    exit: { readonly code: number | null; readonly [field: string]: unknown },
    startedAt: number,
  ): void {
    const { log } = this.#options;
    if (this.#state === 'running' && !this.#hasServed) {
      log.warn(exit, 'worker exited before any worker served: giving up');
      this.#exitCode = exit.code === 0 || exit.code === null ? 1 : exit.code;
      this.drain();
    }
    if (this.#state !== 'running') {
      if (this.#alive.size === 0) this.#resolveEnded(this.#exitCode);
      return;
    }
    if (performance.now() - startedAt > STABLE_AFTER_MS) this.#pauseMs = MIN_PAUSE_MS;
    log.warn({ ...exit, pauseMs: this.#pauseMs }, 'worker exited and is replaced');
    const pause = setTimeout(() => {
      this.#pauses.delete(pause);
      this.fork();
    }, this.#pauseMs);
    this.#pauses.add(pause);
    this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
  }
}
