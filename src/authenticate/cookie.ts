// Authenticates requests by the session cookie, and renews it.
import { type ClientAddress, type Context, known } from '../context.ts';
import { BadRequest, Unauthorized } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { type CredentialVersions } from '../identity/credential-versions.ts';
import { type Principal } from '../principal/principal.ts';
import { type SessionCookie } from '../identity/session-cookie.ts';
import { createSessionRenewal } from '../identity/session-renewal.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type Session, type SessionTokens } from '../identity/session-token.ts';
import { type Authenticator, NOT_APPLICABLE, type Authentication } from './authenticator.ts';

export interface CookieOptions {
  readonly cookie: SessionCookie;
  readonly tokens: SessionTokens;
  readonly sessions: Pick<SessionStore, 'isEnded'>;
  readonly keys: Pick<KeyStore, 'holds'>;
  readonly versions: Pick<CredentialVersions, 'holder'>;
  readonly sessionTimeoutSeconds: number;
  readonly now?: () => number;
}

/**
 * Creates cookie authentication. On public endpoints a cookie that is expired, ended, altered, or bound to a
 * changed credential counts as absent, as in CouchDB: the client can see that it is signed out, and sign in.
 * Anywhere else it is refused with 401 and cleared, even if `nobody` has the permission: otherwise a client
 * whose session has ended would get less data and no error.
 */
export function createCookieAuthenticator(options: CookieOptions): Authenticator {
  const renew = createSessionRenewal({ ...options, now: options.now ?? Date.now });
  const accept = (principal: Principal, session: Session, client: ClientAddress): Authentication => {
    const token = renew(session);
    const renewed =
      token === undefined ? undefined : { renewedCookie: options.cookie.write(token, client.secure) };
    const keyVersion = session.kind === 'key' ? { keyVersion: session.version } : undefined;
    return {
      outcome: 'accepted',
      identified: { principal, method: 'cookie', sessionId: session.id, ...keyVersion, ...renewed },
    };
  };
  return function authenticateCookie(req, context: Context) {
    const token = options.cookie.read(req.headers.cookie);
    if (token === undefined) return NOT_APPLICABLE;
    const read = options.tokens.read(token);
    if (read.outcome === 'malformed') {
      throw new BadRequest('Malformed AuthSession cookie. Please clear your cookies.');
    }
    const client = known(context.client, 'client');
    if (read.outcome === 'void') return refuseVoid(options, context, client);
    const { session } = read;
    const ended = options.sessions.isEnded(session.id);
    const holder = holderOf(options, session);
    if (!(ended instanceof Promise) && !(holder instanceof Promise)) {
      return ended || holder === undefined
        ? refuseVoid(options, context, client, session.name)
        : accept(holder, session, client);
    }
    return Promise.all([ended, holder]).then(([isEnded, principal]) =>
      isEnded || principal === undefined
        ? refuseVoid(options, context, client, session.name)
        : accept(principal, session, client),
    );
  };
}

const ENDED = new Unauthorized('The session has ended. Please log in again.');

/** `name` = the name in a token of Couchgate, for the access log. */
function refuseVoid(
  { cookie }: CookieOptions,
  context: Context,
  { secure }: ClientAddress,
  name?: string,
): Authentication {
  if (known(context.operation, 'operation').endpoint.permit.kind === 'public') return NOT_APPLICABLE;
  context.setAnswerHeader('Set-Cookie', cookie.write('', secure));
  if (name === undefined) return { outcome: 'refused', error: ENDED };
  return { outcome: 'refused', error: ENDED, login: { name, reason: 'session ended' } };
}

/** Returns the principal of the session; undefined if its credential is no longer valid. */
function holderOf(
  { keys, versions }: CookieOptions,
  { kind, name, version }: Session,
): Principal | undefined | Promise<Principal | undefined> {
  if (kind !== 'key') return versions.holder(kind, name, version);
  const holds = keys.holds(name, version);
  if (holds instanceof Promise) return holds.then((good) => (good ? { kind, name } : undefined));
  return holds ? { kind, name } : undefined;
}
