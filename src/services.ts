// Builds and connects the services of one serving process.
import { type AccessLog } from './audit/access-log.ts';
import { type LateLines } from './audit/late-lines.ts';
import { type RequestMetrics } from './audit/request-metrics.ts';
import {
  type Authenticator,
  createBasicAuthenticator,
  createCookieAuthenticator,
  createDashboardAuthenticator,
} from './authenticate/index.ts';
import { createStillAuthenticated, createStillPermitted } from './authorize/still-permitted.ts';
import { DASHBOARD_FOLDER, readDashboardFiles, type DashboardFiles } from './answer/dashboard-files.ts';
import { type BodyBudget } from './body/budget.ts';
import { AtomCount } from './body/erlang-terms.ts';
import { createValueBudget } from './body/value-budget.ts';
import { BodyReader } from './body/read.ts';
import { dashboardPlace } from './config/dashboard.ts';
import { type OperationalLog } from './config/operational-log.ts';
import { readCouchdbCa } from './config/couchdb-ca.ts';
import { type LiveSettings } from './config/reload.ts';
import { type Settings } from './config/settings.ts';
import { type Environment } from './config/sources.ts';
import { openBackups, type Backups, type BackupTiming } from './backup-services.ts';
import { openCouch, openNodes } from './couch-services.ts';
import { type CouchClient } from './couch/client.ts';
import { createTokenMinter, type TokenMinter } from './identity/token-minter.ts';
import { type Nodes } from './forward/nodes.ts';
import { createKeyStore, type RunningKeyStore } from './identity/key-store.ts';
import { type BusMessage } from './invalidation/bus.ts';
import { createInvalidationBus, type RunningInvalidationBus } from './invalidation/store-bus.ts';
import { UserChanges } from './invalidation/user-changes.ts';
import { type IsStillAuthenticated } from './revocation/after-wait.ts';
import {
  createRevocationWatch,
  type JudgedExchange,
  type RevocationWatch,
} from './revocation/revocation-watch.ts';
import { openPermissions, type PermissionParts } from './permission-services.ts';
import { type CredentialCheck } from './identity/credential-check.ts';
import { createCredentialVersions } from './identity/credential-versions.ts';
import { createStore, type Store } from './couch/store.ts';
import { type WorkerChannel } from './cluster/worker-channel.ts';
import { openCredentials, openSessions, openSignUpLimit, type SessionParts } from './session-services.ts';
import { SIGN_UP_TIMING, type SignUpTiming } from './answer/sign-up.ts';
import { type AttemptLimit } from './limits/attempt-limit.ts';
import { PasswordHashLimiter } from './limits/password-hash-limiter.ts';
import { SECURITY_LIMIT_BYTES } from './permissions/security-request.ts';
import { type PermissionReader } from './permissions/permission-store.ts';

/** The inputs of a serving process. */
export interface ServiceInputs {
  readonly settings: Settings;
  /** The current settings; a reload replaces the object. */
  readonly live: Pick<LiveSettings, 'current' | 'reload' | 'reloads' | 'failures'>;
  readonly env: Environment;
  /** URLs of the CouchDB nodes, or of the embedded node if none are configured. */
  readonly nodeUrls: readonly string[];
  readonly jwtSecret: Buffer;
  readonly sessionSecret: Buffer;
  readonly log: OperationalLog;
  readonly accessLog: AccessLog;
  readonly lateLines: LateLines;
  readonly metrics: RequestMetrics;
  readonly workerChannel: WorkerChannel;
}

export interface Services extends ServiceInputs, PermissionParts {
  readonly tokens: TokenMinter;
  readonly nodes: Nodes;
  readonly couch: CouchClient;
  readonly store: Store;
  readonly bus: RunningInvalidationBus;
  /** What requests are decided by: `permissions`, unless a test replaces it. */
  readonly permissionReader: PermissionReader;
  readonly keys: RunningKeyStore;
  /** Tried in this order. */
  readonly authenticators: readonly Authenticator[];
  readonly credentials: CredentialCheck;
  readonly userChanges: UserChanges;
  readonly sessionParts: SessionParts;
  readonly revocationWatch: RevocationWatch;
  readonly bodies: BodyReader;
  /** Counts the JSON values of bodies that CouchDB parses. */
  readonly valueBudget: BodyBudget;
  /** The atoms that CouchDB has got in sequences and bookmarks. */
  readonly atoms: AtomCount;
  readonly dashboardFiles: DashboardFiles;
  readonly backups: Backups;
  readonly signUpLimit: AttemptLimit;
  readonly signUpTiming: SignUpTiming;
  /** Shared by checks of passwords and writes of new ones. */
  readonly passwordHashes: PasswordHashLimiter;
  readonly isStillAuthenticated: IsStillAuthenticated;
  readonly isStillPermitted: (exchange: JudgedExchange) => Promise<boolean>;
  /**
   * Starts the health checks and the change feeds. Resolves after the first probe of the nodes, whatever its
   * result.
   */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Parts that a test may replace. All others are those of production. */
export interface ReplaceableParts {
  readonly couch: CouchClient;
  readonly store: Store;
  readonly permissionReader: PermissionReader;
  readonly authenticators: readonly Authenticator[];
  readonly checkNode: (url: string) => Promise<void>;
  /** Milliseconds since 1970; used by sessions only. */
  readonly sessionClock: () => number;
  readonly refusalQuantumMs: number;
  /** Called between any two steps of a change of permissions. */
  readonly permissionStep: (name: string) => Promise<void>;
  readonly dashboardFiles: DashboardFiles;
  readonly backupTiming: BackupTiming;
  readonly signUpTiming: SignUpTiming;
}

export type Overrides = Partial<ReplaceableParts>;

/** Number of bodies of the largest size that may be scanned at the same time. */
const SCANNED_BODIES = 8;
/** Bytes of bodies that may be parsed at the same time. */
export const PARSED_BODIES_BYTES = 4 * SECURITY_LIMIT_BYTES;

/** Connects the services; sends nothing before `start`. */
export function createServices(inputs: ServiceInputs, overrides: Overrides = {}): Services {
  const { settings, log } = inputs;
  const { fallbackCacheSeconds, outageCacheSeconds } = settings;
  const tokens = createTokenMinter({
    secret: inputs.jwtSecret,
    kid: settings.jwtKid,
    lifetimeSeconds: settings.jwtLifetimeSeconds,
  });
  const ca = readCouchdbCa(settings);
  const nodes = openNodes(inputs, tokens, ca, overrides.checkNode);
  const couch = overrides.couch ?? openCouch(inputs, tokens, nodes, ca);
  const report: Report = (message, fields) => log.warn(fields, message);
  const store = overrides.store ?? createStore({ couch, database: settings.storeDatabase, report });
  const bus = openInvalidationBus(inputs, couch, store, report);
  const caches = { fallbackCacheSeconds, outageCacheSeconds };
  const { keyCacheEntries } = settings;
  const keys = createKeyStore({ couch, store, bus, ...caches, keyCacheEntries, now: Date.now });
  const bodyParts = openBodyParts(settings);
  const permissionParts = openPermissions(inputs, { couch, store, bus, atoms: bodyParts.atoms }, overrides);
  const permissionReader = overrides.permissionReader ?? permissionParts.permissions;
  const secret = inputs.sessionSecret;
  const passwordHashes = new PasswordHashLimiter();
  const versions = createCredentialVersions({ ...settings, couch, bus, secret, hashes: passwordHashes });
  const credentialInputs = { settings, couch, bus, keys, secret, report, passwordHashes, versions };
  const credentials = openCredentials({ ...credentialInputs, ...overrides });
  const { sessionClock: now = Date.now } = overrides;
  const sessionParts = openSessions({ settings, secret, couch, bus, versions, now });
  const authenticators = overrides.authenticators ?? [
    createDashboardAuthenticator({ ...sessionParts, place: dashboardPlace(settings) }),
    createBasicAuthenticator(credentials),
    createCookieAuthenticator({ ...sessionParts, keys }),
  ];
  const userChanges = new UserChanges(bus);
  const decidedAgainBy = {
    keys,
    sessions: sessionParts.sessions,
    userChanges,
    permissions: permissionReader,
    grants: permissionParts,
  };
  const isStillAuthenticated = createStillAuthenticated(decidedAgainBy);
  const isStillPermitted = createStillPermitted(decidedAgainBy);
  const revocationWatch = createRevocationWatch({
    bus,
    isStillPermitted,
    outageSeconds: outageCacheSeconds,
  });
  const dashboardFiles = overrides.dashboardFiles ?? openDashboardFiles(settings);
  const { backupTiming: timing, signUpTiming = SIGN_UP_TIMING } = overrides;
  const signUpLimit = openSignUpLimit(settings, bus);
  const backups = openBackups({ ...inputs, store, ca, ...(timing === undefined ? {} : { timing }) });
  const checks = { userChanges, isStillAuthenticated, isStillPermitted };
  const access = { permissionReader, authenticators, credentials, sessionParts, revocationWatch };
  const base = { tokens, nodes, couch, store, bus, keys, dashboardFiles, backups };
  const users = { signUpLimit, signUpTiming, passwordHashes };
  const parts = { ...users, ...base, ...bodyParts, ...permissionParts, ...access, ...checks };
  return { ...inputs, ...parts, start: () => start(parts), close: () => close(parts) };
}

type BodyParts = Pick<Services, 'bodies' | 'valueBudget' | 'atoms'>;

function openBodyParts({ inspectLimitBytes }: Settings): BodyParts {
  const scannedBytes = SCANNED_BODIES * inspectLimitBytes;
  const bodies = new BodyReader({ scannedBytes, parsedBytes: PARSED_BODIES_BYTES });
  return { bodies, valueBudget: createValueBudget(), atoms: new AtomCount() };
}

function openDashboardFiles(settings: Settings): DashboardFiles {
  return dashboardPlace(settings) === 'off' ? new Map() : readDashboardFiles(DASHBOARD_FOLDER);
}

type Report = (message: string, fields: object) => void;

type Parts = Omit<Services, keyof ServiceInputs | 'start' | 'close'>;

async function start({ nodes, store, bus, storeMajority, history, backups }: Parts): Promise<void> {
  await nodes.start();
  store.start();
  bus.start();
  storeMajority.start();
  history.start();
  backups.start();
}

/** Closes what uses a service before that service. */
async function close(parts: Parts): Promise<void> {
  await parts.backups.close();
  parts.revocationWatch.close();
  parts.sessionParts.sessions.close();
  parts.sessionParts.versions.close();
  await parts.keys.close();
  parts.recordMaintenance.close();
  parts.history.close();
  parts.prefixGrants.close();
  parts.serverGrants.close();
  parts.recordFollower.close();
  parts.storeMajority.close();
  parts.permissions.close();
  parts.bus.close();
  parts.store.close();
  await parts.couch.close();
  parts.nodes.stop();
}

function openInvalidationBus(
  { workerChannel, log }: ServiceInputs,
  couch: CouchClient,
  store: Store,
  report: Report,
): RunningInvalidationBus {
  const bus = createInvalidationBus({
    couch,
    store,
    workerChannel,
    report,
    now: Date.now,
    onState: (up) => {
      if (up) log.info({ up }, 'invalidation feed is up');
      else log.warn({ up }, 'invalidation feed is down');
    },
  });
  workerChannel.onBroadcast((message) => bus.deliver(message as BusMessage));
  return bus;
}
