// Makes upstream requests with http-proxy. This is the only import of http-proxy; it works around faults M1
// to M4.
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
 * The request as CouchDB gets it. http-proxy receives this object instead of the client's request, so it has
 * no other headers to copy (M2, H6) and no other target.
 */
export interface ProxiedRequest {
  readonly method: string;
  /** Path and query, sent byte for byte. */
  readonly url: string;
  readonly headers: OutgoingHttpHeaders;
  /** The client's connection. */
  readonly socket: Socket;
  /** http-proxy listens here for the end of the client. exchange.ts listens to the response itself (M3). */
  on(): this;
  /** Called synchronously with the upstream request before it is sent; writes the body into it. */
  pipe(upstream: ClientRequest): ClientRequest;
  answered(answer: IncomingMessage): void;
  failed(error: NodeJS.ErrnoException): void;
}

export interface CouchProxy {
  /**
   * Makes the upstream request and calls `request.pipe`. Throws Node's error for a header or path that cannot
   * be sent.
   */
  send(request: ProxiedRequest, res: ServerResponse, pool: Upstream): void;
}

type Pass = (req: IncomingMessage, res: ServerResponse, options: object) => unknown;

/** Creates the proxy. It keeps one http-proxy instance per connection pool of a node. */
export function createCouchProxy(): CouchProxy {
  const library = loadHttpProxy();
  // One instance per pool: http-proxy copies options that are given per request twice.
  const proxies = new WeakMap<Upstream, HttpProxy>();
  return {
    send(request, res, pool) {
      let proxy = proxies.get(pool);
      if (proxy === undefined) proxies.set(pool, (proxy = createPoolProxy(library, pool)));
      proxy.web(request as unknown as IncomingMessage, res);
    },
  };
}

function createPoolProxy(library: typeof HttpProxy, pool: Upstream): HttpProxy {
  const proxy = library.createProxyServer({
    target: pool.target,
    agent: pool.agent,
    // Sends the path unchanged; http-proxy would parse it and write it again.
    toProxy: true,
    prependPath: false,
    selfHandleResponse: true,
  }) as HttpProxy & { webPasses: Pass[] };
  // The pass `deleteLength` announces an empty body for a DELETE whose chunks are then sent. CouchDB could
  // run those chunks as a second request (M1).
  // The other passes are not needed. Pinned by test/hostile/m1-delete-length.test.ts.
  proxy.webPasses = proxy.webPasses.filter((pass) => pass.name === 'stream');
  const failed = (error: Error, request: unknown): void => (request as ProxiedRequest).failed(error);
  proxy.on('error', failed);
  proxy.on('econnreset', failed);
  proxy.on('proxyRes', (answer, request: unknown) => (request as ProxiedRequest).answered(answer));
  return proxy;
}

/**
 * Loads http-proxy while `util._extend` is `Object.assign`. http-proxy reads the deprecated `_extend` when it
 * is loaded, and Node 22 and later warn about it. Node's manual names Object.assign as the replacement
 * (DEP0060). https://nodejs.org/api/deprecations.html#dep0060-util_extend
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
