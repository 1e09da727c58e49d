// The kept connections to one node for short requests: undici clients, the newest one first.
import { type Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import { breakSilence, type ConnectionLimits, KEEP_ALIVE_PROBE_MS } from './agents.ts';

/** CouchDB closes the connection that is idle the longest, so the newest one is the safest to reuse. */
export class KeptConnections {
  readonly #origin: string;
  readonly #limits: ConnectionLimits;
  readonly #connect: ReturnType<typeof buildConnector>;
  readonly #idle: KeptConnection[] = [];
  readonly #open = new Set<KeptConnection>();
  #idleTimeoutMs: number;

  /** `origin` is `http://host:port` of the node. */
  constructor(origin: string, limits: ConnectionLimits) {
    this.#origin = origin;
    this.#limits = limits;
    this.#idleTimeoutMs = limits.idleTimeoutMs;
    this.#connect = buildConnector({
      timeout: limits.connectTimeoutMs,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
      ...(limits.ca === undefined ? {} : { ca: limits.ca }),
    });
  }

  /** Returns a connection that carries no request. The caller gives it back, or discards it. */
  take(): KeptConnection {
    return this.#idle.pop() ?? this.#create();
  }

  /** Keeps a connection whose last answer was complete. */
  giveBack(connection: KeptConnection): void {
    if (!connection.isConnected || this.#idle.length >= this.#limits.maxIdle) this.discard(connection);
    else this.#idle.push(connection);
  }

  /** Closes a connection. A request that it carries fails. */
  discard(connection: KeptConnection): void {
    this.#open.delete(connection);
    // Never rejects, also if the client is already destroyed.
    void connection.client.destroy();
  }

  /** Closes the connections that carry no request. */
  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) this.discard(connection);
  }

  /** Sets after which silence, in ms, a connection that carries a request is closed. */
  setIdleTimeout(milliseconds: number): void {
    this.#idleTimeoutMs = milliseconds;
    for (const { socket } of this.#open) socket?.setTimeout(milliseconds);
  }

  /** Closes every connection. */
  destroy(): void {
    for (const connection of this.#open) this.discard(connection);
    this.#idle.length = 0;
  }

  #create(): KeptConnection {
    const { keepAliveMs } = this.#limits;
    const connection = new KeptConnection(
      new Client(this.#origin, {
        pipelining: 1,
        keepAliveTimeout: keepAliveMs,
        keepAliveMaxTimeout: keepAliveMs,
        // The timeout of the socket is used instead: it needs no work per request.
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: (options, callback) => {
          this.#connect(options, (...result) => {
            const [error, socket] = result;
            if (error === null) connection.opened(socket, this.#idleTimeoutMs);
            callback(...result);
          });
        },
      }),
    );
    connection.client.on('disconnect', () => {
      connection.closed();
      const at = this.#idle.indexOf(connection);
      if (at === -1) return;
      this.#idle.splice(at, 1);
      this.discard(connection);
    });
    this.#open.add(connection);
    return connection;
  }
}

/** What a connection tells the attempt that it carries. */
export interface ConnectionUser {
  /** True after the head of the answer. */
  readonly isAnswered: boolean;
  /** The node has closed its side, and all its bytes were taken from the socket. */
  nodeEnded(): void;
}

/** One undici client, which has at most one connection and carries one request at a time. */
export class KeptConnection {
  readonly client: Client;
  user: ConnectionUser | undefined = undefined;
  socket: Socket | undefined = undefined;
  /** True while the connection is established. */
  isConnected = false;
  /** True if it has carried a request before the present one. */
  isReused = false;

  constructor(client: Client) {
    this.client = client;
  }

  opened(socket: Socket, idleTimeoutMs: number): void {
    this.socket = socket;
    this.isConnected = true;
    this.isReused = false;
    socket.setTimeout(idleTimeoutMs);
    socket.on('timeout', breakSilence);
    // These are called before the listeners that undici adds (M7).
    socket.on('end', () => this.user?.nodeEnded());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.user?.isAnswered === true && error.code === 'ECONNRESET') error.code = RESET_IN_ANSWER;
    });
  }

  closed(): void {
    this.isConnected = false;
    this.socket = undefined;
  }
}

/**
 * After ECONNRESET, undici ends an answer with `Connection: close` as if the node had closed its side in
 * order: it fails an assertion if its parser is paused, and takes an answer without a length for complete.
 */
const RESET_IN_ANSWER = 'NODE_RESET';
