// Decides when a session is renewed, and makes the token of the renewed session.
import { type Session, type SessionTokens } from './session-token.ts';

/** A session is renewed after a tenth of its lifetime, as in CouchDB. */
const RENEW_AFTER = 0.1;

export interface SessionRenewalOptions {
  readonly tokens: Pick<SessionTokens, 'sign'>;
  readonly sessionTimeoutSeconds: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Creates the renewal. It returns a token with the same id and credential and a new lifetime; `undefined` =
 * the session is not renewed now.
 */
export function createSessionRenewal({
  tokens,
  sessionTimeoutSeconds,
  now,
}: SessionRenewalOptions): (session: Session) => string | undefined {
  const lifetimeMs = sessionTimeoutSeconds * 1000;
  const renewAfterMs = lifetimeMs * RENEW_AFTER;
  return function renewSession(session) {
    const issuedAt = now();
    if (issuedAt - session.issuedAt <= renewAfterMs) return undefined;
    return tokens.sign({ ...session, issuedAt, expiresAt: issuedAt + lifetimeMs });
  };
}
