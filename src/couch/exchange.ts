// Sends one request to one CouchDB node through nano and determines its true outcome.
import nano from 'nano';
import { type Agent, type Dispatcher } from 'undici';
import { BadRequest } from '../http-errors.ts';
import { writeJson } from '../json/exact-numbers.ts';
import { buildAnswer } from '../json/portions.ts';
import { type CouchAnswer, type CouchRequest } from './couch.ts';
import { type CouchFailure, codeOf, nodeName } from './failure.ts';

export interface Exchange {
  readonly node: string;
  readonly request: CouchRequest;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** Events of the connection. nano reports neither the status of a success nor the code of a failure. */
interface Wire {
  sent: boolean;
  status: number | undefined;
  ended: boolean;
  code: string | undefined;
}

/** nano's request options; its types omit `signal` and `dontParse`, its code reads them. */
type NanoOptions = nano.RequestOptions & { readonly signal: AbortSignal; readonly dontParse: boolean };

export type Outcome =
  | { readonly answered: true; readonly answer: CouchAnswer }
  | { readonly answered: false; readonly failure: CouchFailure };

/**
 * Sends one request and waits for the whole response. Every response and every network error is an outcome.
 * Throws BadRequest for a body that cannot be serialized: the node is not at fault.
 */
export async function exchange(
  agent: Agent,
  { node, request, headers, timeoutMs }: Exchange,
): Promise<Outcome> {
  refuseUnsafePath(request.path);
  const written = writtenBody(request.body);
  const wire: Wire = { sent: false, status: undefined, ended: false, code: undefined };
  const signal = AbortSignal.timeout(timeoutMs);
  // One scope per request: nano takes headers only from the scope, and would reuse the cookies of one caller
  // for the next.
  const scope = nano({
    url: node,
    parseUrl: false,
    headers,
    agentOptions: watched(agent, request.path, wire),
  } as unknown as nano.Configuration);
  const options: NanoOptions = {
    method: request.method,
    path: request.path.slice(1),
    body: written,
    signal,
    dontParse: request.exact === true,
  };
  let body: unknown;
  let isToBeParsed = false;
  try {
    body = (await scope.request(options)) as unknown;
    isToBeParsed = options.dontParse;
  } catch (error) {
    // M5: the nano error contains the request. Only two fields of CouchDB's response are used.
    const { error: name, reason } = error as { error?: unknown; reason?: unknown };
    body = { error: name, reason };
    wire.code ??= wire.status === undefined ? codeOf(error) : undefined;
  }
  if (signal.aborted && !wire.ended) wire.code = 'timeout';
  // nano treats a truncated response as an empty one.
  if (wire.status !== undefined && !wire.ended) wire.code ??= 'truncated response';
  if (wire.code === undefined && isToBeParsed) {
    try {
      body = await parsed(body);
    } catch {
      // Fail closed: an answer that cannot be read must not pass for an empty one.
      wire.code = 'answer is not JSON';
    }
  }
  if (wire.status !== undefined && wire.code === undefined) {
    return {
      answered: true,
      answer: { status: wire.status, body: request.method === 'HEAD' ? undefined : body },
    };
  }
  const reached = wire.sent ? 'sent' : 'unsent';
  const reason = wire.code ?? 'no answer';
  return { answered: false, failure: { node: nodeName(node), method: request.method, reached, reason } };
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

/** nano gives bytes, except for an answer that declares text. */
function parsed(body: unknown): Promise<unknown> {
  return buildAnswer(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
}

/** JSON.stringify is recursive, so a deeply nested client body can overflow the stack. */
function writtenBody(body: unknown): Buffer | undefined {
  if (body === undefined) return undefined;
  try {
    return Buffer.from(writeJson(body));
  } catch (error) {
    if (error instanceof RangeError) throw new BadRequest('The request body is nested too deeply.');
    throw error;
  }
}

/**
 * Wraps the agent to record the events of one request in `wire`. It sends `path` as it is: nano's fetch
 * removes dot segments, also escaped ones, so that `DELETE /db/%2E` would delete the database (H7). Redirects
 * are errors for nano, so there is one request. Pinned by test/couch/client.test.ts.
 */
function watched(agent: Agent, path: string, wire: Wire): Dispatcher {
  return agent.compose(
    (dispatch) => (options, handler) => dispatch({ ...options, path }, watchHandler(handler, wire)),
  );
}

function watchHandler(handler: Dispatcher.DispatchHandler, wire: Wire): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller, context: unknown) {
      wire.sent = true;
      handler.onRequestStart?.(controller, context);
    },
    onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
    onResponseStart(controller, statusCode, headers, statusMessage) {
      wire.status = statusCode;
      handler.onResponseStart?.(controller, statusCode, headers, statusMessage);
    },
    onResponseData: (...args) => handler.onResponseData?.(...args),
    onResponseEnd(controller, trailers) {
      wire.ended = true;
      handler.onResponseEnd?.(controller, trailers);
    },
    onResponseError(controller, error) {
      wire.code = codeOf(error);
      handler.onResponseError?.(controller, error);
    },
  };
}
