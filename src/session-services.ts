// Builds the services for passwords and sessions.
import { type Settings } from './config/settings.ts';
import { type CouchClient } from './couch/client.ts';
import { CredentialCache } from './identity/credential-cache.ts';
import { createCredentialCheck, type CredentialCheck } from './identity/credential-check.ts';
import { type CredentialVersions } from './identity/credential-versions.ts';
import { type RunningKeyStore } from './identity/key-store.ts';
import { createAttemptLimit, type AttemptLimit } from './limits/attempt-limit.ts';
import { type PasswordHashLimiter } from './limits/password-hash-limiter.ts';
import { wrongPasswordChannel, signUpChannel } from './invalidation/bus.ts';
import { type RunningInvalidationBus } from './invalidation/store-bus.ts';
import { createDashboardCookie, type DashboardCookie } from './identity/dashboard-cookie.ts';
import { createSessionCookie, type SessionCookie } from './identity/session-cookie.ts';
import { createSessionStore, type SessionStore } from './identity/session-store.ts';
import { createSessionTokens, type SessionTokens } from './identity/session-token.ts';
import { createDecoyUser } from './identity/decoy-user.ts';
import { createUserCheck } from './identity/user-check.ts';

/** Services of sessions, for cookie authentication and for the handlers of /_session. */
export interface SessionParts {
  readonly cookie: SessionCookie;
  readonly tokens: SessionTokens;
  readonly sessions: SessionStore;
  readonly versions: CredentialVersions;
  /** Cookie and tokens of the dashboard; neither is valid as the other's. */
  readonly dashboard: { readonly cookie: DashboardCookie; readonly tokens: SessionTokens };
  readonly sessionTimeoutSeconds: number;
  readonly now: () => number;
}

/** Builds the check of credentials, with its cache and login limit. */
export function openCredentials({
  settings,
  couch,
  bus,
  keys,
  secret,
  report,
  refusalQuantumMs,
  passwordHashes,
  versions,
}: {
  readonly settings: Settings;
  readonly couch: CouchClient;
  readonly bus: RunningInvalidationBus;
  readonly keys: RunningKeyStore;
  readonly secret: Buffer;
  readonly report: (message: string, fields: object) => void;
  readonly refusalQuantumMs?: number;
  readonly passwordHashes: PasswordHashLimiter;
  readonly versions: CredentialVersions;
}): CredentialCheck {
  return createCredentialCheck({
    ...settings,
    ...(refusalQuantumMs === undefined ? {} : { refusalQuantumMs }),
    cache: new CredentialCache(bus),
    keys,
    users: createUserCheck(couch, createDecoyUser({ couch, bus, secret, report }), passwordHashes, bus),
    versions,
    limit: createAttemptLimit(
      {
        attempts: settings.loginFailures,
        attemptsPerAddress: settings.loginFailuresPerAddress,
        windowSeconds: settings.loginFailureWindowSeconds,
      },
      wrongPasswordChannel(bus),
    ),
    bus,
  });
}

/** Builds the services of sessions. */
export function openSessions({
  settings,
  secret,
  couch,
  bus,
  versions,
  now,
}: {
  readonly settings: Settings;
  readonly secret: Buffer;
  readonly couch: CouchClient;
  readonly bus: RunningInvalidationBus;
  readonly versions: CredentialVersions;
  readonly now: () => number;
}): SessionParts {
  const { sessionTimeoutSeconds } = settings;
  return {
    cookie: createSessionCookie({ ...settings, now }),
    tokens: createSessionTokens({ secret, sessionTimeoutSeconds, now }),
    sessions: createSessionStore({ ...settings, couch, bus, now }),
    dashboard: {
      cookie: createDashboardCookie(settings),
      tokens: createSessionTokens({ secret, use: 'dashboard', sessionTimeoutSeconds, now }),
    },
    versions,
    sessionTimeoutSeconds,
    now,
  };
}

/** Builds the limit of sign-ups: every attempt of an address counts, whatever becomes of it. */
export function openSignUpLimit(
  { usersSignUpsPerAddress: count }: Settings,
  bus: RunningInvalidationBus,
): AttemptLimit {
  return createAttemptLimit(
    { attempts: count, attemptsPerAddress: count, windowSeconds: 3600 },
    signUpChannel(bus),
    'Too many sign-ups from this address; try again later.',
  );
}
