// Connects the primary process to its workers: relays broadcasts between them, and collects responses to
// requests.
import { type Worker } from 'node:cluster';
import { asEnvelope, type Envelope } from './worker-channel.ts';

export interface PrimaryChannelOptions {
  /** How long a broadcast waits for a worker that does not handle it, in milliseconds. */
  readonly timeoutMs: number;
  /** Called with the ids of workers that did not reply in time: they are stuck or get no processor time. */
  readonly onSilence: (workers: readonly number[]) => void;
  /** What a worker starts with; it must survive JSON. */
  readonly workerStart: () => unknown;
}

/**
 * A broadcast or request without all replies. It ends when every worker has replied or exited, or on timeout.
 */
interface Pending {
  readonly missing: Set<number>;
  readonly replies: unknown[];
  readonly end: () => void;
}

type Outgoing =
  | { readonly couchgate: 'broadcast'; readonly message: unknown }
  | { readonly couchgate: 'request'; readonly name: string };

export class PrimaryChannel {
  readonly #options: PrimaryChannelOptions;
  readonly #workers = new Map<number, Worker>();
  readonly #serving = new Set<number>();
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(options: PrimaryChannelOptions) {
    this.#options = options;
  }

  add(worker: Worker): void {
    this.#workers.set(worker.id, worker);
    worker.on('message', (message: unknown) => {
      const envelope = asEnvelope(message);
      if (envelope !== undefined) this.#receive(worker, envelope);
    });
  }

  /** Call it when the worker has exited. */
  remove(worker: Worker): void {
    this.#workers.delete(worker.id);
    this.#serving.delete(worker.id);
    for (const id of this.#pending.keys()) this.#reply(id, worker.id);
  }

  /** True once the worker has reported that it serves. */
  serves(worker: Worker): boolean {
    return this.#serving.has(worker.id);
  }

  /** Sends a request to all serving workers. Resolves with the responses that arrived within `timeoutMs`. */
  request(name: string, timeoutMs: number): Promise<readonly unknown[]> {
    return this.#sendToAll({ couchgate: 'request', name }, undefined, timeoutMs);
  }

  #receive(worker: Worker, envelope: Envelope): void {
    const { couchgate } = envelope;
    if (couchgate === 'ready') this.#serving.add(worker.id);
    else if (couchgate === 'start?') send(worker, { couchgate: 'start', value: this.#options.workerStart() });
    else if (couchgate === 'handled') this.#reply(envelope.id, worker.id);
    else if (couchgate === 'response') this.#reply(envelope.id, worker.id, envelope.value);
    else if (couchgate === 'broadcast') {
      const { id, message } = envelope;
      void this.#sendToAll({ couchgate, message }, worker.id, this.#options.timeoutMs).then(() =>
        send(worker, { couchgate: 'delivered', id }),
      );
    }
  }

  /**
   * Sends to every worker but `except`, and resolves with the replies. A worker that does not serve yet gets
   * the message too, but its reply is not awaited: its caches are still empty.
   */
  #sendToAll(outgoing: Outgoing, except: number | undefined, timeoutMs: number): Promise<readonly unknown[]> {
    const id = ++this.#lastId;
    const others = [...this.#workers.values()].filter((worker) => worker.id !== except);
    for (const worker of others) send(worker, { ...outgoing, id });
    return new Promise((resolve) => {
      const missing = new Set(others.map((worker) => worker.id).filter((each) => this.#serving.has(each)));
      const replies: unknown[] = [];
      const end = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
        if (missing.size > 0) this.#options.onSilence([...missing]);
        resolve(replies);
      };
      const timer = setTimeout(end, timeoutMs);
      this.#pending.set(id, { missing, replies, end });
      if (missing.size === 0) end();
    });
  }

  #reply(id: number, worker: number, value?: unknown): void {
    const pending = this.#pending.get(id);
    if (pending?.missing.delete(worker) !== true) return;
    if (value !== undefined) pending.replies.push(value);
    if (pending.missing.size === 0) pending.end();
  }
}

/** Sends a message to a worker. A worker that has just exited is no error. */
export function send(worker: Worker, envelope: Envelope): void {
  if (worker.isConnected()) worker.send(envelope, () => undefined);
}
