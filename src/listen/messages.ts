// Makes requests and responses that are Express's own from birth. What is done with them is app.ts's business.
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

/** The socket of a client, plain or TLS, with the newest exchange on it: what the limits of refusals.ts judge by. */
export interface ClientSocket extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly bytesRead: number;
  exchange?: ServerResponse;
}

export interface MessageClasses {
  readonly IncomingMessage: typeof IncomingMessage;
  readonly ServerResponse: typeof ServerResponse;
}

// Node's constructors are functions that may be called on an object made elsewhere; TypeScript knows them as classes only.
type Callable = (this: unknown, ...parameters: readonly unknown[]) => void;

/**
 * Constructors whose prototype already is `app.request` and `app.response`. Express calls Object.setPrototypeOf on every request and response,
 * after which V8 runs the whole request on slow paths; with these the call changes nothing (measured: 2,900 against 9,700 proxied requests a
 * second). And V8 plans the room of an object by its constructor and those that it inherits from: without Node's behind ours, each message
 * would outgrow its room ten times (measured: a fifth of the requests per second).
 * The request's context is made here too, so that every request has one, whatever refuses it.
 */
export function messageClasses(app: Express): MessageClasses {
  function AppRequest(this: IncomingMessage & { context: Context }, socket: Socket): void {
    (IncomingMessage as unknown as Callable).call(this, socket);
    this.context = new Context();
  }
  AppRequest.prototype = app.request;
  Object.setPrototypeOf(AppRequest, IncomingMessage);

  function AppResponse(this: ServerResponse, req: IncomingMessage, options: unknown): void {
    (ServerResponse as unknown as Callable).call(this, req, options);
    (req.socket as { exchange?: ServerResponse }).exchange = this;
  }
  AppResponse.prototype = app.response;
  Object.setPrototypeOf(AppResponse, ServerResponse);
  app.response.writeHead = writeHead as typeof app.response.writeHead;

  return {
    IncomingMessage: AppRequest as unknown as typeof IncomingMessage,
    ServerResponse: AppResponse as unknown as typeof ServerResponse,
  };
}

type Head = OutgoingHttpHeaders | OutgoingHttpHeader[];

/** Node's own writeHead; what it takes is written down once, in place of its two overloads. */
const { writeHead: nodeWriteHead } = ServerResponse.prototype as unknown as {
  readonly writeHead: (
    this: ServerResponse,
    status: number,
    phrase: string | undefined,
    headers: OutgoingHttpHeader[],
  ) => ServerResponse;
};

/**
 * Adds the headers that every answer to the request carries. They are not set one by one before, because Node would then look at each
 * header of the answer three times; a head that is one array it writes as it is.
 */
function writeHead(
  this: ServerResponse,
  status: number,
  phrase?: string | Head,
  headers?: Head,
): ServerResponse {
  const given = typeof phrase === 'object' ? phrase : headers;
  const head: OutgoingHttpHeader[] = contextOf(this.req).answerHeaders.slice();
  if (Array.isArray(given)) for (const part of given) head.push(part);
  else if (given !== undefined)
    for (const [name, value] of Object.entries(given)) head.push(name, value as OutgoingHttpHeader);
  return nodeWriteHead.call(this, status, typeof phrase === 'string' ? phrase : undefined, head);
}
