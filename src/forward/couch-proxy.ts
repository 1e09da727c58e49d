// Keeps http-proxy, the only import of it, to the one thing that is wanted of it: making the upstream request. Its faults M1 to M4 are met here and in exchange.ts.
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { createRequire } from 'node:module';
import { type Socket } from 'node:net';
import type HttpProxy from 'http-proxy';
import { type Upstream } from './node.ts';

/**
 * The request as CouchDB shall see it. http-proxy gets this in place of the client's request, so nothing can pass that was not put
 * here: it has no other headers to copy (M2, H6), and no other target.
 */
export interface ProxiedRequest {
  readonly method: string;
  /** Path and query, sent byte for byte. */
  readonly url: string;
  readonly headers: OutgoingHttpHeaders;
  /** The client's connection. */
  readonly socket: Socket;
  /** http-proxy listens to its request for the client's end; exchange.ts listens to the response itself (M3). */
  on(): this;
  /** Called at once with the upstream request, which has not been sent yet: the body goes in here. */
  pipe(upstream: ClientRequest): ClientRequest;
  answered(answer: IncomingMessage): void;
  failed(error: NodeJS.ErrnoException): void;
}

export interface CouchProxy {
  /** Makes the upstream request and calls `request.pipe`. Throws what Node throws for a header or path that cannot be sent. */
  send(request: ProxiedRequest, res: ServerResponse, pool: Upstream): void;
}

type Pass = (req: IncomingMessage, res: ServerResponse, options: object) => unknown;

export function createCouchProxy(): CouchProxy {
  const library = loadHttpProxy();
  // One for each route: what http-proxy is told with a request it copies twice.
  const proxies = new WeakMap<Upstream, HttpProxy>();
  return {
    send(request, res, pool) {
      let proxy = proxies.get(pool);
      if (proxy === undefined) proxies.set(pool, (proxy = createRouteProxy(library, pool)));
      proxy.web(request as unknown as IncomingMessage, res);
    },
  };
}

function createRouteProxy(library: typeof HttpProxy, pool: Upstream): HttpProxy {
  const proxy = library.createProxyServer({
    target: pool.target,
    agent: pool.agent,
    // The target is passed on as it is; http-proxy would parse and print it otherwise.
    toProxy: true,
    prependPath: false,
    selfHandleResponse: true,
  }) as HttpProxy & { webPasses: Pass[] };
  // `deleteLength` announces an empty body for a DELETE whose chunks it then sends: the chunks pass for a second request (M1).
  // Of the other passes none is wanted. Pinned by test/hostile/m1-delete-length.test.ts.
  proxy.webPasses = proxy.webPasses.filter((pass) => pass.name === 'stream');
  const failed = (error: Error, request: unknown): void => (request as ProxiedRequest).failed(error);
  proxy.on('error', failed);
  proxy.on('econnreset', failed);
  proxy.on('proxyRes', (answer, request: unknown) => (request as ProxiedRequest).answered(answer));
  return proxy;
}

/**
 * http-proxy takes `util._extend` at load, which Node 22 and later warn of. Object.assign is what Node's manual names in its place
 * (DEP0060), so http-proxy is loaded while it stands there. https://nodejs.org/api/deprecations.html#dep0060-util_extend
 */
function loadHttpProxy(): typeof HttpProxy {
  const require = createRequire(import.meta.url);
  const util = require('node:util') as { _extend: unknown };
  const { _extend } = util;
  util._extend = Object.assign;
  try {
    return require('http-proxy') as typeof HttpProxy;
  } finally {
    util._extend = _extend;
  }
}
