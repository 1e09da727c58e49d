// Starts a complete Couchgate whose callers and permissions a test chooses. A recording upstream gets what is
// forwarded; Couchgate's own requests are answered from memory.
import http, { type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type DashboardFile, type DashboardFiles } from '../../src/answer/dashboard-files.ts';
import { type Authenticator } from '../../src/authenticate/index.ts';
import { type Settings } from '../../src/config/settings.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { NO_WORKERS } from '../../src/cluster/worker-channel.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';
import { run } from '../../src/run.ts';
import { makeConfigFolder } from './config-folder.ts';
import { rememberingLog } from './log.ts';
import { memoryAccessLog } from './memory-access-log.ts';
import { memoryCouch } from './memory-couch.ts';
import { MemoryStore } from './memory-store.ts';
import { claimsOf, type Recorded } from './recorder.ts';
import { testSettings } from './settings.ts';
import { startTogether, type Started } from './started.ts';
import { until } from './until.ts';

/**
 * The caller: absent = nobody, `owner`, or roles joined by `+` (`user` = no roles), held on every database.
 */
export const CALLER_HEADER = 'x-test-caller';
/** Id of the exchange, to find the forwarded request and the access-log line again. */
export const EXCHANGE_HEADER = 'x-couch-request-id';

export interface Reached extends Recorded {
  readonly body: Buffer;
}

/** A line of the access log (docs/audit-log.md). */
export type AccessLine = Readonly<Record<string, unknown>>;

export interface PolicyFront {
  readonly url: string;
  readonly port: number;
  readonly settings: Settings;
  /** The requests that reached CouchDB for an exchange. */
  reached(exchange: string): readonly Reached[];
  /** All requests that reached CouchDB since the last call. */
  takeAll(): readonly Reached[];
  /** Resolves with the access-log line of an exchange as soon as it is written. */
  lineOf(exchange: string): Promise<AccessLine>;
  /** Lines of the access log since the last call. */
  takeLines(): readonly AccessLine[];
  /** Databases whose permissions were read. */
  readonly asked: string[];
  readonly failures: readonly unknown[];
  /** Messages of warnings in the operational log. */
  readonly warnings: readonly string[];
  /** Number of open client connections. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export interface PolicyFrontSetup {
  /** The permissions of a database. By default, every caller has the roles of its name on every database. */
  readonly permissions?: (database: string) => DatabasePermissions | undefined | Promise<DatabasePermissions>;
  /**
   * True: names, passwords and `_security` decide, as in production. The user `x` and the owner `admin` have
   * the password `y`.
   */
  readonly realCredentials?: boolean;
  readonly mayAdminister?: boolean;
  readonly inspectLimitBytes?: number;
  readonly maxBodyBytes?: number;
  readonly maxUrlBytes?: number;
  readonly couchdbConnections?: number;
  readonly maxJsonBody?: number;
  readonly maxQueryValues?: number;
  readonly maxWriteValues?: number;
  readonly publicUrl?: string;
  readonly settings?: Partial<Settings>;
  /** An origin whose pages may send requests. Without it, CORS is off. */
  readonly corsOrigin?: string;
  /** A CouchDB that gets the requests after recording. Without it, every request is answered with 200. */
  readonly couchdb?: { readonly url: string; readonly jwtSecretBase64: string; readonly kid: string };
}

/** The roles of a caller as in CALLER_HEADER. */
export function rolesNamed(caller: string): readonly Role[] {
  if (caller === 'user' || caller === 'monitor') return [];
  return caller.split('+').map((name) => `_${name}` as Role);
}

/** Grants under which every key holds the roles of its name. */
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

/** Records every request, then forwards it to `target`, or answers 200 (an empty list where one is read). */
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
        // An export reads lists, and passes nothing else on.
        const answer = /\/_(?:all_docs|changes)\?/.test(url) ? '{"rows":[],"results":[]}' : '{"ok":true}';
        res.writeHead(200, { 'content-type': 'application/json' }).end(`${answer}\n`);
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

/** Limits that no permission test reaches. */
const WIDE = {
  couchdbConnectTimeoutMs: 1000,
  couchdbConnections: 64,
  couchdbCallerShare: 100,
  healthIntervalMs: 60_000,
  loginFailures: 1e6,
  loginFailuresPerAddress: 1e6,
  drainTimeoutSeconds: 0,
} satisfies Partial<Settings>;

const LIMITS = /Bytes$|^maxJsonBody$|^max(?:Query|Write)Values$|^couchdbConnections$/;

function settingsOf(setup: PolicyFrontSetup): Settings {
  const { mayAdminister, couchdb, corsOrigin } = setup;
  const limits = Object.entries(setup).filter(([name]) => LIMITS.test(name));
  return testSettings({
    ...WIDE,
    metricsListen: 'off',
    ...(mayAdminister === false ? { ownerAllow: ['192.0.2.1/32'] } : {}),
    ...(couchdb === undefined ? {} : { jwtKid: couchdb.kid }),
    ...(setup.publicUrl === undefined ? {} : { publicUrl: setup.publicUrl }),
    ...(corsOrigin === undefined ? {} : { enableCors: true, origins: [corsOrigin] }),
    ...(Object.fromEntries(limits) as Partial<Settings>),
    ...setup.settings,
  });
}

/** Starts Couchgate with the setup, on a free port. */
export function startPolicyFront(setup: PolicyFrontSetup = {}): Promise<PolicyFront> {
  return startTogether((open) => start(setup, open));
}

async function start(setup: PolicyFrontSetup, open: Started): Promise<PolicyFront> {
  const config = makeConfigFolder();
  await open.add({ close: () => config.remove() });
  const upstream = await open.add(startUpstream(setup.couchdb?.url));
  const asked: string[] = [];
  const couch = memoryCouch();
  const accessLog = memoryAccessLog();
  const log = rememberingLog();
  const authenticate: Authenticator = (req) => {
    const caller = one(req.headers[CALLER_HEADER]);
    const principal = principalNamed(caller);
    if (principal.kind === 'nobody') return { outcome: 'notApplicable' };
    if (principal.kind === 'key') couch.grants.set(principal.name, rolesNamed(principal.name));
    return { outcome: 'accepted', identified: { principal, method: 'basic' } };
  };
  const permissionReader = {
    permissionsOf(database: string) {
      asked.push(database);
      if (setup.permissions !== undefined) return setup.permissions(database);
      return { database, grants: GRANTS_BY_NAME, couchdbAuthOnly: false, marked: true };
    },
    async peek(database: string) {
      const found = await this.permissionsOf(database);
      return found === undefined ? undefined : { permissions: found, generation: '0', revision: 0 };
    },
  };
  const running = await run({
    settings: { ...settingsOf(setup), configFolder: config.path },
    env: config.env,
    nodeUrls: [upstream.url],
    jwtSecret: Buffer.from(setup.couchdb?.jwtSecretBase64 ?? 'no CouchDB checks it', 'base64'),
    sessionSecret: Buffer.from('the sessions of tests'),
    log,
    workerChannel: NO_WORKERS,
    sharesLog: false,
    accessLog,
    overrides: {
      couch,
      store: storeOfFront(),
      ...(setup.realCredentials === true ? {} : { authenticators: [authenticate], permissionReader }),
      checkNode: () => Promise.resolve(),
      refusalQuantumMs: 0,
      dashboardFiles: DASHBOARD_FILES,
    },
  });
  await open.add({
    close() {
      for (const server of running.servers) server.closeAllConnections();
      return running.drain();
    },
  });
  const [url = ''] = running.addresses;
  const findLine = (exchange: string): string | undefined =>
    accessLog.lines.findLast((line) => line.includes(`"id":"${exchange}"`));
  return {
    url,
    port: Number(new URL(url).port),
    settings: running.services.settings,
    reached: (exchange) =>
      upstream.seen.filter((request) => request.headers['x-couch-request-id'] === exchange),
    takeAll: () => upstream.seen.splice(0),
    async lineOf(exchange) {
      await until(() => findLine(exchange) !== undefined, `a line of the access log for ${exchange}`);
      return JSON.parse(findLine(exchange) ?? '') as AccessLine;
    },
    takeLines: () => accessLog.lines.splice(0).map((line) => JSON.parse(line) as AccessLine),
    asked,
    get failures() {
      return log.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields);
    },
    get warnings() {
      return log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
    },
    connections: () =>
      new Promise((resolve, reject) => {
        running.servers[0]?.getConnections((error, count) =>
          error === null ? resolve(count) : reject(error),
        );
      }),
    close: () => open.close(),
  };
}

/** A store in which the caller `monitor` has its server grant. */
function storeOfFront(): MemoryStore {
  const store = new MemoryStore();
  store.putSilently({ _id: 'server_grant:monitor', roles: ['_monitor'], by: 'admin', at: '' });
  return store;
}

/** Files in place of the build of the dashboard. */
const DASHBOARD_FILES: DashboardFiles = new Map([
  ['index.html', fileOf('text/html; charset=utf-8', '<!doctype html><title>Couchgate</title>')],
  ['assets/app-1.js', fileOf('text/javascript; charset=utf-8', 'const app = 1;')],
]);

function fileOf(type: string, text: string): DashboardFile {
  const body = Buffer.from(text);
  return { type, etag: '"e"', isImmutable: type.includes('javascript'), body, gzip: gzipSync(body) };
}

/** A map with an entry for every caller: the roles of its name. */
export const GRANTS_BY_NAME: ReadonlyMap<string, number> = new (class extends Map<string, number> {
  override get(caller: string): number | undefined {
    return caller === 'nobody' ? undefined : roleSet(rolesNamed(caller));
  }
})();
