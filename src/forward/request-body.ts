// Sends the body of a request to CouchDB: bytes at once, or a stream with back-pressure.
import { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { type BodyMeter } from '../body/json-meter.ts';
import { contextOf } from '../context.ts';
import { type HttpError, TooLarge } from '../http-errors.ts';
import { whenEstablished } from './agents.ts';
import { type RequestBody } from './request-headers.ts';

/** The exchange whose body is sent. */
export interface SendingExchange {
  readonly request: { readonly body: RequestBody };
  readonly res: ServerResponse;
  /** Called with the refusal of a body. CouchDB has not acted on the body: it waits for its end. */
  refuse(error: HttpError): void;
}

/** The body of one request. Several attempts may send it until the first byte of a stream was sent. */
export class OutgoingBody {
  readonly #body: RequestBody;
  readonly #req: IncomingMessage;
  /** Largest body; a chunked one is cut when it turns out larger. */
  readonly #limitBytes: number;
  /** For a body that CouchDB parses or unpacks. */
  readonly #meter: BodyMeter | undefined;
  readonly #exchange: SendingExchange;
  #upstream: ClientRequest | undefined;
  #sent = 0;
  /** True while a chunk waits for the meter. It is not sent, and no other is read. */
  #isMeasuring = false;
  #hasEnded = false;
  /**
   * True after bytes of a stream were read from the client. They are not stored, so no other node can get
   * them.
   */
  consumed = false;

  constructor(exchange: SendingExchange, limitBytes: number, meter: BodyMeter | undefined) {
    this.#exchange = exchange;
    this.#body = exchange.request.body;
    this.#req = exchange.res.req;
    this.#limitBytes = limitBytes;
    this.#meter = meter;
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
    this.#meter?.stop?.();
    if (!this.consumed) return;
    this.#req.off('data', this.#onData).off('end', this.#onEnd);
  }

  #startStream(upstream: ClientRequest): void {
    this.consumed = true;
    contextOf(this.#req).wantBody();
    upstream.on('drain', this.#onDrain);
    this.#req.on('data', this.#onData).on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#sent += chunk.length;
    // A stated length was compared before; only a chunked body can turn out too large.
    if (this.#sent > this.#limitBytes) {
      this.#exchange.refuse(new TooLarge());
      return;
    }
    const refusal = this.#meter?.add(chunk);
    if (refusal instanceof Promise) void this.#sendMeasured(chunk, refusal);
    else this.#send(chunk, refusal);
  };

  /** Sends the chunk, or refuses the body because of it. */
  #send(chunk: Buffer, refusal: HttpError | undefined): void {
    if (refusal !== undefined) this.#exchange.refuse(refusal);
    else if (this.#upstream?.write(chunk) === false) this.#req.pause();
  }

  /** Node emits `end` although the stream is paused, if all was read before. */
  async #sendMeasured(chunk: Buffer, measured: Promise<HttpError | undefined>): Promise<void> {
    this.#isMeasuring = true;
    this.#req.pause();
    const refusal = await measured;
    this.#isMeasuring = false;
    if (this.#upstream === undefined) return;
    this.#req.resume();
    this.#send(chunk, refusal);
    if (this.#hasEnded) this.#onEnd();
  }

  readonly #onDrain = (): void => {
    if (this.#upstream !== undefined && !this.#isMeasuring) this.#req.resume();
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    if (!this.#isMeasuring) this.#upstream?.end();
  };
}
