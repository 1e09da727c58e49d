// The primary's end of the workers' conversation: passes a broadcast to every other worker and tells the sender when all have acted; gathers answers.
// Which workers there are is workers.ts's business.
import { type Worker } from 'node:cluster';
import { asEnvelope, type Envelope } from './worker-channel.ts';

export interface PrimaryChannelOptions {
  /** How long a broadcast waits for a worker that does not act, milliseconds. */
  readonly timeoutMs: number;
  /** Told of workers that did not act in time: they are stuck, or starved of processor time. */
  readonly onSilence: (workers: readonly number[]) => void;
}

/** One question or one piece of news on its way: ends when every worker has replied or left, or at its limit. */
interface Round {
  readonly missing: Set<number>;
  readonly replies: unknown[];
  readonly end: () => void;
}

type Outgoing =
  | { readonly couchgate: 'news'; readonly message: unknown }
  | { readonly couchgate: 'question'; readonly question: string };

export class PrimaryChannel {
  readonly #options: PrimaryChannelOptions;
  readonly #workers = new Map<number, Worker>();
  readonly #serving = new Set<number>();
  readonly #rounds = new Map<number, Round>();
  #lastId = 0;

  constructor(options: PrimaryChannelOptions) {
    this.#options = options;
  }

  add(worker: Worker): void {
    this.#workers.set(worker.id, worker);
    worker.on('message', (message: unknown) => {
      const envelope = asEnvelope(message);
      if (envelope !== undefined) this.#take(worker, envelope);
    });
  }

  remove(worker: Worker): void {
    this.#workers.delete(worker.id);
    this.#serving.delete(worker.id);
    for (const id of this.#rounds.keys()) this.#reply(id, worker.id);
  }

  /** True once the worker has said that it serves. */
  serves(worker: Worker): boolean {
    return this.#serving.has(worker.id);
  }

  /** Answers of the serving workers, without those that gave none in time. */
  gather(question: string, timeoutMs: number): Promise<readonly unknown[]> {
    return this.#ask({ couchgate: 'question', question }, undefined, timeoutMs);
  }

  #take(worker: Worker, envelope: Envelope): void {
    const { couchgate } = envelope;
    if (couchgate === 'hello') this.#serving.add(worker.id);
    else if (couchgate === 'acted') this.#reply(envelope.id, worker.id);
    else if (couchgate === 'answer') this.#reply(envelope.id, worker.id, envelope.answer);
    else if (couchgate === 'news') {
      const told: Envelope = { couchgate: 'told', id: envelope.id };
      void this.#ask({ couchgate, message: envelope.message }, worker.id, this.#options.timeoutMs).then(() =>
        send(worker, told),
      );
    }
  }

  /**
   * Sends to every worker but `except`, and resolves with the replies. A worker that does not serve yet gets the message too (its channel
   * keeps it), but nobody waits for it: it has nothing in its caches.
   */
  #ask(outgoing: Outgoing, except: number | undefined, limitMs: number): Promise<readonly unknown[]> {
    const id = ++this.#lastId;
    const others = [...this.#workers.values()].filter((worker) => worker.id !== except);
    for (const worker of others) send(worker, { ...outgoing, id });
    return new Promise((resolve) => {
      const missing = new Set(others.map((worker) => worker.id).filter((each) => this.#serving.has(each)));
      const replies: unknown[] = [];
      const end = (): void => {
        clearTimeout(timer);
        this.#rounds.delete(id);
        if (missing.size > 0) this.#options.onSilence([...missing]);
        resolve(replies);
      };
      const timer = setTimeout(end, limitMs);
      this.#rounds.set(id, { missing, replies, end });
      if (missing.size === 0) end();
    });
  }

  #reply(id: number, worker: number, value?: unknown): void {
    const round = this.#rounds.get(id);
    if (round?.missing.delete(worker) !== true) return;
    if (value !== undefined) round.replies.push(value);
    if (round.missing.size === 0) round.end();
  }
}

/** A worker may leave between two instructions; a message to nobody is no fault. */
export function send(worker: Worker, envelope: Envelope): void {
  if (worker.isConnected()) worker.send(envelope, () => undefined);
}
