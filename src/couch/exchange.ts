// Sends one request to one CouchDB node through nano and determines its true outcome.
import nano from 'nano';
import { type Agent, type Dispatcher } from 'undici';
import { writeJson } from '../json/exact-numbers.ts';
import { ANSWER_LIMITS } from '../json/builder.ts';
import { AT_ONCE_BYTES, buildAnswer, buildInPortions } from '../json/portions.ts';
import { type CouchAnswer, type CouchRequest } from './couch.ts';
import { JoinedPieces } from '../limits/joined-pieces.ts';
import { ANSWER_TOO_LARGE, type CouchFailure, codeOf, nodeName } from './failure.ts';
import { PatientTimeout } from './patient-timeout.ts';

export interface Exchange {
  readonly node: string;
  readonly request: CouchRequest;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** Largest answer that Couchgate keeps in memory, if the request states no limit. */
const MAX_ANSWER_BYTES = 128 * 1024 * 1024;

/** nano's request options; its types omit `signal`, its code reads it. */
type NanoOptions = nano.RequestOptions & { readonly signal: AbortSignal };

export type ExchangeResult =
  | { readonly answered: true; readonly answer: CouchAnswer }
  | { readonly answered: false; readonly failure: CouchFailure };

/**
 * Sends one request and waits for the whole response. Every response and every network error is an outcome.
 */
export async function exchange(
  agent: Agent,
  { node, request, headers, timeoutMs }: Exchange,
): Promise<ExchangeResult> {
  refuseUnsafePath(request.path);
  const written = request.body === undefined ? undefined : Buffer.from(writeJson(request.body));
  const wire = new Wire(request.maxBytes ?? MAX_ANSWER_BYTES);
  // One scope per request: nano takes headers only from the scope, and would reuse the cookies of one caller
  // for the next.
  const scope = nano({
    url: node,
    parseUrl: false,
    headers,
    agentOptions: watched(agent, request.path, wire),
  } as unknown as nano.Configuration);
  const { method } = request;
  const options: NanoOptions = { method, path: request.path.slice(1), body: written, signal: wire.signal };
  const timeout = new PatientTimeout(timeoutMs, () => wire.breakOff('timeout'));
  try {
    await scope.request(options);
  } catch (error) {
    // M5: the nano error contains the request, so only its code is used. Every status above 399 is an error.
    if (wire.status === undefined) wire.code ??= codeOf(error);
  } finally {
    timeout.cancel();
  }
  if (wire.status !== undefined && !wire.ended) wire.code ??= 'truncated response';
  if (wire.status !== undefined && wire.code === undefined) {
    try {
      const body = method === 'HEAD' ? undefined : await wire.body(request.exact === true);
      return { answered: true, answer: { status: wire.status, body, bytes: wire.bytes } };
    } catch {
      // Fail closed: an answer that cannot be read must not pass for an empty one.
      wire.code = 'answer is not JSON';
    }
  }
  const reached = wire.sent ? 'sent' : 'unsent';
  const reason = wire.code ?? 'no answer';
  return { answered: false, failure: { node: nodeName(node), method, reached, reason } };
}

/**
 * The path is sent byte for byte, so it must be complete: encoded, and without `#`, where CouchDB cuts it
 * (H7).
 * Anything else is a bug of Couchgate.
 */
function refuseUnsafePath(path: string): void {
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f || code === 0x23)
      throw new Error('The path of a CouchDB request is not encoded');
  }
  if (!path.startsWith('/')) throw new Error('The path of a CouchDB request is not encoded');
}

/**
 * Wraps the agent to record the events of one request in `wire`. It sends `path` as it is: nano's fetch
 * removes dot segments, also escaped ones, so that `DELETE /db/%2E` would delete the database (H7). Redirects
 * are errors for nano, so there is one request. Pinned by test/couch/client.test.ts.
 */
function watched(agent: Agent, path: string, wire: Wire): Dispatcher {
  return agent.compose(
    (dispatch) => (options, handler) =>
      dispatch({ ...options, path, headers: uncompressed(options.headers) }, watchHandler(handler, wire)),
  );
}

/** The headers as fetch gives them, but for an answer that is not compressed. */
function uncompressed(headers: Dispatcher.DispatchOptions['headers']): Record<string, string> {
  const all = Object.entries(headers as Record<string, string>);
  const others = all.filter(([name]) => name.toLowerCase() !== 'accept-encoding');
  return { ...Object.fromEntries(others), 'accept-encoding': 'identity' };
}

/**
 * Takes the answer, and gives nano an empty one in its place. nano reads a body where a failure is an
 * unhandled rejection, which ends the process, and its promise then stays pending. It also takes JSON that is
 * cut off for no body. Pinned by test/couch/client.test.ts.
 */
function watchHandler(handler: Dispatcher.DispatchHandler, wire: Wire): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller, context: unknown) {
      wire.sent = true;
      wire.controller = controller;
      handler.onRequestStart?.(controller, context);
    },
    onResponseStart(controller, statusCode, headers, statusMessage) {
      // Informational: the answer follows.
      if (statusCode < 200) return;
      wire.begin(statusCode, headers);
      handler.onResponseStart?.(controller, statusCode, {}, statusMessage);
    },
    onResponseData(_controller, chunk) {
      wire.add(chunk);
    },
    onResponseEnd(controller) {
      wire.ended = true;
      handler.onResponseEnd?.(controller, {});
    },
    onResponseError(controller, error) {
      wire.code ??= codeOf(error);
      if (wire.status === undefined) handler.onResponseError?.(controller, error);
      else handler.onResponseEnd?.(controller, {});
    },
  };
}

/** What the connection of one request has reported, and the answer as bytes. */
class Wire {
  sent = false;
  status: number | undefined = undefined;
  ended = false;
  /** Why there is no usable answer. */
  code: string | undefined = undefined;
  controller: Dispatcher.DispatchController | undefined = undefined;
  readonly #beforeHead = new AbortController();
  readonly #maxBytes: number;
  #pieces = new JoinedPieces();
  #bytes = 0;
  #isJson = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the answer so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Ends the request while it waits for a connection or for the head of its answer. */
  get signal(): AbortSignal {
    return this.#beforeHead.signal;
  }

  begin(status: number, headers: Readonly<Record<string, string | readonly string[] | undefined>>): void {
    this.status = status;
    const encoding = headers['content-encoding'];
    this.#isJson =
      String(headers['content-type'] ?? '').startsWith('application/json') &&
      (encoding === undefined || encoding === 'identity');
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= this.#maxBytes) this.#pieces.add(chunk);
    else if (this.#pieces.size > 0) {
      this.#pieces = new JoinedPieces();
      this.breakOff(ANSWER_TOO_LARGE);
    }
  }

  /** Ends the request, unless its answer is complete. */
  breakOff(code: string): void {
    if (this.ended) return;
    this.code = code;
    const reason = new Error(code);
    if (this.status === undefined) this.#beforeHead.abort(reason);
    else this.controller?.abort(reason);
  }

  /**
   * Parses the answer, a large one in portions; `exact` as in CouchRequest. Of an error, only `error` and
   * `reason` are given. Throws for a success that is not JSON.
   */
  async body(exact: boolean): Promise<unknown> {
    const bytes = this.#pieces.join();
    if (this.status !== undefined && this.status >= 400) return this.#errorIn(bytes);
    if (!this.#isJson) throw new Error('the answer is not JSON');
    if (exact) return await buildAnswer(bytes);
    if (bytes.length > AT_ONCE_BYTES) return await buildInPortions(bytes, false, ANSWER_LIMITS);
    return JSON.parse(bytes.toString()) as unknown;
  }

  #errorIn(bytes: Buffer): { readonly error?: unknown; readonly reason?: unknown } {
    try {
      const { error, reason } = JSON.parse(bytes.toString()) as Record<string, unknown>;
      return { error, reason };
    } catch {
      return { error: undefined, reason: undefined };
    }
  }
}
