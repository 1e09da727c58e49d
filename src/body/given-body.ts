// Reads the body that a question about a request gives, in place of one that arrives.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf } from '../context.ts';
import { HttpError, TooLarge } from '../http-errors.ts';
import { encodingOf } from './decode.ts';
import { BodyReader, type BodyRules } from './read.ts';

/** The decision depends on a body that the question does not give. */
export class BodyNotGiven extends HttpError {
  constructor() {
    super(400, 'bad_request', 'The body decides; the question gives none.');
  }
}

/** Returns the given body, which is decoded already. Throws BodyNotGiven without one. */
export class GivenBody extends BodyReader {
  readonly #body: Buffer | undefined;

  constructor(body: Buffer | undefined) {
    super({ scannedBytes: 0, parsedBytes: 0 });
    this.#body = body;
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  override async read(
    req: IncomingMessage,
    _res: ServerResponse,
    { limitBytes }: BodyRules,
  ): Promise<Buffer> {
    // It refuses an encoding that CouchDB does not read.
    encodingOf(req);
    const body = this.#given(req);
    if (body.length > limitBytes) throw new TooLarge();
    return body;
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  override async readReserved(req: IncomingMessage): Promise<Buffer> {
    return this.#given(req);
  }

  #given(req: IncomingMessage): Buffer {
    if (this.#body === undefined) throw new BodyNotGiven();
    return (contextOf(req).body = this.#body);
  }

  /** Without a body, its type is not known either. */
  override form(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<URLSearchParams> {
    return this.#body === undefined ? Promise.reject(new BodyNotGiven()) : super.form(req, res, rules);
  }
}
