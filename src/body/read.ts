// Reads the body of a request into memory: once, decoded, within its limit and the memory budget.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { callerOf, contextOf } from '../context.ts';
import { BadContentType, BadRequest, TooLarge } from '../http-errors.ts';
import { JoinedPieces } from '../limits/joined-pieces.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type BodyBudget, createBodyBudget, type Reserve } from './budget.ts';
import {
  announcesBody,
  encodedMultipart,
  encodingOf,
  gunzip,
  inflatedLimit,
  isMultipart,
  isReadAsJson,
  mediaTypeOf,
} from './decode.ts';
import { type BuildRules, buildJson } from './json-build.ts';
import { parseForm } from './parse.ts';

/** Bytes that all bodies of one kind may reserve at the same time. */
export interface BodyBudgets {
  /** Bodies that are scanned, and small ones (logins, keys, forms). */
  readonly scannedBytes: number;
  /** Large bodies that are parsed: parsing multiplies their size by twenty. */
  readonly parsedBytes: number;
}

export interface BodyRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  /** The budget that the body counts against; `scanned` by default. `reserved` = its memory is reserved. */
  readonly budget?: 'scanned' | 'parsed' | 'reserved';
}

export interface JsonRules extends BodyRules, BuildRules {
  /**
   * `json` (default) requires `application/json`. `document` requires it as CouchDB does for a document, so
   * not for PUT. `any` reads JSON of every type, as CouchDB does for `PUT /{db}/_security`.
   */
  readonly contentType?: 'json' | 'document' | 'any';
}

/**
 * The only reader of request bodies. It stores a body in `context.body`; a second call returns the same
 * bytes.
 */
export class BodyReader {
  readonly #budgets: Readonly<Record<'scanned' | 'parsed', BodyBudget>>;

  constructor({ scannedBytes, parsedBytes }: BodyBudgets) {
    this.#budgets = { scanned: createBodyBudget(scannedBytes), parsed: createBodyBudget(parsedBytes) };
  }

  /**
   * The decoded body. Throws 413 past the limit (of the decoded size too, and for a body that was read
   * before), 415 for an unknown encoding or a multipart body with one, 400 for bad gzip or a body that was
   * cut short, 503 where the budget has no room.
   */
  async read(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<Buffer> {
    const context = contextOf(req);
    const { limitBytes, budget = 'scanned' } = rules;
    if (context.body === undefined) {
      const reserve =
        budget === 'reserved' ? undefined : this.#budgets[budget](res, quotaKeyOf(callerOf(context)));
      context.body = await receiveDecoded(req, limitBytes, reserve);
    }
    if (context.body.length > limitBytes) throw new TooLarge();
    return context.body;
  }

  /**
   * Returns the body as a JSON object. Throws what `read` throws, 415 for another type, and CouchDB's own 400
   * sentences.
   */
  async jsonObject(req: IncomingMessage, res: ServerResponse, rules: JsonRules): Promise<JsonObject> {
    const object = await this.optionalJsonObject(req, res, rules);
    if (object === undefined) throw new BadRequest('Missing request body');
    return object;
  }

  /** As `jsonObject`, but `undefined` for a request without a body, also if it has a Content-Type. */
  async optionalJsonObject(
    req: IncomingMessage,
    res: ServerResponse,
    rules: JsonRules,
  ): Promise<JsonObject | undefined> {
    if (!announcesBody(req)) return undefined;
    if (!hasRightType(req, rules)) throw new BadContentType();
    const bytes = await this.read(req, res, rules);
    if (bytes.length === 0) return undefined;
    const value = await buildJson(bytes, rules);
    if (!isJsonObject(value)) throw new BadRequest('Request body must be a JSON object');
    return value;
  }

  /**
   * Returns the fields of a form in order, with repeated ones. Throws what `read` throws, 415, and 400 for
   * invalid UTF-8.
   */
  async form(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<URLSearchParams> {
    if (mediaTypeOf(req) !== 'application/x-www-form-urlencoded') {
      throw new BadContentType('Content-Type must be application/x-www-form-urlencoded');
    }
    return parseForm(await this.read(req, res, rules));
  }
}

function hasRightType(req: IncomingMessage, { contentType = 'json' }: JsonRules): boolean {
  if (contentType === 'document') return isReadAsJson(req);
  return contentType === 'any' || mediaTypeOf(req) === 'application/json';
}

/** The body without its Content-Encoding. */
async function receiveDecoded(
  req: IncomingMessage,
  limitBytes: number,
  reserve: Reserve | undefined,
): Promise<Buffer> {
  const encoding = encodingOf(req);
  if (encoding === 'gzip' && isMultipart(req)) throw encodedMultipart();
  const received = await receive(req, limitBytes, reserve);
  if (encoding === 'identity' || received.length === 0) return received;
  return gunzip(received, Math.min(limitBytes, inflatedLimit(received.length)), reserve);
}

/**
 * Reads the bytes of a body. Rejects with TooLarge beyond the limit, at once if Content-Length exceeds it.
 * Rejects with BadRequest if the client disconnects before the end. `reserve` is called before a chunk is
 * stored; its refusal rejects too.
 */
export function receive(req: IncomingMessage, limitBytes: number, reserve?: Reserve): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? '0') > limitBytes) return Promise.reject(new TooLarge());
  return new Promise((resolve, reject) => {
    const pieces = new JoinedPieces();
    const removeListeners = (): void => {
      req.off('data', onData).off('end', onEnd).off('close', onAbort).off('error', onAbort);
    };
    const onData = (chunk: Buffer): void => {
      const refusal = pieces.size + chunk.length > limitBytes ? new TooLarge() : reserve?.(chunk.length);
      if (refusal === undefined) {
        pieces.add(chunk);
        return;
      }
      // The rest is not read: the answer closes the connection, so a client cannot make Couchgate read
      // forever.
      removeListeners();
      req.pause();
      reject(refusal);
    };
    const onEnd = (): void => {
      removeListeners();
      resolve(pieces.join());
    };
    const onAbort = (): void => {
      removeListeners();
      reject(new BadRequest('Request body is incomplete'));
    };
    if (req.destroyed || req.readableEnded) onAbort();
    else {
      contextOf(req).wantBody();
      req.on('data', onData).on('end', onEnd).on('close', onAbort).on('error', onAbort);
    }
  });
}
