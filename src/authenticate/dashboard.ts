// Authenticates requests of the dashboard by its own session cookie, and renews it.
import { type DashboardPlace } from '../config/dashboard.ts';
import { type ClientAddress, type Context, known } from '../context.ts';
import { Unauthorized } from '../http-errors.ts';
import { type CredentialVersions } from '../identity/credential-versions.ts';
import { claimsDashboard, type DashboardCookie } from '../identity/dashboard-cookie.ts';
import { createSessionRenewal } from '../identity/session-renewal.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type Session, type SessionTokens } from '../identity/session-token.ts';
import { NOBODY, type Principal } from '../principal/principal.ts';
import { type Authenticator, NOT_APPLICABLE, type Authentication } from './authenticator.ts';

export interface DashboardOptions {
  readonly place: DashboardPlace;
  readonly dashboard: { readonly cookie: DashboardCookie; readonly tokens: SessionTokens };
  readonly sessions: Pick<SessionStore, 'isEnded'>;
  readonly versions: Pick<CredentialVersions, 'holder'>;
  readonly sessionTimeoutSeconds: number;
  readonly now?: () => number;
}

const SIGNED_OUT: Authentication = Object.freeze({
  outcome: 'accepted',
  identified: Object.freeze({ principal: NOBODY, method: 'none' }),
});
const ENDED: Authentication = Object.freeze({
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
  const { place, dashboard, sessions, versions, sessionTimeoutSeconds, now = Date.now } = options;
  const renew = createSessionRenewal({ tokens: dashboard.tokens, sessionTimeoutSeconds, now });
  const accept = (principal: Principal, session: Session, client: ClientAddress): Authentication => {
    const token = renew(session);
    const renewed =
      token === undefined ? undefined : { renewedCookie: dashboard.cookie.write(token, client.secure) };
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

function refuseVoid(context: Context): Authentication {
  const { permit } = known(context.operation, 'operation').endpoint;
  return permit.kind === 'public' ? SIGNED_OUT : ENDED;
}
