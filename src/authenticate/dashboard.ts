// Authenticates requests of the dashboard by its own session cookie, and renews it.
import { type DashboardPlace } from '../config/dashboard.ts';
import { type ClientAddress, type Context, known } from '../context.ts';
import { Unauthorized } from '../http-errors.ts';
import { type CredentialVersions } from '../identity/credential-versions.ts';
import { claimsDashboard, type DashboardCookie } from '../identity/dashboard-cookie.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type Session, type SessionTokens } from '../identity/session-token.ts';
import { NOBODY, type Principal } from '../principal/principal.ts';
import { type Authenticator, NOT_APPLICABLE, type Outcome } from './authenticator.ts';
import { RENEW_AFTER } from './cookie.ts';

export interface DashboardOptions {
  readonly place: DashboardPlace;
  readonly dashboard: { readonly cookie: DashboardCookie; readonly tokens: SessionTokens };
  readonly sessions: Pick<SessionStore, 'isEnded'>;
  readonly versions: Pick<CredentialVersions, 'holder'>;
  readonly sessionTimeoutSeconds: number;
  readonly now?: () => number;
}

const SIGNED_OUT: Outcome = Object.freeze({
  outcome: 'accepted',
  identified: Object.freeze({ principal: NOBODY, method: 'none' }),
});
const ENDED: Outcome = Object.freeze({
  outcome: 'refused',
  error: new Unauthorized('The session of the dashboard has ended. Sign in again.'),
});

/**
 * Creates the authentication of the dashboard. It applies to requests with the header of the dashboard on a
 * listener that serves it, and then decides alone: Basic credentials that the browser remembers, and
 * AuthSession, which any page of the origin may hold, are ignored (H28). Without a valid session, public
 * endpoints see nobody, as a sign-in does; any other endpoint is refused, also if `nobody` has the
 * permission.
 */
export function createDashboardAuthenticator(options: DashboardOptions): Authenticator {
  const now = options.now ?? Date.now;
  const { place, dashboard, sessions, versions } = options;
  const renewAfterMs = options.sessionTimeoutSeconds * 1000 * RENEW_AFTER;
  const accept = (principal: Principal, session: Session, client: ClientAddress): Outcome => {
    const isOld = now() - session.issuedAt > renewAfterMs && session.version !== '';
    const renewed = isOld ? { renewedCookie: renewedCookie(options, session, client, now()) } : undefined;
    return {
      outcome: 'accepted',
      identified: { principal, method: 'dashboard', sessionId: session.id, ...renewed },
    };
  };
  return function authenticateDashboard(req, context) {
    if (!claimsDashboard(req.headers) || !isServed(place, context)) return NOT_APPLICABLE;
    context.isDashboard = true;
    const client = known(context.client, 'client');
    const token = dashboard.cookie.read(req.headers.cookie, client.secure);
    const read = token === undefined ? undefined : dashboard.tokens.read(token);
    if (read?.outcome !== 'valid' || read.session.kind === 'key') return refuseVoid(context);
    const { session } = read;
    return Promise.all([
      sessions.isEnded(session.id),
      versions.holder(session.kind === 'owner' ? 'owner' : 'user', session.name, session.version),
    ]).then(([isEnded, holder]) =>
      isEnded || holder === undefined ? refuseVoid(context) : accept(holder, session, client),
    );
  };
}

/** True if the listener of the request serves the dashboard. Cookies do not tell ports apart. */
function isServed(place: DashboardPlace, { isOnDashboardListener }: Context): boolean {
  return place === 'shared' || (place === 'separate' && isOnDashboardListener);
}

function refuseVoid(context: Context): Outcome {
  const { permit } = known(context.operation, 'operation').endpoint;
  return permit.kind === 'public' ? SIGNED_OUT : ENDED;
}

function renewedCookie(
  { sessionTimeoutSeconds, dashboard: { tokens, cookie } }: DashboardOptions,
  session: Session,
  client: ClientAddress,
  now: number,
): string {
  const expiresAt = now + sessionTimeoutSeconds * 1000;
  return cookie.write(tokens.sign({ ...session, issuedAt: now, expiresAt }), client.secure);
}
