// One request to one CouchDB node through nano, and what really came of it. Choosing nodes and trying again is client.ts's business.
import nano from 'nano';
import { type Agent, type Dispatcher } from 'undici';
import { BadRequest } from '../http-errors.ts';
import { type CouchAnswer, type CouchRequest } from './couch.ts';
import { type CouchFailure, codeOf, nodeName } from './failure.ts';

export interface Exchange {
  readonly node: string;
  readonly request: CouchRequest;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** What happened on the wire. nano keeps neither the status of a success nor the code of a failure, so the connection is watched. */
interface Wire {
  sent: boolean;
  status: number | undefined;
  ended: boolean;
  code: string | undefined;
}

/** nano's request options as its code reads them; its types leave `signal` out. */
type NanoOptions = nano.RequestOptions & { readonly signal: AbortSignal };

export type Outcome =
  | { readonly answered: true; readonly answer: CouchAnswer }
  | { readonly answered: false; readonly failure: CouchFailure };

/**
 * Sends one request and waits for its whole answer. Every answer of CouchDB is an outcome, every trouble a failure; it never throws either.
 * Throws BadRequest for a body that cannot be written, which is no trouble of the node's.
 */
export async function exchange(
  agent: Agent,
  { node, request, headers, timeoutMs }: Exchange,
): Promise<Outcome> {
  refuseRewrittenPath(node, request.path);
  const written = writtenBody(request.body);
  const wire: Wire = { sent: false, status: undefined, ended: false, code: undefined };
  const signal = AbortSignal.timeout(timeoutMs);
  // A scope for each request: nano reads headers from the scope alone, and would keep one caller's cookies for the next.
  const scope = nano({
    url: node,
    parseUrl: false,
    headers,
    agentOptions: watched(agent, wire),
  } as unknown as nano.Configuration);
  const options: NanoOptions = {
    method: request.method,
    path: request.path.slice(1),
    body: written,
    signal,
  };
  let body: unknown;
  try {
    body = (await scope.request(options)) as unknown;
  } catch (error) {
    // M5: this error holds the request. Two named fields of CouchDB's answer are all that is taken from it.
    const { error: name, reason } = error as { error?: unknown; reason?: unknown };
    body = { error: name, reason };
    wire.code ??= wire.status === undefined ? codeOf(error) : undefined;
  }
  if (signal.aborted && !wire.ended) wire.code = 'timeout';
  // nano takes an answer that was cut short for an empty one.
  if (wire.status !== undefined && !wire.ended) wire.code ??= 'cut short';
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

/** fetch resolves dot segments. A path with one would ask for something else than was decided (H7), so it is a fault of ours. */
function refuseRewrittenPath(node: string, path: string): void {
  const url = new URL(path, node);
  if (!path.startsWith('/') || url.origin !== new URL(node).origin || url.pathname + url.search !== path) {
    throw new Error('A path towards CouchDB is not in its one spelling');
  }
}

/** JSON.stringify calls itself for every level, and a client may put more of them than the stack holds. */
function writtenBody(body: unknown): Buffer | undefined {
  if (body === undefined) return undefined;
  try {
    return Buffer.from(JSON.stringify(body));
  } catch (error) {
    if (error instanceof RangeError) throw new BadRequest('The request body is nested too deeply.');
    throw error;
  }
}

/** The agent, with its events of one request noted on `wire`. */
function watched(agent: Agent, wire: Wire): Dispatcher {
  return agent.compose((dispatch) => (options, handler) => dispatch(options, watchHandler(handler, wire)));
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
