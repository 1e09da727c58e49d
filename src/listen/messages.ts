// Creates requests and responses with the prototypes of Express.
import {
  IncomingMessage,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  ServerResponse,
} from 'node:http';
import { type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { type Express } from 'express';
import { Context, contextOf } from '../context.ts';
import { CHALLENGE, mayBeChallenged } from './challenge.ts';
import { type JoiningRequest, pushJoined } from './joined-chunks.ts';

/** The socket of a client (TCP or TLS) with its latest exchange, for the limits in refusals.ts. */
export interface ClientSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly bytesRead: number;
  exchange?: ServerResponse;
  /** True while the rest of a refused request is dropped (staged-close.ts). */
  isClosing?: boolean;
}

export interface MessageClasses {
  readonly IncomingMessage: typeof IncomingMessage;
  readonly ServerResponse: typeof ServerResponse;
}

// Node's constructors are functions that accept any `this`; TypeScript types them as classes.
type Callable = (this: unknown, ...parameters: readonly unknown[]) => void;

/**
 * Builds the constructors whose prototypes are `app.request` and `app.response`, and creates the context of
 * the request.
 * Express calls Object.setPrototypeOf on every message, which puts V8 on slow paths. With these prototypes
 * the call is a no-op (measured: 9,700 instead of 2,900 proxied requests per second).
 * V8 sizes an object by its constructor and the inherited ones. Without Node's constructor as parent, each
 * message outgrows its slots ten times (measured: one fifth of the requests per second).
 */
export function messageClasses(app: Express, { wwwAuthenticate = false } = {}): MessageClasses {
  function AppRequest(this: JoiningRequest & { context: Context }, socket: Socket): void {
    (IncomingMessage as unknown as Callable).call(this, socket);
    this.context = new Context();
    this.joined = undefined;
  }
  AppRequest.prototype = app.request;
  Object.setPrototypeOf(AppRequest, IncomingMessage);
  app.request.push = pushJoined as typeof app.request.push;

  function AppResponse(this: ServerResponse, req: IncomingMessage, options: unknown): void {
    (ServerResponse as unknown as Callable).call(this, req, options);
    (req.socket as { exchange?: ServerResponse }).exchange = this;
  }
  AppResponse.prototype = app.response;
  Object.setPrototypeOf(AppResponse, ServerResponse);
  app.response.writeHead = (wwwAuthenticate ? writeHead : writeHeadQuietly) as typeof app.response.writeHead;

  return {
    IncomingMessage: AppRequest as unknown as typeof IncomingMessage,
    ServerResponse: AppResponse as unknown as typeof ServerResponse,
  };
}

/** The endpoints whose responses are pages: CouchDB's own (Fauxton), and the dashboard. */
const PAGE = 'utils';
const DASHBOARD = 'dashboard';

type Head = OutgoingHttpHeaders | OutgoingHttpHeader[];

/** Node's writeHead, with one signature instead of its two overloads. */
const { writeHead: nodeWriteHead } = ServerResponse.prototype as unknown as {
  readonly writeHead: (
    this: ServerResponse,
    status: number,
    phrase: string | undefined,
    headers: OutgoingHttpHeader[],
  ) => ServerResponse;
};

/** As `writeHeadQuietly`, and adds the Basic challenge to every 401. */
function writeHead(
  this: ServerResponse,
  status: number,
  phrase?: string | Head,
  headers?: Head,
): ServerResponse {
  if (status === 401 && mayBeChallenged(this.req.headers)) contextOf(this.req).setAnswerHeader(...CHALLENGE);
  return writeHeadQuietly.call(this, status, phrase, headers);
}

/**
 * Adds the headers that every response to the request carries. setHeader would make Node process each
 * response header three times; Node writes a head given as one array unchanged.
 */
function writeHeadQuietly(
  this: ServerResponse,
  status: number,
  phrase?: string | Head,
  headers?: Head,
): ServerResponse {
  const given = typeof phrase === 'object' ? phrase : headers;
  const { answerHeaders, pageHeaders, operation, isDashboard } = contextOf(this.req);
  const head: OutgoingHttpHeader[] = answerHeaders.slice();
  const id = operation?.endpoint.id;
  if (id === PAGE) head.push(...pageHeaders.couchdb);
  else if (id === DASHBOARD) head.push(...pageHeaders.dashboard);
  if (Array.isArray(given)) for (const part of given) head.push(part);
  else if (given !== undefined)
    for (const [name, value] of Object.entries(given)) head.push(name, value as OutgoingHttpHeader);
  if (isDashboard) forbidStorage(head);
  return nodeWriteHead.call(this, status, typeof phrase === 'string' ? phrase : undefined, head);
}

/** Replaces Cache-Control: what a session of the dashboard reads must not outlive it in a cache. */
function forbidStorage(head: OutgoingHttpHeader[]): void {
  for (let at = head.length - 2; at >= 0; at -= 2)
    if (String(head[at]).toLowerCase() === 'cache-control') head.splice(at, 2);
  head.push('Cache-Control', 'no-store');
}
