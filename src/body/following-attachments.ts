// Finds the packed attachments in the parts of a multipart document, as CouchDB finds them (H20).
import { createHash } from 'node:crypto';
import { BadRequest, type HttpError } from '../http-errors.ts';
import { type UnpackedMeter } from './unpacked-meter.ts';

/** An attachment whose bytes are in the parts after the document. */
export interface Following {
  readonly isPacked: boolean;
  /** Number of bytes that CouchDB stores. */
  readonly bytes: number;
}

/** Members of an attachment that decide how CouchDB reads it (couch_att.erl, from_json). */
const FIELDS: ReadonlySet<string> = new Set(['stub', 'follows', 'encoding', 'encoded_length', 'length']);
const LENGTH = /^(?:0|[1-9]\d{0,14})$/;
/** Longest name of an attachment. A part with a longer one in its header is refused too. */
const MAX_TOKEN_BYTES = 8192;

/** Levels of `{"_attachments":{"name":{…}}}`. */
const DOCUMENT = 1;
const ATTACHMENTS = 2;
const ATTACHMENT = 3;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

/**
 * Reads the JSON of a document piece by piece, and keeps the attachments that follow. It needs no valid JSON,
 * because CouchDB refuses other JSON. Of duplicate keys the last one counts, and its place is that of the
 * attachment (jiffy, `dedupe_keys`).
 */
export class FollowingScan {
  /** By the hash of the name. */
  readonly #found = new Map<string, Following>();
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** True from the beginning of an object or a comma up to the colon. */
  #isKey = false;
  /** The key or the scalar that is being read, if it matters. */
  #token = '';
  #isInAttachments = false;
  #name = '';
  /** Members of the open attachment, as JSON; undefined for what is no object. */
  #fields: Map<string, string> | undefined;
  #field = '';

  /** The attachments that follow, in CouchDB's order. */
  get found(): readonly Following[] {
    return [...this.#found.values()];
  }

  /** Returns why the body is refused, if CouchDB can store no such attachment. */
  add(piece: Buffer): HttpError | undefined {
    for (let at = 0; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (this.#isInString) this.#readString(byte);
      else {
        const refusal = this.#read(byte);
        if (refusal !== undefined) return refusal;
      }
    }
    return undefined;
  }

  #readString(byte: number): void {
    this.#collect(byte);
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) this.#isInString = false;
  }

  #read(byte: number): HttpError | undefined {
    if (byte === COLON) return this.#endKey();
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#open(byte === OPEN_OBJECT);
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) return this.#close();
    else if (byte === COMMA) {
      this.#endValue();
      this.#isKey = true;
    } else if (byte > SPACE) {
      this.#isInString = byte === QUOTE;
      this.#collect(byte);
    }
    return undefined;
  }

  #collect(byte: number): void {
    const matters = this.#isKey
      ? this.#depth === DOCUMENT || (this.#isInAttachments && this.#depth <= ATTACHMENT)
      : this.#field !== '' && this.#depth === ATTACHMENT;
    // One byte too many is kept, as a mark.
    if (matters && this.#token.length <= MAX_TOKEN_BYTES) this.#token += String.fromCharCode(byte);
  }

  #endKey(): HttpError | undefined {
    const token = this.#token;
    this.#token = '';
    this.#isKey = false;
    if (token === '') return undefined;
    const isName = this.#depth === ATTACHMENTS;
    if (isName && token.length > MAX_TOKEN_BYTES)
      return new BadRequest('The name of an attachment is too long.');
    const key = keyIn(token);
    if (this.#depth === DOCUMENT) {
      this.#isInAttachments = key === '_attachments';
      if (this.#isInAttachments) this.#found.clear();
    } else if (isName) {
      this.#name = createHash('sha256').update(key).digest('hex');
      this.#found.delete(this.#name);
    } else this.#field = FIELDS.has(key) ? key : '';
    return undefined;
  }

  #endValue(): void {
    if (this.#depth !== ATTACHMENT) return;
    if (this.#field !== '') this.#fields?.set(this.#field, this.#token);
    this.#field = '';
    this.#token = '';
  }

  #open(isObject: boolean): void {
    this.#endValue();
    this.#token = '';
    this.#isKey = isObject;
    this.#depth += 1;
    if (this.#depth === ATTACHMENT) this.#fields = isObject && this.#isInAttachments ? new Map() : undefined;
  }

  #close(): HttpError | undefined {
    this.#endValue();
    this.#token = '';
    this.#isKey = false;
    const fields = this.#depth === ATTACHMENT ? this.#fields : undefined;
    this.#depth -= 1;
    if (fields?.get('follows') !== 'true' || fields.get('stub') === 'true') return undefined;
    const encoding = fields.get('encoding');
    const packedLength = encoding === undefined ? undefined : fields.get('encoded_length');
    const length = packedLength ?? fields.get('length') ?? '';
    if (!LENGTH.test(length)) return new BadRequest('An attachment that follows has no valid length.');
    this.#found.set(this.#name, {
      isPacked: encoding !== undefined && encoding !== '"identity"',
      bytes: Number(length),
    });
    return undefined;
  }
}

/** The text of a quoted key, which was read byte by byte. CouchDB refuses a body with an invalid one. */
function keyIn(token: string): string {
  try {
    return String(JSON.parse(Buffer.from(token, 'latin1').toString()));
  } catch {
    return '';
  }
}

/** Content of a packed attachment. `isFirst` = the attachment begins with it. */
interface Piece {
  readonly bytes: Buffer;
  readonly isFirst: boolean;
}

/**
 * Measures the packed ones among the attachments that follow. CouchDB joins the contents of all parts, and
 * divides them by the lengths in the document (couch_httpd_multipart.erl, couch_att.erl).
 */
export class FollowingAttachments {
  readonly #attachments: readonly Following[];
  readonly #meter: UnpackedMeter;
  /** Index of the current attachment, and how much of it was read. */
  #at = 0;
  #read = 0;
  readonly #unmeasured: Piece[] = [];
  /** Index behind the last packed attachment. Found once: each part asks for it. */
  readonly #end: number;

  constructor(attachments: readonly Following[], meter: UnpackedMeter) {
    this.#attachments = attachments;
    this.#meter = meter;
    this.#end = attachments.findLastIndex(({ isPacked, bytes }) => isPacked && bytes > 0) + 1;
  }

  /** True if the parts need not be read: nothing that is packed follows. */
  get areUnpacked(): boolean {
    return this.#at >= this.#end;
  }

  /** Takes content of the parts. */
  add(content: Buffer): void {
    for (let rest = content; rest.length > 0;) {
      const attachment = this.#attachments[this.#at];
      if (attachment === undefined) return;
      const bytes = rest.subarray(0, attachment.bytes - this.#read);
      // Each attachment that begins costs a stream of zlib.
      if (attachment.isPacked && bytes.length > 0)
        this.#unmeasured.push({ bytes, isFirst: this.#read === 0 });
      rest = rest.subarray(bytes.length);
      this.#read += bytes.length;
      if (this.#read < attachment.bytes) return;
      this.#at += 1;
      this.#read = 0;
    }
  }

  /** Measures what was added; undefined if nothing of it is packed. */
  measure(): Promise<HttpError | undefined> | undefined {
    return this.#unmeasured.length === 0 ? undefined : this.#measureAll(this.#unmeasured.splice(0));
  }

  async #measureAll(pieces: readonly Piece[]): Promise<HttpError | undefined> {
    for (const { bytes, isFirst } of pieces) {
      if (isFirst) this.#meter.beginAttachment();
      const refusal = await this.#meter.add(bytes);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }
}
