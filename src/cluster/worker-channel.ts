// Connects a worker to the primary process: broadcasts to the other workers, and requests and commands of the
// primary.

/**
 * A message between a worker and the primary. The field `couchgate` distinguishes it from other packages'
 * messages.
 */
export type Envelope =
  /** To the primary: this worker serves. */
  | { readonly couchgate: 'ready' }
  /** To the primary, which sends it to all other workers. */
  | { readonly couchgate: 'broadcast'; readonly id: number; readonly message: unknown }
  /** To the primary: this worker has handled the broadcast. */
  | { readonly couchgate: 'handled'; readonly id: number }
  /** To the sender of a broadcast: all other workers have handled it. */
  | { readonly couchgate: 'delivered'; readonly id: number }
  | { readonly couchgate: 'request'; readonly id: number; readonly name: string }
  | { readonly couchgate: 'response'; readonly id: number; readonly value: unknown }
  /** To the primary: the question what to start with; and the answer. */
  | { readonly couchgate: 'start?' }
  | { readonly couchgate: 'start'; readonly value: unknown }
  | { readonly couchgate: 'drain' }
  | { readonly couchgate: 'reload' };

/** The connection to the primary; `process` itself in a worker. */
export interface Channel {
  send?(message: Envelope): unknown;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

export interface WorkerChannel {
  /**
   * Sends a message to every other worker. Resolves when all have handled it, or after `timeoutMs`: a worker
   * that has not handled it by then is stuck and serves no requests. Never rejects.
   */
  broadcast(message: unknown): Promise<void>;
  /** Handles broadcasts of other workers. A broadcast counts as handled when the promise settles. */
  onBroadcast(listener: (message: unknown) => void | Promise<void>): void;
  /** Responds to the primary's requests of this name. The response must survive JSON. */
  onRequest(name: string, respond: () => unknown): void;
  /** Asks the primary what this worker starts with (`workerStart` of its pool). It has survived JSON. */
  askStart(): Promise<unknown>;
  /** Reports to the primary that this worker serves. A primary whose first workers never do so exits. */
  ready(): void;
  /** Called when the primary orders this worker to drain and exit. */
  onDrain(drain: () => void): void;
  /** Called when the primary orders this worker to read its configuration again. */
  onReload(reload: () => void): void;
}

export interface WorkerChannelOptions {
  readonly channel: Channel;
  /** How long `broadcast` waits for the primary, in milliseconds. */
  readonly timeoutMs?: number;
}

/** The channel of a process without other workers: every call does nothing. */
export const NO_WORKERS: WorkerChannel = Object.freeze({
  broadcast: () => Promise.resolve(),
  onBroadcast: () => undefined,
  onRequest: () => undefined,
  askStart: () => Promise.resolve(undefined),
  ready: () => undefined,
  onDrain: () => undefined,
  onReload: () => undefined,
});

/** Returns the message if it is one of Couchgate's. */
export function asEnvelope(message: unknown): Envelope | undefined {
  return typeof message === 'object' && message !== null && 'couchgate' in message
    ? (message as Envelope)
    : undefined;
}

/** Creates the worker's end of the channel. */
export function createWorkerChannel({ channel, timeoutMs = 5000 }: WorkerChannelOptions): WorkerChannel {
  return new ProcessChannel(channel, timeoutMs);
}

class ProcessChannel implements WorkerChannel {
  readonly #channel: Channel;
  /** Longer than the primary's timeout for a stuck worker: this one is for a primary that is gone. */
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, () => void>();
  readonly #listeners: ((message: unknown) => void | Promise<void>)[] = [];
  readonly #responders = new Map<string, () => unknown>();
  readonly #drain = new BufferedEvent();
  readonly #reload = new BufferedEvent();
  #takeStart: (value: unknown) => void = () => undefined;
  #lastId = 0;

  constructor(channel: Channel, timeoutMs: number) {
    this.#channel = channel;
    this.#timeoutMs = timeoutMs;
    channel.on('message', (message) => {
      const envelope = asEnvelope(message);
      if (envelope !== undefined) this.#receive(envelope);
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
      this.#send({ couchgate: 'broadcast', id, message });
    });
  }

  onBroadcast(listener: (message: unknown) => void | Promise<void>): void {
    this.#listeners.push(listener);
  }

  onRequest(name: string, respond: () => unknown): void {
    this.#responders.set(name, respond);
  }

  askStart(): Promise<unknown> {
    return new Promise((resolve) => {
      this.#takeStart = resolve;
      this.#send({ couchgate: 'start?' });
    });
  }

  ready(): void {
    this.#send({ couchgate: 'ready' });
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

  #receive(envelope: Envelope): void {
    const { couchgate } = envelope;
    if (couchgate === 'broadcast') void this.#handle(envelope.id, envelope.message);
    else if (couchgate === 'delivered') this.#waiting.get(envelope.id)?.();
    else if (couchgate === 'start') this.#takeStart(envelope.value);
    else if (couchgate === 'drain') this.#drain.emit();
    else if (couchgate === 'reload') this.#reload.emit();
    else if (couchgate === 'request') {
      const { id } = envelope;
      Promise.resolve(this.#responders.get(envelope.name)?.()).then(
        (value) => this.#send({ couchgate: 'response', id, value }),
        () => this.#send({ couchgate: 'response', id, value: undefined }),
      );
    }
  }

  async #handle(id: number, message: unknown): Promise<void> {
    await Promise.allSettled(this.#listeners.map(async (listener) => listener(message)));
    this.#send({ couchgate: 'handled', id });
  }
}

/** An event that may be emitted before the first listener is added; the listener then gets it at once. */
class BufferedEvent {
  readonly #listeners: (() => void)[] = [];
  #isPending = false;

  on(listener: () => void): void {
    this.#listeners.push(listener);
    if (this.#isPending) listener();
    this.#isPending = false;
  }

  emit(): void {
    if (this.#listeners.length === 0) this.#isPending = true;
    for (const listener of this.#listeners) listener();
  }
}
