// Reads the body of a request into memory: once per request, decoded, within a limit and within the memory budget.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { callerOf, contextOf } from '../context.ts';
import { BadContentType, BadRequest, TooLarge } from '../http-errors.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type BodyBudget, createBodyBudget, type HoldBytes } from './budget.ts';
import { announcesBody, encodingOf, gunzip, inflatedLimit, isMultipart, mediaTypeOf } from './decode.ts';
import { buildJson } from './json-build.ts';
import { isJsonObject, type JsonObject, parseForm } from './parse.ts';

/** Bytes that all bodies of one kind may hold at the same time. */
export interface BodyBudgets {
  /** Bodies that are scanned, and small ones (logins, keys, forms). */
  readonly scannedBytes: number;
  /** Large bodies that are parsed: parsing multiplies their size by twenty. */
  readonly parsedBytes: number;
}

export interface BodyRules {
  /** Largest body, before and after gunzip. */
  readonly limitBytes: number;
  /** The budget that the body counts against; `scanned` by default. */
  readonly budget?: 'scanned' | 'parsed';
}

export interface JsonRules extends BodyRules {
  /** `json` (default) demands `application/json`; `any` reads JSON under every type, as CouchDB does for `PUT /{db}/_security`. */
  readonly contentType?: 'json' | 'any';
}

/** The only reader of request bodies. What it read stands in `context.body`; a second call returns the same bytes. */
export class BodyReader {
  readonly #budgets: Readonly<Record<'scanned' | 'parsed', BodyBudget>>;

  constructor({ scannedBytes, parsedBytes }: BodyBudgets) {
    this.#budgets = { scanned: createBodyBudget(scannedBytes), parsed: createBodyBudget(parsedBytes) };
  }

  /**
   * The decoded body. Throws 413 past the limit (of the decoded size too, and for a body that was read before), 415
   * for an unknown encoding or a multipart body with one, 400 for bad gzip or a body that was cut short, 503 where the
   * budget has no room.
   */
  async read(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<Buffer> {
    const context = contextOf(req);
    const { limitBytes, budget = 'scanned' } = rules;
    if (context.body === undefined) {
      const hold = this.#budgets[budget](res, quotaKeyOf(callerOf(context)));
      context.body = await receiveDecoded(req, limitBytes, hold);
    }
    if (context.body.length > limitBytes) throw new TooLarge();
    return context.body;
  }

  /** A JSON object from the body. Throws what `read` throws, 415 for another type, and CouchDB's own 400 sentences. */
  async jsonObject(req: IncomingMessage, res: ServerResponse, rules: JsonRules): Promise<JsonObject> {
    const object = await this.optionalJsonObject(req, res, rules);
    if (object === undefined) throw new BadRequest('Missing request body');
    return object;
  }

  /** As `jsonObject`, but `undefined` for a request without a body, whatever its Content-Type says. */
  async optionalJsonObject(
    req: IncomingMessage,
    res: ServerResponse,
    rules: JsonRules,
  ): Promise<JsonObject | undefined> {
    if (!announcesBody(req)) return undefined;
    if (rules.contentType !== 'any' && mediaTypeOf(req) !== 'application/json') throw new BadContentType();
    const bytes = await this.read(req, res, rules);
    if (bytes.length === 0) return undefined;
    const value = await buildJson(bytes);
    if (!isJsonObject(value)) throw new BadRequest('Request body must be a JSON object');
    return value;
  }

  /** The fields of a form in their order, repeated ones kept. Throws what `read` throws, 415, and 400 for bad UTF-8. */
  async form(req: IncomingMessage, res: ServerResponse, rules: BodyRules): Promise<URLSearchParams> {
    if (mediaTypeOf(req) !== 'application/x-www-form-urlencoded') {
      throw new BadContentType('Content-Type must be application/x-www-form-urlencoded');
    }
    return parseForm(await this.read(req, res, rules));
  }
}

/** The body without its Content-Encoding. The parts of a multipart body have encodings of their own. */
async function receiveDecoded(req: IncomingMessage, limitBytes: number, hold: HoldBytes): Promise<Buffer> {
  const encoding = encodingOf(req);
  if (encoding === 'gzip' && isMultipart(req))
    throw new BadContentType('A multipart body must not have a Content-Encoding');
  const received = await receive(req, limitBytes, hold);
  contextOf(req).receivedBytes = received.length;
  if (encoding === 'identity' || received.length === 0) return received;
  return gunzip(received, Math.min(limitBytes, inflatedLimit(received.length)), hold);
}

/**
 * The body's bytes as they came. Rejects with TooLarge past the limit (at once where the head announces it), with
 * BadRequest when the client leaves before the end, and with what `hold` returns: it is asked before a part is kept.
 */
export function receive(req: IncomingMessage, limitBytes: number, hold?: HoldBytes): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? '0') > limitBytes) return Promise.reject(new TooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (): void => {
      req.off('data', take).off('end', finish).off('close', fail).off('error', fail);
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      const refusal = size > limitBytes ? new TooLarge() : hold?.(chunk.length);
      if (refusal === undefined) {
        chunks.push(chunk);
        return;
      }
      // The rest is not drained: the answer closes the connection, so a sender cannot make us read for ever.
      stop();
      req.pause();
      reject(refusal);
    };
    const finish = (): void => {
      stop();
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size));
    };
    const fail = (): void => {
      stop();
      reject(new BadRequest('Request body was cut short'));
    };
    if (req.destroyed || req.readableEnded) fail();
    else req.on('data', take).on('end', finish).on('close', fail).on('error', fail);
  });
}
