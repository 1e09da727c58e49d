// Runs the forwarding step alone, behind a server that permits every request.
import http, { type IncomingMessage } from 'node:http';
import { type AddressInfo } from 'node:net';
import express from 'express';
import { createBodyBudget } from '../../src/body/budget.ts';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { messageClasses } from '../../src/listen/messages.ts';
import { type BodyKind, type Endpoint, type Privilege, type PoolKind } from '../../src/catalogue/endpoint.ts';
import { type Destination } from '../../src/catalogue/operation.ts';
import { type Context, contextOf, type Decision } from '../../src/context.ts';
import { type WatchedExchange } from '../../src/revocation/revocation-watch.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { createForwarding, type ForwardingOptions } from '../../src/forward/index.ts';
import { createTokenMinter } from '../../src/identity/token-minter.ts';
import { Nodes, type NodesOptions } from '../../src/forward/nodes.ts';
import { asHttpError, sendError } from '../../src/respond.ts';

export const SECRET = Buffer.from('forwarding-tests-have-a-secret-too');

/** What the earlier steps would have written about a request. */
export interface Judged {
  /** Id of the endpoint; none of the catalogue when left out. */
  readonly endpoint?: string;
  /** Path pattern of the endpoint. */
  readonly path?: string;
  readonly transport?: PoolKind;
  /** What CouchDB does with the body; by default what the id says. */
  readonly bodyKind?: BodyKind;
  readonly privilege?: Privilege;
  readonly identity?: 'marker' | 'own';
  readonly roles?: number;
  readonly principal?: Principal;
  readonly database?: string;
  readonly body?: Buffer;
  readonly destination?: Destination;
  readonly renewedCookie?: string;
  /** The client's address. */
  readonly ip?: string;
}

export interface ForwardingSetup {
  readonly upstreams: readonly { readonly url: string }[];
  readonly judge?: (req: IncomingMessage) => Judged;
  readonly nodes?: Partial<NodesOptions['limits']>;
  readonly health?: Partial<Pick<NodesOptions, 'check' | 'intervalMs' | 'onState'>>;
  readonly options?: Partial<
    Pick<
      ForwardingOptions,
      | 'isStillPermitted'
      | 'multipartTimeoutMs'
      | 'maxBodyBytes'
      | 'publicUrl'
      | 'serverHeader'
      | 'unreadMs'
      | 'valueBudget'
    >
  >;
  /** The JWT key of a real CouchDB; a test key by default. */
  readonly key?: { readonly jwtSecretBase64: string; readonly kid: string };
  /** Called before forwarding, like an earlier step that sets headers of the answer. */
  readonly before?: (context: Context) => void;
}

export interface ForwardingFront {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly nodes: Nodes;
  /** Contexts of all requests so far, in order. */
  readonly contexts: readonly Context[];
  /** Feeds that are registered with the revocation watch. */
  readonly watched: ReadonlySet<WatchedExchange>;
  readonly endFeeds: () => void;
  close(): Promise<void>;
}

const KEY: Principal = { kind: 'key', name: 'testing' };

function endpointWith(
  transport: PoolKind,
  privilege: Privilege,
  { endpoint: id = 'test', path = '/{db}', bodyKind = id === 'bulk-get' ? 'bulk-get' : 'write' }: Judged,
): Endpoint {
  return {
    id,
    methods: '*',
    path,
    scope: 'db',
    permit: { kind: 'public' },
    privilege,
    servedBy: 'couchdb',
    pool: transport,
    body: bodyKind,
    action: 'read',
    manual: '',
  };
}

function judgedContext(context: Context, req: IncomingMessage, judged: Judged): Context {
  const { transport = 'pooled', privilege = 'member', database = 'db' } = judged;
  const endpoint = endpointWith(transport, privilege, judged);
  const [path = '/', ...query] = (req.url ?? '/').split('?');
  context.id = 'request-1';
  context.client = {
    ip: judged.ip ?? '192.0.2.7',
    port: req.socket.remotePort ?? 0,
    secure: false,
    schemeKnown: false,
    mayAdminister: true,
  };
  context.target = {
    segments: path.split('/').slice(1),
    path,
    query: query.length === 0 ? '' : `?${query.join('?')}`,
  };
  context.destination = judged.destination;
  context.operation = {
    endpoint,
    alternatives: [],
    decidedByBody: undefined,
    database,
    documentId: undefined,
  };
  context.identified = {
    principal: judged.principal ?? KEY,
    method: 'basic',
  };
  if (judged.renewedCookie !== undefined) context.setAnswerHeader('Set-Cookie', judged.renewedCookie);
  const decision: Decision = {
    allow: true,
    endpoint,
    privilege,
    identity: judged.identity ?? 'marker',
    roles: judged.roles ?? 1,
    rule: 'grant',
  };
  context.decision = decision;
  if (judged.body !== undefined) context.body = judged.body;
  return context;
}

/** Starts a front that forwards to the upstreams; resolves after the first probe of every node. */
export async function startForwarding(setup: ForwardingSetup): Promise<ForwardingFront> {
  const contexts: Context[] = [];
  const watched = new Set<WatchedExchange>();
  const nodes = new Nodes({
    urls: setup.upstreams.map(({ url }) => url),
    limits: {
      connectTimeoutMs: 500,
      idleTimeoutMs: 60_000,
      keepAliveMs: 60_000,
      maxIdle: 64,
      ca: undefined,
      connections: 64,
      queue: 64,
      feeds: 64,
      share: 1,
      ...setup.nodes,
    },
    intervalMs: 60_000,
    check: () => Promise.resolve(),
    ...setup.health,
  });
  const forwarding = createForwarding({
    nodes,
    tokens: createTokenMinter({
      secret: setup.key === undefined ? SECRET : Buffer.from(setup.key.jwtSecretBase64, 'base64'),
      kid: setup.key?.kid ?? 'couchgate',
      lifetimeSeconds: 60,
    }),
    revocationWatch: {
      register(feed) {
        watched.add(feed);
        return () => watched.delete(feed);
      },
    },
    unsandboxed: new Set(),
    isStillPermitted: () => true,
    maxJsonBody: 1e9,
    maxQueryValues: 1e9,
    maxWriteValues: 1e9,
    valueBudget: createBodyBudget(1e9),
    atoms: new AtomCount(),
    maxBodyBytes: 2 ** 32,
    multipartTimeoutMs: 60_000,
    publicUrl: '',
    serverHeader: true,
    ...setup.options,
  });
  const server = http.createServer(messageClasses(express()), (req, res) => {
    const context = contextOf(req);
    contexts.push(context);
    judgedContext(context, req, setup.judge?.(req) ?? {});
    setup.before?.(context);
    const next = (thrown: unknown): void => {
      const error = asHttpError(thrown);
      context.outcome.failure ??= error.detail;
      sendError(req, res, error);
    };
    try {
      void forwarding.step(req as never, res as never, next);
    } catch (thrown) {
      next(thrown);
    }
  });
  await nodes.start();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    port,
    nodes,
    contexts,
    watched,
    endFeeds: forwarding.endFeeds,
    close: () =>
      new Promise((resolve) => {
        nodes.stop();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
