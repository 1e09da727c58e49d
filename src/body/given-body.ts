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
    if (this.#body === undefined) throw new BodyNotGiven();
    contextOf(req).body = this.#body;
    if (this.#body.length > limitBytes) throw new TooLarge();
    return this.#body;
  }

  /** Without a body, its type is not known either. */
  override form(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<URLSearchParams> {
    return this.#body === undefined ? Promise.reject(new BodyNotGiven()) : super.form(req, res, rules);
  }
}
