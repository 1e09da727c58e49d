// One replica of Couchgate with every step that knows who asks and what it may, in front of a test's CouchDB:
// keys, users, sessions, `_security`, databases and feeds are the real ones. Address, CORS and the access log
// have tests of their own.
import { randomBytes } from 'node:crypto';
import { readTarget } from '../../src/admit/target.ts';
import {
  createBasicAuthenticator,
  createCookieAuthenticator,
  identifyPrincipal,
} from '../../src/authenticate/index.ts';
import { decide } from '../../src/authorize/decide.ts';
import { authorizeOperation } from '../../src/authorize/index.ts';
import { classifyRequest } from '../../src/classify/index.ts';
import { contextOf, type Context } from '../../src/context.ts';
import { createIdentity } from '../../src/forward/identity.ts';
import { createForwarding } from '../../src/forward/index.ts';
import { Nodes } from '../../src/forward/nodes.ts';
import { databaseHandlers } from '../../src/answer/database.ts';
import { answerOwnEndpoint } from '../../src/answer/index.ts';
import { securityHandlers } from '../../src/answer/security.ts';
import { sessionHandlers } from '../../src/answer/session.ts';
import { guardUsers } from '../../src/guard/users.ts';
import { CredentialCache } from '../../src/identity/credential-cache.ts';
import { createCredentialCheck } from '../../src/identity/credential-check.ts';
import { createCredentialVersions } from '../../src/identity/credential-versions.ts';
import { loginFailureChannel } from '../../src/invalidation/bus.ts';
import { createLoginLimit } from '../../src/limits/login-limit.ts';
import { createRevocationWatch, type WatchedExchange } from '../../src/revocation/revocation-watch.ts';
import { createSessionCookie } from '../../src/identity/session-cookie.ts';
import { createSessionStore } from '../../src/identity/session-store.ts';
import { createSessionTokens } from '../../src/identity/session-token.ts';
import { createUserCheck } from '../../src/identity/user-check.ts';
import { type Settings } from '../../src/config/settings.ts';
import { createSecurityStore, type SecurityKeeper } from '../../src/permissions/security-store.ts';
import { type CouchAccess, type Replica, startReplica } from './own-couch.ts';
import { rememberingLog } from './log.ts';
import { testSettings } from './settings.ts';
import { serveSteps } from './steps-server.ts';
import { until } from './until.ts';

export interface IdentityFront {
  readonly url: string;
  readonly replica: Replica;
  readonly security: SecurityKeeper;
  /** Contexts of the requests so far. */
  readonly contexts: readonly Context[];
  readonly revocationWatch: () => number;
  /** What the client address of the next requests is. */
  address: string;
  secure: boolean;
  close(): Promise<void>;
}

export interface IdentityFrontSetup {
  readonly settings?: Partial<Settings>;
  /** Replicas of one Couchgate share it. */
  readonly sessionSecret?: Buffer;
  /** Clock of sessions alone. */
  readonly now?: () => number;
  readonly refusalQuantumMs?: number;
}

/** Starts a replica and waits until the invalidation bus is up. */
export async function startIdentityFront(
  access: CouchAccess,
  setup: IdentityFrontSetup = {},
): Promise<IdentityFront> {
  const settings = testSettings(setup.settings);
  const replica = startReplica(access, { database: settings.storeDatabase });
  const { couch, bus, keys } = replica;
  const nodes = new Nodes({
    urls: access.urls,
    limits: {
      connectTimeoutMs: 1000,
      idleTimeoutMs: 60_000,
      keepAliveMs: 60_000,
      kept: 16,
      ca: undefined,
      connections: 64,
      queue: 64,
      feeds: 64,
      share: 1,
    },
    intervalMs: 60_000,
    check: () => Promise.resolve(),
  });
  const clock = setup.now === undefined ? {} : { now: setup.now };
  const secret = setup.sessionSecret ?? randomBytes(32);
  const shared = { ...settings, couch, bus };
  const security = createSecurityStore(shared);
  const sessions = createSessionStore({ ...shared, ...clock });
  const versions = createCredentialVersions({ ...shared, secret });
  const tokens = createSessionTokens({ secret, ...clock });
  const cookie = createSessionCookie({ ...settings, ...clock });
  const credentials = createCredentialCheck({
    ...shared,
    cache: new CredentialCache(bus),
    keys,
    users: createUserCheck(couch),
    limit: createLoginLimit(settings, loginFailureChannel(bus)),
    refusalQuantumMs: setup.refusalQuantumMs ?? 0,
  });
  const identity = createIdentity({
    secret: Buffer.from(access.jwtSecretBase64, 'base64'),
    kid: access.kid,
    lifetimeSeconds: 60,
  });
  const isStillPermitted = async (feed: WatchedExchange): Promise<boolean> => {
    const { principal, database = '', endpoint, keyVersion } = feed;
    if (keyVersion !== undefined && !(await keys.holds(principal.name, keyVersion))) return false;
    const permissions = await security.permissionsOf(database);
    const operation = {
      endpoint,
      alternatives: [],
      decidedByBody: undefined,
      database,
      documentId: undefined,
    };
    return decide(principal, operation, permissions, undefined).allow;
  };
  const revocationWatch = createRevocationWatch({ bus, isStillPermitted, outageSeconds: 60 });
  const forwarding = createForwarding({
    nodes,
    identity,
    revocationWatch,
    maxBodyBytes: settings.maxBodyBytes,
    multipartTimeoutMs: 60_000,
    publicUrl: '',
  });
  const contexts: Context[] = [];
  const front = { address: '192.0.2.1', secure: false };
  const common = { ...settings, credentials, versions, sessions, tokens, cookie, keys, ...clock };
  const server = await serveSteps([
    (req, _res, next) => {
      const context = contextOf(req);
      contexts.push(context);
      context.client = { ip: front.address, port: 1, secure: front.secure, mayAdminister: true };
      next();
    },
    readTarget(settings),
    classifyRequest(settings),
    identifyPrincipal([createBasicAuthenticator(credentials), createCookieAuthenticator(common)]),
    authorizeOperation({
      permissions: security,
      storeDatabase: settings.storeDatabase,
      inspectLimitBytes: 1e6,
      revocationWatch,
    }),
    answerOwnEndpoint({
      answers: {
        ...sessionHandlers(common),
        ...securityHandlers({ security }),
        ...databaseHandlers({
          couch,
          security,
          tokenFor: (principal, decision, database) => identity.tokenFor(principal, decision, database),
          publicUrl: '',
          log: rememberingLog(),
        }),
      },
      guards: { up: () => undefined, 'users-any': guardUsers({ couch, keys, bus, limitBytes: 1e6 }) },
    }),
    forwarding.step,
  ]);
  await nodes.start();
  await until(() => bus.up);
  return Object.assign(front, {
    url: server.url,
    replica,
    security,
    contexts,
    revocationWatch: () => revocationWatch.count,
    async close() {
      server.close();
      revocationWatch.close();
      security.close();
      sessions.close();
      versions.close();
      nodes.stop();
      await replica.close();
    },
  });
}

/** A Basic header. */
export function basic(name: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}
