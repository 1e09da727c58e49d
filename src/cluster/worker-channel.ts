// How one worker process speaks with its siblings, by way of the primary: news that every one of them must act on, and questions of the primary.
// What the messages mean is their senders' business; forking and replacing workers is workers.ts's.

/** What travels between a worker and the primary; `couchgate` marks our own messages among those of other packages. */
export type Envelope =
  | { readonly couchgate: 'hello' }
  | { readonly couchgate: 'news'; readonly id: number; readonly message: unknown }
  | { readonly couchgate: 'acted'; readonly id: number }
  | { readonly couchgate: 'told'; readonly id: number }
  | { readonly couchgate: 'question'; readonly id: number; readonly question: string }
  | { readonly couchgate: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly couchgate: 'drain' }
  | { readonly couchgate: 'reload' };

/** The end of the channel to the other process; `process` itself in a worker. */
export interface Channel {
  send?(message: Envelope): unknown;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

export interface WorkerChannel {
  /**
   * Tells every other worker. Resolves when each has acted, or when those that have not were given up (`timeoutMs`): then a worker
   * is stuck, and decides nothing meanwhile. Never rejects: without siblings there is nobody to tell.
   */
  broadcast(message: unknown): Promise<void>;
  /** What to do with a sibling's broadcast; it counts as acted when the promise is settled. */
  listen(listener: (message: unknown) => void | Promise<void>): void;
  /** Answers the primary's question of this name; the answer must survive JSON. */
  answer(question: string, respond: () => unknown): void;
  /** Says that this worker serves; a primary whose first workers never say so gives up instead of starting them for ever. */
  ready(): void;
  /** Called when the primary asks this worker to end, and when it asks to read the files again. */
  onDrain(drain: () => void): void;
  onReload(reload: () => void): void;
}

export interface WorkerChannelOptions {
  readonly channel: Channel;
  /** How long a broadcast waits for the primary's word, milliseconds. */
  readonly timeoutMs?: number;
}

/** A process without siblings: nothing to tell, nobody to ask. */
export const NO_WORKERS: WorkerChannel = Object.freeze({
  broadcast: () => Promise.resolve(),
  listen: () => undefined,
  answer: () => undefined,
  ready: () => undefined,
  onDrain: () => undefined,
  onReload: () => undefined,
});

export function asEnvelope(message: unknown): Envelope | undefined {
  return typeof message === 'object' && message !== null && 'couchgate' in message
    ? (message as Envelope)
    : undefined;
}

/** The worker's end of the channel. */
export function createWorkerChannel({ channel, timeoutMs = 5000 }: WorkerChannelOptions): WorkerChannel {
  return new ProcessChannel(channel, timeoutMs);
}

class ProcessChannel implements WorkerChannel {
  readonly #channel: Channel;
  /** The primary gives a silent worker up sooner; this limit is for a primary that is gone. */
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, () => void>();
  readonly #listeners: ((message: unknown) => void | Promise<void>)[] = [];
  readonly #responders = new Map<string, () => unknown>();
  readonly #drain = new Occasion();
  readonly #reload = new Occasion();
  #lastId = 0;

  constructor(channel: Channel, timeoutMs: number) {
    this.#channel = channel;
    this.#timeoutMs = timeoutMs;
    channel.on('message', (message) => {
      const envelope = asEnvelope(message);
      if (envelope !== undefined) this.#take(envelope);
    });
  }

  broadcast(message: unknown): Promise<void> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve();
      };
      const timer = setTimeout(done, this.#timeoutMs);
      this.#waiting.set(id, done);
      this.#send({ couchgate: 'news', id, message });
    });
  }

  listen(listener: (message: unknown) => void | Promise<void>): void {
    this.#listeners.push(listener);
  }

  answer(question: string, respond: () => unknown): void {
    this.#responders.set(question, respond);
  }

  ready(): void {
    this.#send({ couchgate: 'hello' });
  }

  onDrain(drain: () => void): void {
    this.#drain.on(drain);
  }

  onReload(reload: () => void): void {
    this.#reload.on(reload);
  }

  #send(envelope: Envelope): void {
    this.#channel.send?.(envelope);
  }

  #take(envelope: Envelope): void {
    const { couchgate } = envelope;
    if (couchgate === 'news') void this.#act(envelope.id, envelope.message);
    else if (couchgate === 'told') this.#waiting.get(envelope.id)?.();
    else if (couchgate === 'drain') this.#drain.come();
    else if (couchgate === 'reload') this.#reload.come();
    else if (couchgate === 'question') {
      const answer = this.#responders.get(envelope.question)?.();
      this.#send({ couchgate: 'answer', id: envelope.id, answer });
    }
  }

  async #act(id: number, message: unknown): Promise<void> {
    await Promise.allSettled(this.#listeners.map(async (listener) => listener(message)));
    this.#send({ couchgate: 'acted', id });
  }
}

/** Something that may come before anybody has said what to do then. */
class Occasion {
  readonly #actions: (() => void)[] = [];
  #missed = false;

  on(action: () => void): void {
    this.#actions.push(action);
    if (this.#missed) action();
    this.#missed = false;
  }

  come(): void {
    if (this.#actions.length === 0) this.#missed = true;
    for (const action of this.#actions) action();
  }
}
