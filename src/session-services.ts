// Builds what tells one caller from another: the check of passwords, and sessions. Joining it to the rest is services.ts's business.
import { type Settings } from './config/settings.ts';
import { type CouchClient } from './couch/client.ts';
import { CredentialCache } from './identity/credential-cache.ts';
import { createCredentialCheck, type CredentialCheck } from './identity/credential-check.ts';
import { createCredentialVersions, type CredentialVersions } from './identity/credential-versions.ts';
import { type RunningKeyStore } from './identity/key-store.ts';
import { createLoginLimit } from './identity/login-limit.ts';
import { type RunningNewsDesk } from './identity/news-feed.ts';
import { createSessionCookie, type SessionCookie } from './identity/session-cookie.ts';
import { createSessionStore, type SessionStore } from './identity/session-store.ts';
import { createSessionTokens, type SessionTokens } from './identity/session-token.ts';
import { createUserCheck } from './identity/user-check.ts';

/** What sessions are made of, for the step that reads them and the handler that begins and ends them. */
export interface SessionParts {
  readonly cookie: SessionCookie;
  readonly tokens: SessionTokens;
  readonly sessions: SessionStore;
  readonly versions: CredentialVersions;
  readonly sessionTimeoutSeconds: number;
  readonly now: () => number;
}

/** The check of a name and a password, with its cache and its limit. */
export function openCredentials({
  settings,
  couch,
  news,
  keys,
  refusalBeatMs,
}: {
  readonly settings: Settings;
  readonly couch: CouchClient;
  readonly news: RunningNewsDesk;
  readonly keys: RunningKeyStore;
  readonly refusalBeatMs?: number;
}): CredentialCheck {
  return createCredentialCheck({
    ...settings,
    ...(refusalBeatMs === undefined ? {} : { refusalBeatMs }),
    cache: new CredentialCache(news),
    keys,
    users: createUserCheck(couch),
    limit: createLoginLimit(settings, news),
    news,
  });
}

export function openSessions({
  settings,
  secret,
  couch,
  news,
  now,
}: {
  readonly settings: Settings;
  readonly secret: Buffer;
  readonly couch: CouchClient;
  readonly news: RunningNewsDesk;
  readonly now: () => number;
}): SessionParts {
  return {
    cookie: createSessionCookie({ ...settings, now }),
    tokens: createSessionTokens({ secret, now }),
    sessions: createSessionStore({ ...settings, couch, news, now }),
    versions: createCredentialVersions({ ...settings, couch, news, secret }),
    sessionTimeoutSeconds: settings.sessionTimeoutSeconds,
    now,
  };
}
