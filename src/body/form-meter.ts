// Limits the forms of show and update functions, which CouchDB parses into lists of characters (H20.9).
import { type IncomingMessage } from 'node:http';
import { type Endpoint } from '../catalogue/endpoint.ts';
import { type HttpError, TooLarge } from '../http-errors.ts';
import { type BodyMeter } from './json-meter.ts';
import { HeldValues, type ValueHolder } from './value-budget.ts';

/** Forms of pages have few kilobytes. CouchDB needs 50 MiB of memory for 1 MiB without separators. */
export const FORM_LIMIT_BYTES = 1_048_576;
/** CouchDB needs 144 bytes of memory for an empty field of one byte. */
const FIELDS = 10_000;
/** So many bytes of a form count as one value. */
const BYTES_PER_VALUE = 8;

const FORM = 'application/x-www-form-urlencoded';
const AMPERSAND = 0x26;
const SEMICOLON = 0x3b;

/**
 * True if CouchDB may parse the body as a form (chttpd_external.erl, json_req_obj_field): it compares the
 * start of the type. A function of a partition has the kind `rows`, as lists have; those refuse a form.
 */
export function isForm({ body }: Pick<Endpoint, 'body'>, req: Pick<IncomingMessage, 'headers'>): boolean {
  if (body !== 'text' && body !== 'rows') return false;
  return req.headers['content-type']?.toLowerCase().startsWith(FORM) === true;
}

/** Measures a form: its bytes, and its fields as CouchDB separates them. */
export class FormMeter implements BodyMeter {
  readonly #held: HeldValues;
  #bytes = 0;
  #fields = 1;

  constructor(holder: ValueHolder) {
    this.#held = new HeldValues(holder);
  }

  /** Returns why the form is refused, once it exceeds a limit. */
  add(piece: Buffer): HttpError | undefined {
    this.#bytes += piece.length;
    if (this.#bytes > FORM_LIMIT_BYTES) return new TooLarge('a form may have 1 MiB at most');
    for (const byte of piece) if (byte === AMPERSAND || byte === SEMICOLON) this.#fields += 1;
    if (this.#fields > FIELDS) return new TooLarge(`a form may have ${FIELDS} fields at most`);
    return this.#held.add(piece, Math.ceil(this.#bytes / BYTES_PER_VALUE));
  }
}
