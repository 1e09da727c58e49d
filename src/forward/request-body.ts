// Sends the body of a request to CouchDB: bytes at once, or a stream with back-pressure.
import { type ClientRequest, type IncomingMessage } from 'node:http';
import { type InternalIdScan } from '../body/stream-scan.ts';
import { Forbidden, type HttpError, TooLarge } from '../http-errors.ts';
import { whenEstablished } from './agents.ts';
import { type RequestBody } from './request-headers.ts';

export interface BodyLimits {
  /** Largest body. A chunked body is refused as soon as it exceeds this size. */
  readonly maxBodyBytes: number;
}

/** Called with the refusal of a body. CouchDB has not acted on the body: it waits for its end. */
export interface BodyRefusalListener {
  refuse(error: HttpError): void;
}

/** The body of one request. Several attempts may send it until the first byte of a stream was sent. */
export class OutgoingBody {
  readonly #body: RequestBody;
  readonly #req: IncomingMessage;
  readonly #limits: BodyLimits;
  /** Set for a body whose document ids were not read by authorize. */
  readonly #scan: InternalIdScan | undefined;
  readonly #listener: BodyRefusalListener;
  #upstream: ClientRequest | undefined;
  #sent = 0;
  /**
   * True after bytes of a stream were read from the client. They are not stored, so no other node can get
   * them.
   */
  consumed = false;

  constructor(
    body: RequestBody,
    req: IncomingMessage,
    limits: BodyLimits,
    scan: InternalIdScan | undefined,
    listener: BodyRefusalListener,
  ) {
    this.#body = body;
    this.#req = req;
    this.#limits = limits;
    this.#scan = scan;
    this.#listener = listener;
  }

  /** Sends the body to `upstream`, and ends it. */
  sendTo(upstream: ClientRequest): void {
    this.#upstream = upstream;
    const { kind } = this.#body;
    if (kind === 'none') upstream.end();
    else if (kind === 'bytes') upstream.end(this.#body.bytes);
    else
      // The client's stream is read only after a connection is established, so that another node can be tried
      // until then.
      upstream.once('socket', (socket) =>
        whenEstablished(socket, () => {
          if (this.#upstream === upstream && !upstream.destroyed) this.#startStream(upstream);
        }),
      );
  }

  /** Stops reading from the client. */
  stop(): void {
    if (this.#upstream === undefined) return;
    this.#upstream = undefined;
    if (!this.consumed) return;
    this.#req.off('data', this.#onData).off('end', this.#onEnd);
  }

  #startStream(upstream: ClientRequest): void {
    this.consumed = true;
    upstream.on('drain', this.#onDrain);
    this.#req.on('data', this.#onData).on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#sent += chunk.length;
    // admit has checked Content-Length, so only a chunked body can exceed the limit.
    if (this.#sent > this.#limits.maxBodyBytes) {
      this.#listener.refuse(new TooLarge());
      return;
    }
    if (this.#scan?.containsInternalId(chunk) === true) {
      this.#listener.refuse(new Forbidden("CouchDB's internal documents cannot be written."));
      return;
    }
    if (this.#upstream?.write(chunk) === false) this.#req.pause();
  };

  readonly #onDrain = (): void => {
    if (this.#upstream !== undefined) this.#req.resume();
  };

  readonly #onEnd = (): void => {
    this.#upstream?.end();
  };
}
