// Measures the JSON and the packed attachments in a multipart body, as CouchDB finds them (H20).
import { type IncomingMessage } from 'node:http';
import { BadRequest, TooLarge, type HttpError } from '../http-errors.ts';
import { FollowingAttachments, FollowingScan } from './following-attachments.ts';
import { type BodyHolder, type BodyMeter, JsonMeter, type StructureLimits } from './json-meter.ts';
import { type UnpackedMeter } from './unpacked-meter.ts';
import { HeldValues } from './value-budget.ts';

/** `related`: a document with its attachments. `form`: a form with a document in a field. */
export type MultipartKind = 'related' | 'form';

/** CouchDB keeps the header of a part in memory, and needs a fraction of this. */
const MAX_PART_HEADER_BYTES = 8192;
/** Each part costs work: 64 MiB have room for five million empty ones. */
const MAX_PARTS = 10_000;
const HEADER_END = Buffer.from('\r\n\r\n');
/** The only part of a form that CouchDB does not parse. Any other spelling counts as JSON. */
const ATTACHMENT_OF_FORM = new RegExp(
  [
    /^(?:content-type:[^\r\n]*\r\n)?/,
    /content-disposition: form-data; name="_attachments"; filename="[^"\\\r\n;]*"/,
    /(?:\r\ncontent-type:[^\r\n]*)?$/,
  ]
    .map(({ source }) => source)
    .join(''),
  'i',
);

/**
 * Returns how CouchDB reads the body of a document; undefined = as JSON. CouchDB compares the type of a PUT
 * with these bytes (chttpd_db.erl, db_doc_req). A POST is a form or refused.
 */
export function multipartKind(req: Pick<IncomingMessage, 'headers' | 'method'>): MultipartKind | undefined {
  const type = req.headers['content-type'] ?? '';
  if (req.method === 'PUT') return type.startsWith('multipart/related;') ? 'related' : undefined;
  const [name = ''] = partsOf(type);
  return name.trim().toLowerCase() === 'multipart/form-data' ? 'form' : undefined;
}

/** Splits as mochiweb_util:parse_header does: at each semicolon, also in quotes, without empty parts. */
function partsOf(type: string): readonly string[] {
  return type.split(';').filter((part) => part !== '');
}

/**
 * Returns the boundary as CouchDB reads it: the first one counts. Throws BadRequest for other characters than
 * those of RFC 2046 section 5.1.1, and for a header with bytes that readers trim differently.
 */
export function boundaryOf(type: string): string {
  const parts = /^[\x20-\x7e]*$/.test(type) ? partsOf(type) : [];
  for (const parameter of parts.slice(1)) {
    const equals = parameter.indexOf('=');
    if (equals === -1 || parameter.slice(0, equals).trim().toLowerCase() !== 'boundary') continue;
    const value = parameter.slice(equals + 1).trim();
    const [, quoted, plain] = /^(?:"([\w'()+,./:=?-]{1,100})"|([\w'()+,./:=?-]{1,100}))$/.exec(value) ?? [];
    const boundary = quoted ?? plain;
    if (boundary !== undefined) return boundary;
    break;
  }
  throw new BadRequest('The boundary of the multipart body is missing or has unusual characters.');
}

type State = 'preamble' | 'header' | 'body' | 'after' | 'end';

export interface MultipartRules {
  readonly kind: MultipartKind;
  readonly boundary: string;
  /** Largest part that CouchDB parses; of a form, all that is no attachment. */
  readonly limitBytes: number;
  readonly limits: StructureLimits;
}

/** Reads one body piece by piece. It keeps the end of a piece that may be the beginning of a boundary. */
export class MultipartMeter implements BodyMeter {
  readonly #rules: MultipartRules;
  readonly #holder: BodyHolder;
  readonly #held: HeldValues;
  readonly #opening: Buffer;
  readonly #delimiter: Buffer;
  readonly #unpacked: UnpackedMeter | undefined;
  #state: State = 'preamble';
  #rest: Buffer = Buffer.alloc(0);
  /** Measures the current part; undefined = an attachment. */
  #json: JsonMeter | undefined;
  #jsonBytes = 0;
  #parts = 0;
  readonly #scan = new FollowingScan();
  /** Known after the document. */
  #following: FollowingAttachments | undefined;

  /** `unpacked` measures the packed attachments of `related`; undefined = they are harmless. */
  constructor(rules: MultipartRules, holder: BodyHolder, unpacked?: UnpackedMeter) {
    this.#rules = rules;
    this.#holder = holder;
    this.#held = new HeldValues(holder);
    this.#unpacked = unpacked;
    this.#opening = Buffer.from(`--${rules.boundary}`);
    this.#delimiter = Buffer.from(`\r\n--${rules.boundary}`);
  }

  /** Returns why the body is refused, once it exceeds a limit. */
  add(piece: Buffer): HttpError | undefined | Promise<HttpError | undefined> {
    return this.#read(piece) ?? this.#following?.measure();
  }

  stop(): void {
    this.#unpacked?.stop();
  }

  #read(piece: Buffer): HttpError | undefined {
    if (this.#state === 'end') return undefined;
    // CouchDB keeps a whole form in memory, but only the document of another body.
    const noRoom = this.#rules.kind === 'form' ? this.#held.add(piece, 0) : undefined;
    if (noRoom !== undefined) return noRoom;
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    for (;;) {
      const before = this.#rest.length;
      const state: State = this.#state;
      const refusal = this.#step();
      if (refusal !== undefined) return refusal;
      if (this.#state === state && this.#rest.length === before) return undefined;
    }
  }

  #step(): HttpError | undefined {
    if (this.#state === 'preamble') return this.#readPreamble();
    if (this.#state === 'header') return this.#readHeader();
    if (this.#state === 'body') return this.#readBody();
    if (this.#state === 'after') return this.#readAfter();
    this.#rest = Buffer.alloc(0);
    return undefined;
  }

  #readPreamble(): HttpError | undefined {
    const at = this.#rest.indexOf(this.#opening);
    if (this.#rules.kind === 'form' && at !== 0 && this.#rest.length >= this.#opening.length)
      return new BadRequest('A form must begin with its boundary.');
    if (at === -1)
      this.#rest = this.#rest.subarray(Math.max(0, this.#rest.length - this.#opening.length + 1));
    else this.#enter(this.#rules.kind === 'form' ? 'after' : 'header', at + this.#opening.length);
    return undefined;
  }

  #readHeader(): HttpError | undefined {
    const at = this.#rest.indexOf(HEADER_END);
    if (at > MAX_PART_HEADER_BYTES || (at === -1 && this.#rest.length > MAX_PART_HEADER_BYTES))
      return new BadRequest('The header of a part is too long.');
    if (at === -1) return undefined;
    this.#parts += 1;
    if (this.#parts > MAX_PARTS) return new TooLarge('the request body has too many parts');
    const header = this.#rest.toString('latin1', 0, at);
    const isAttachment =
      this.#rules.kind === 'form' ? ATTACHMENT_OF_FORM.test(header) : this.#following !== undefined;
    this.#json = isAttachment ? undefined : new JsonMeter(this.#rules.limits, this.#holder);
    // CouchDB keeps the headers and the texts of a form as lists of characters.
    if (this.#rules.kind === 'form') this.#jsonBytes += at;
    else this.#jsonBytes = 0;
    this.#enter('body', at + HEADER_END.length);
    return this.#jsonBytes > this.#rules.limitBytes ? new TooLarge() : undefined;
  }

  #readBody(): HttpError | undefined {
    const at = this.#rest.indexOf(this.#delimiter);
    const end = at === -1 ? Math.max(0, this.#rest.length - this.#delimiter.length + 1) : at;
    const refusal = this.#measure(this.#rest.subarray(0, end));
    if (refusal !== undefined) return refusal;
    if (at === -1) this.#rest = this.#rest.subarray(end);
    else this.#enter(this.#mayReadAttachments() ? 'after' : 'end', at + this.#delimiter.length);
    return undefined;
  }

  /** False if nothing of the body is to be measured after its first part. */
  #mayReadAttachments(): boolean {
    if (this.#rules.kind === 'form') return true;
    if (this.#unpacked === undefined) return false;
    this.#following ??= new FollowingAttachments(this.#scan.found, this.#unpacked);
    return !this.#following.areUnpacked;
  }

  /** CouchDB's parser of forms reads on in the same part after a boundary that another byte follows. */
  #readAfter(): HttpError | undefined {
    if (this.#rest.length < 2) return undefined;
    const next = this.#rest.toString('latin1', 0, 2);
    if (next !== '\r\n' && next !== '--') return new BadRequest('The boundary is ambiguous.');
    // In `related`, the line end belongs to the header, which may be empty (couch_httpd.erl).
    this.#enter(next === '--' ? 'end' : 'header', next === '--' || this.#rules.kind === 'form' ? 2 : 0);
    return undefined;
  }

  #measure(bytes: Buffer): HttpError | undefined {
    if (this.#json === undefined) {
      this.#following?.add(bytes);
      return undefined;
    }
    this.#jsonBytes += bytes.length;
    if (this.#jsonBytes > this.#rules.limitBytes) return new TooLarge();
    const refusal = this.#json.add(bytes);
    if (refusal !== undefined || this.#unpacked === undefined) return refusal;
    return this.#scan.add(bytes);
  }

  #enter(state: State, consumed: number): void {
    this.#state = state;
    this.#rest = this.#rest.subarray(consumed);
  }
}
