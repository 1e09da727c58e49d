// Couchgate's own steps from framing to forwarding, in their order and behind the real listener, with callers and permissions that a test names
// and a CouchDB that only writes down what reaches it. What the steps left out do (address, CORS, credentials, the endpoints of ours) has tests of its own.
import http, { type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type RequestHandler } from 'express';
import { refuseAmbiguousFraming } from '../../src/admit/framing.ts';
import { readTarget } from '../../src/admit/target.ts';
import { createApp } from '../../src/app.ts';
import { authorizeOperation } from '../../src/authorize/index.ts';
import { classifyRequest } from '../../src/classify/index.ts';
import { type Context, contextOf } from '../../src/context.ts';
import { createForwarding } from '../../src/forward/index.ts';
import { createIdentity } from '../../src/forward/identity.ts';
import { Nodes } from '../../src/forward/nodes.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { createListeners } from '../../src/listen/server.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';
import { sendJson } from '../../src/respond.ts';
import { rememberingLog } from './log.ts';
import { claimsOf, type Recorded } from './recorder.ts';
import { testSettings } from './settings.ts';

/** Names the caller: nothing = nobody, `owner`, or roles joined by `+` (`user` = none of them), held on every database. */
export const CALLER_HEADER = 'x-test-caller';
/** Names the exchange, so that what CouchDB got can be found again. */
export const EXCHANGE_HEADER = 'x-test-exchange';

export interface Reached extends Recorded {
  readonly body: Buffer;
}

export interface PolicyFront {
  readonly url: string;
  readonly port: number;
  /** What reached CouchDB for an exchange. */
  reached(exchange: string): readonly Reached[];
  /** Everything that reached CouchDB since the last call. */
  takeAll(): readonly Reached[];
  /** The record of an exchange, once it has passed framing. */
  contextOf(exchange: string): Context | undefined;
  /** Databases whose permissions were asked for. */
  readonly asked: string[];
  readonly failures: unknown[];
  /** Connections of clients that are open. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export interface PolicyFrontSetup {
  /** The permissions of a database; by default every caller's roles are those of its name, on every database. */
  readonly permissions?: (database: string) => DatabasePermissions | undefined | Promise<DatabasePermissions>;
  readonly mayAdminister?: boolean;
  readonly inspectLimitBytes?: number;
  readonly maxBodyBytes?: number;
  readonly maxUrlBytes?: number;
  /** A CouchDB that gets the requests once they are written down; without one, everything is answered with 200. */
  readonly couchdb?: { readonly url: string; readonly jwtSecretBase64: string; readonly kid: string };
}

export function rolesNamed(caller: string): readonly Role[] {
  if (caller === 'user') return [];
  return caller.split('+').map((name) => `_${name}` as Role);
}

/** Permissions under which every key holds the roles that its name says. */
export function grantsByName(callers: readonly string[]): ReadonlyMap<string, number> {
  return new Map(callers.map((caller) => [caller, roleSet(rolesNamed(caller))]));
}

function principalNamed(caller: string | undefined): Principal {
  if (caller === undefined) return NOBODY;
  if (caller === 'owner') return { kind: 'owner', name: 'admin', roles: ['_admin'] };
  return { kind: 'key', name: caller };
}

interface Upstream {
  readonly url: string;
  readonly seen: Reached[];
  close(): Promise<void>;
}

/** Writes down what comes, then says yes to it, or hands it on and brings CouchDB's answer back. */
async function startUpstream(target: string | undefined): Promise<Upstream> {
  const seen: Reached[] = [];
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = req;
      const body = Buffer.concat(chunks);
      const claims = claimsOf(headers.authorization);
      const isHealthCheck = url === '/_up' && headers['x-couch-request-id'] === undefined;
      if (!isHealthCheck) seen.push({ method, url, headers, rawHeaders, claims, body });
      if (target === undefined) {
        res.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}\n');
        return;
      }
      const { hostname, port } = new URL(target);
      const onward = http.request({ hostname, port, method, path: url, headers, agent }, (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(res);
      });
      onward.once('error', () => res.destroy());
      onward.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        agent.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const one = (value: IncomingHttpHeaders[string]): string | undefined =>
  Array.isArray(value) ? value[0] : value;

const pass: RequestHandler = (_req, _res, next) => next();

export async function startPolicyFront(setup: PolicyFrontSetup = {}): Promise<PolicyFront> {
  const upstream = await startUpstream(setup.couchdb?.url);
  const contexts = new Map<string, Context>();
  const asked: string[] = [];
  const failures: unknown[] = [];
  const settings = testSettings(setup);
  const nodes = new Nodes({
    urls: [upstream.url],
    limits: {
      connectTimeoutMs: 1000,
      idleTimeoutMs: 60_000,
      keepAliveMs: 60_000,
      kept: 64,
      ca: undefined,
      connections: 64,
      queue: 1024,
      feeds: 64,
      share: 1,
    },
    intervalMs: 60_000,
    check: () => Promise.resolve(),
  });
  const forwarding = createForwarding({
    nodes,
    identity: createIdentity({
      secret: Buffer.from(setup.couchdb?.jwtSecretBase64 ?? 'no CouchDB checks it', 'base64'),
      kid: setup.couchdb?.kid ?? 'couchgate',
      lifetimeSeconds: 60,
    }),
    revocationWatch: { register: () => () => undefined },
    maxBodyBytes: settings.maxBodyBytes,
    multipartTimeoutMs: 60_000,
    publicUrl: '',
  });
  const app = createApp(
    {
      recordRequest(req, _res, next) {
        const context = contextOf(req);
        context.id = one(req.headers[EXCHANGE_HEADER]) ?? 'unnamed';
        contexts.set(context.id, context);
        next();
      },
      refuseUnknownAddress(req, _res, next) {
        const mayAdminister = setup.mayAdminister ?? true;
        contextOf(req).client = { ip: '192.0.2.1', port: 1, secure: false, mayAdminister };
        next();
      },
      answerPreflight: pass,
      refuseAmbiguousFraming: refuseAmbiguousFraming(settings),
      readTarget: readTarget(settings),
      classifyRequest: classifyRequest(settings),
      identifyPrincipal(req, _res, next) {
        const principal = principalNamed(one(req.headers[CALLER_HEADER]));
        contextOf(req).identified = { principal, method: principal.kind === 'nobody' ? 'none' : 'basic' };
        next();
      },
      authorizeOperation: authorizeOperation({
        permissions: {
          permissionsOf(database) {
            asked.push(database);
            if (setup.permissions !== undefined) return setup.permissions(database);
            return { database, grants: byName, couchdbAuthOnly: false, marked: true };
          },
        },
        storeDatabase: settings.storeDatabase,
        inspectLimitBytes: settings.inspectLimitBytes,
        revocationWatch: { register: () => () => undefined },
      }),
      answerOwnEndpoint(req, res, next) {
        const { decision } = contextOf(req);
        if (decision?.allow === true && decision.endpoint.servedBy !== 'couchgate') next();
        else sendJson(res, 299, { answeredHere: true });
      },
      forwardToCouch: forwarding.step,
    },
    (thrown) => failures.push(thrown),
  );
  const listeners = createListeners({ app, settings, log: rememberingLog() });
  await nodes.start();
  const [url = ''] = await listeners.open();
  return {
    url,
    port: Number(new URL(url).port),
    reached: (exchange) =>
      upstream.seen.filter((request) => request.headers['x-couch-request-id'] === exchange),
    takeAll: () => upstream.seen.splice(0),
    contextOf: (exchange) => contexts.get(exchange),
    asked,
    failures,
    connections: () =>
      new Promise((resolve, reject) => {
        listeners.servers[0]?.getConnections((error, count) =>
          error === null ? resolve(count) : reject(error),
        );
      }),
    async close() {
      nodes.stop();
      await Promise.all(
        listeners.servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
      await upstream.close();
    },
  };
}

/** A map that knows every caller by its name. */
const byName: ReadonlyMap<string, number> = new (class extends Map<string, number> {
  override get(caller: string): number | undefined {
    return caller === 'nobody' ? undefined : roleSet(rolesNamed(caller));
  }
})();
