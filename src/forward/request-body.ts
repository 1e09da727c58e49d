// Sends a request's body to CouchDB: bytes at once, a stream piece by piece as fast as the slower side takes it.
import { type ClientRequest, type IncomingMessage } from 'node:http';
import { type JsonMeter } from '../body/json-meter.ts';
import { type InternalIdScan } from '../body/stream-scan.ts';
import { Forbidden, type HttpError, TooLarge } from '../http-errors.ts';
import { whenEstablished } from './agents.ts';
import { type RequestBody } from './request-headers.ts';

/** Hears of a body that may not go on: CouchDB acts on one only when it has all of it. */
export interface Refusing {
  refuse(error: HttpError): void;
}

/** The client's part of an exchange, handed to one attempt after the other until the first byte of a stream has left. */
export class OutgoingBody {
  readonly #body: RequestBody;
  readonly #req: IncomingMessage;
  /** Largest body; a chunked one is cut when it turns out larger. */
  readonly #limitBytes: number;
  /** For a body whose ids nobody has read. */
  readonly #scan: InternalIdScan | undefined;
  /** For a body that CouchDB parses. */
  readonly #meter: JsonMeter | undefined;
  readonly #refusing: Refusing;
  #upstream: ClientRequest | undefined;
  #sent = 0;
  /** True once bytes of a stream were taken from the client: they exist nowhere else, so no other node can get them. */
  consumed = false;

  constructor(
    body: RequestBody,
    req: IncomingMessage,
    limitBytes: number,
    scan: InternalIdScan | undefined,
    meter: JsonMeter | undefined,
    refusing: Refusing,
  ) {
    this.#body = body;
    this.#req = req;
    this.#limitBytes = limitBytes;
    this.#scan = scan;
    this.#meter = meter;
    this.#refusing = refusing;
  }

  sendTo(upstream: ClientRequest): void {
    this.#upstream = upstream;
    const { kind } = this.#body;
    if (kind === 'none') upstream.end();
    else if (kind === 'bytes') upstream.end(this.#body.bytes);
    else
      // Nothing is taken from the client before a connection stands: a node that refuses it costs no byte of the body.
      upstream.once('socket', (socket) =>
        whenEstablished(socket, () => {
          if (this.#upstream === upstream && !upstream.destroyed) this.#flow(upstream);
        }),
      );
  }

  /** Takes nothing more from the client. */
  stop(): void {
    if (this.#upstream === undefined) return;
    this.#upstream = undefined;
    if (!this.consumed) return;
    this.#req.off('data', this.#onData).off('end', this.#onEnd);
  }

  #flow(upstream: ClientRequest): void {
    this.consumed = true;
    upstream.on('drain', this.#onDrain);
    this.#req.on('data', this.#onData).on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#sent += chunk.length;
    // A stated length was compared before; only a chunked body can turn out too large.
    if (this.#sent > this.#limitBytes) {
      this.#refusing.refuse(new TooLarge());
      return;
    }
    if (this.#scan?.finds(chunk) === true) {
      this.#refusing.refuse(new Forbidden('Documents that CouchDB keeps for itself cannot be written.'));
      return;
    }
    const refusal = this.#meter?.add(chunk);
    if (refusal !== undefined) {
      this.#refusing.refuse(refusal);
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
