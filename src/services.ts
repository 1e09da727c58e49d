// Builds the knowledge that one serving process works with, and joins its parts. What each part does is in its own folder; the steps of a
// request are built in steps.ts.
import { readFileSync } from 'node:fs';
import { type AccessLog } from './audit/access-log.ts';
import { type RequestMetrics } from './audit/request-metrics.ts';
import {
  type Authenticator,
  createBasicAuthenticator,
  createCookieAuthenticator,
} from './authenticate/index.ts';
import { decide } from './authorize/decide.ts';
import { SECURITY_LIMIT_BYTES } from './answer/security.ts';
import { BodyReader } from './body/read.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { type LiveSettings } from './config/reload.ts';
import { type Settings } from './config/settings.ts';
import { type Environment } from './config/sources.ts';
import { openCouch, openNodes } from './couch-services.ts';
import { type CouchClient } from './couch/client.ts';
import { createIdentity, type Identity } from './forward/identity.ts';
import { type Nodes } from './forward/nodes.ts';
import { createKeyStore, type RunningKeyStore } from './identity/key-store.ts';
import { type Invalidation } from './invalidation/bus.ts';
import { createInvalidationBus, type RunningInvalidationBus } from './invalidation/store-bus.ts';
import {
  createRevocationWatch,
  type WatchedExchange,
  type RevocationWatch,
} from './revocation/revocation-watch.ts';
import { type CredentialCheck } from './identity/credential-check.ts';
import { createStore, type Store } from './couch/store.ts';
import { type WorkerChannel } from './cluster/worker-channel.ts';
import { openCredentials, openSessions, type SessionParts } from './session-services.ts';
import {
  createSecurityStore,
  type SecurityKeeper,
  type SecurityStore,
} from './permissions/security-store.ts';

/** What a serving process is given. */
export interface ServiceInputs {
  readonly settings: Settings;
  /** The settings as the files say now; a reload replaces the object. */
  readonly live: Pick<LiveSettings, 'current' | 'reload'>;
  readonly env: Environment;
  /** Addresses of the CouchDB nodes, the embedded one's where none are configured. */
  readonly nodeUrls: readonly string[];
  readonly jwtSecret: Buffer;
  readonly sessionSecret: Buffer;
  readonly log: OperationalLog;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly workerChannel: WorkerChannel;
}

export interface Services extends ServiceInputs {
  readonly identity: Identity;
  readonly nodes: Nodes;
  readonly couch: CouchClient;
  readonly store: Store;
  readonly bus: RunningInvalidationBus;
  readonly keys: RunningKeyStore;
  readonly security: SecurityKeeper;
  /** What authorize decides by. */
  readonly permissions: SecurityStore;
  /** Tried in this order. */
  readonly authenticators: readonly Authenticator[];
  readonly credentials: CredentialCheck;
  readonly sessionParts: SessionParts;
  readonly revocationWatch: RevocationWatch;
  readonly bodies: BodyReader;
  /** Begins to look at the nodes and to follow the news; resolves after the first look at the nodes, whatever it found. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Parts that a test may replace; everything else stays as it is in production. */
export interface ReplaceableParts {
  readonly couch: CouchClient;
  readonly store: Store;
  readonly permissions: SecurityStore;
  readonly authenticators: readonly Authenticator[];
  readonly checkNode: (url: string) => Promise<void>;
  /** Milliseconds since 1970, for sessions alone. */
  readonly sessionClock: () => number;
  readonly refusalQuantumMs: number;
}

export type Overrides = Partial<ReplaceableParts>;

/** Bodies of the largest size that may be in memory to be scanned, and bytes of those to be parsed, at the same time. */
const SCANNED_BODIES = 8;
export const PARSED_BODIES_BYTES = 4 * SECURITY_LIMIT_BYTES;

/** Joins the parts; nothing is asked of CouchDB before `start`. The order matters where one listens to another's news (key store first). */
export function createServices(surroundings: ServiceInputs, overrides: Overrides = {}): Services {
  const { settings, log } = surroundings;
  const { fallbackCacheSeconds, outageCacheSeconds, securityCacheSeconds } = settings;
  const identity = createIdentity({
    secret: surroundings.jwtSecret,
    kid: settings.jwtKid,
    lifetimeSeconds: settings.jwtLifetimeSeconds,
  });
  const ca = settings.couchdbCa === '' ? undefined : readFileSync(settings.couchdbCa, 'utf8');
  const nodes = openNodes(surroundings, identity, ca, overrides.checkNode);
  const couch = overrides.couch ?? openCouch(surroundings, identity, nodes, ca);
  const report = (sentence: string): void => log.warn({}, sentence);
  const store = overrides.store ?? createStore({ couch, database: settings.storeDatabase, report });
  const bus = openNews(surroundings, couch, store, report);
  const caches = { fallbackCacheSeconds, outageCacheSeconds };
  const keys = createKeyStore({ couch, store, bus, ...caches, now: Date.now });
  const security = createSecurityStore({ couch, bus, securityCacheSeconds, ...caches });
  const permissions = overrides.permissions ?? security;
  const secret = surroundings.sessionSecret;
  const credentials = openCredentials({ settings, couch, bus, keys, secret, report, ...overrides });
  const sessionParts = openSessions({
    settings,
    secret,
    couch,
    bus,
    now: overrides.sessionClock ?? Date.now,
  });
  const authenticators = overrides.authenticators ?? [
    createBasicAuthenticator(credentials),
    createCookieAuthenticator({ ...sessionParts, keys }),
  ];
  const revocationWatch = createRevocationWatch({
    bus,
    isStillPermitted: (feed) => isStillPermitted(feed, keys, permissions, sessionParts),
    outageSeconds: outageCacheSeconds,
  });
  const bodies = new BodyReader({
    scannedBytes: SCANNED_BODIES * settings.inspectLimitBytes,
    parsedBytes: PARSED_BODIES_BYTES,
  });
  const known = { permissions, authenticators, credentials, sessionParts, revocationWatch, bodies };
  const parts = { identity, nodes, couch, store, bus, keys, security, ...known };
  return { ...surroundings, ...parts, start: () => start(parts), close: () => close(parts) };
}

type Parts = Omit<Services, keyof ServiceInputs | 'start' | 'close'>;

async function start({ nodes, store, bus }: Parts): Promise<void> {
  await nodes.start();
  store.start();
  bus.start();
}

/** In the opposite order of their making. */
async function close(parts: Parts): Promise<void> {
  parts.revocationWatch.close();
  parts.sessionParts.sessions.close();
  parts.sessionParts.versions.close();
  await parts.keys.close();
  parts.security.close();
  parts.bus.close();
  parts.store.close();
  await parts.couch.close();
  parts.nodes.stop();
}

function openNews(
  { workerChannel, log }: ServiceInputs,
  couch: CouchClient,
  store: Store,
  report: (sentence: string) => void,
): RunningInvalidationBus {
  const bus = createInvalidationBus({
    couch,
    store,
    workerChannel,
    report,
    now: Date.now,
    onState: (up) => {
      if (up) log.info({ up }, 'news of other replicas arrive');
      else log.warn({ up }, 'news of other replicas do not arrive');
    },
  });
  workerChannel.listen((message) => bus.deliver(message as Invalidation));
  return bus;
}

/**
 * Decides afresh what is still running (H17): the password of its key must be good, and its database's grants must still permit its row. A form
 * whose end has not come has named no database yet, and is decided about when it has.
 */
async function isStillPermitted(
  feed: WatchedExchange,
  keys: RunningKeyStore,
  store: SecurityStore,
  { sessions }: SessionParts,
): Promise<boolean> {
  const { principal, database, endpoint, sessionId, keyVersion } = feed;
  if (sessionId !== undefined && (await sessions.isEnded(sessionId))) return false;
  if (keyVersion !== undefined && !(await keys.holds(principal.name, keyVersion))) return false;
  if (endpoint.id === 'legacy-set-permissions') return true;
  const permissions = database === undefined ? undefined : await store.permissionsOf(database);
  const operation = { endpoint, alternatives: [], decidedByBody: undefined, database, documentId: undefined };
  return decide(principal, operation, permissions, undefined).allow;
}
