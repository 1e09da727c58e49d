// Answers /_session in the format of CouchDB: describe the session, sign in, sign out.
import { type Request, type Response } from 'express';
import { type Context, known } from '../context.ts';
import { Forbidden, type HttpError, Unauthorized } from '../http-errors.ts';
import { writeBasic } from '../identity/basic-credentials.ts';
import { type Accepted, type CredentialCheck, type Refused } from '../identity/credential-check.ts';
import { type CredentialVersions } from '../identity/credential-versions.ts';
import { type Principal } from '../principal/principal.ts';
import { type DashboardCookie } from '../identity/dashboard-cookie.ts';
import { type SessionCookie } from '../identity/session-cookie.ts';
import { type SessionStore } from '../identity/session-store.ts';
import { type ReadToken, type Session, type SessionTokens } from '../identity/session-token.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';
import { type BodyReader } from '../body/read.ts';
import { localPathIn } from './local-path.ts';
import { type Login, readLogin } from './read-login.ts';

export interface SessionDeps {
  readonly bodies: BodyReader;
  readonly credentials: CredentialCheck;
  readonly versions: Pick<CredentialVersions, 'confirm'>;
  readonly sessions: Pick<SessionStore, 'begin' | 'end'>;
  readonly tokens: SessionTokens;
  readonly cookie: SessionCookie;
  readonly dashboard: { readonly cookie: DashboardCookie; readonly tokens: SessionTokens };
  readonly sessionTimeoutSeconds: number;
  readonly now?: () => number;
}

/** Authentication handlers of Couchgate, by the names of CouchDB. */
const HANDLERS = ['cookie', 'default'] as const;
/**
 * Replaces a name with a colon, which Basic would decode as another name. Nobody has the empty name, so its
 * check fails in the usual time.
 */
const NO_NAME = writeBasic('', '') ?? '';
/** Cloudant's rule for its dashboard. */
const NO_KEYS = new Forbidden(
  'API keys have no access to the dashboard. Sign in as a server admin or as a user.',
);
const WRONG = new Unauthorized('Name or password is incorrect.');

/**
 * Creates the handlers.
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#cookie-authentication, and responses of CouchDB
 * 3.5.
 */
export function sessionHandlers(
  deps: SessionDeps,
): Pick<Answers, 'session-get' | 'session-login' | 'session-logout'> {
  return {
    'session-get': (_req, res, context) => describeSession(res, context),
    'session-login': (req, res, context) => login(deps, req, res, context),
    'session-logout': (req, res, context) => logout(deps, req, res, context),
  };
}

function describeSession(res: Response, context: Context): void {
  const { principal, method } = known(context.identified, 'identified');
  const isNobody = principal.kind === 'nobody';
  const { query } = known(context.target, 'target');
  if (isNobody && new URLSearchParams(query).get('basic') === 'true') throw new Unauthorized('Please login.');
  sendJson(res, 200, {
    ok: true,
    userCtx: { name: isNobody ? null : principal.name, roles: rolesShown(principal) },
    info: {
      authentication_handlers: HANDLERS,
      ...(isNobody ? {} : { authenticated: method === 'basic' ? 'default' : 'cookie' }),
    },
  });
}

/** API keys have no roles of their own; databases grant roles to them. */
function rolesShown(principal: Principal): readonly string[] {
  return 'roles' in principal ? principal.roles : [];
}

async function login(deps: SessionDeps, req: Request, res: Response, context: Context): Promise<void> {
  const { query } = known(context.target, 'target');
  const client = known(context.client, 'client');
  const next = localPathIn(query, 'next');
  const fail = localPathIn(query, 'fail');
  const verdict = await checkLogin(deps, await readLogin(deps.bodies, req, res), client.ip);
  if (verdict.outcome === 'refused') {
    if (verdict.login !== undefined) context.outcome.refuseLogin(verdict.login);
    context.outcome.refuseBy(verdict.error, 'credentials');
    refuseLogin(deps, res, context, verdict.error, fail);
    return;
  }
  const { principal } = verdict;
  if (context.isDashboard && principal.kind === 'key') {
    context.outcome.refuseBy(NO_KEYS, 'dashboard');
    throw NO_KEYS;
  }
  const { cookie, tokens } = context.isDashboard ? deps.dashboard : deps;
  const token = tokens.sign(openSession(deps, verdict));
  context.outcome.change = { action: 'login', name: principal.name };
  context.setAnswerHeader('Set-Cookie', cookie.write(token, client.secure));
  sendJson(
    res,
    next === undefined ? 200 : 302,
    { ok: true, name: principal.name, roles: rolesShown(principal) },
    locationOf(next),
  );
}

/**
 * Checks a sign-in. The check of a user or an owner may be from a cache, or from a node that has not applied
 * a change yet. The stored hash therefore decides, and the session is bound to it: a session of another hash
 * would outlive the change (H12.5).
 */
async function checkLogin(
  deps: SessionDeps,
  { name, password }: Login,
  ip: string,
): Promise<Accepted | Refused> {
  const verdict = await deps.credentials.check(writeBasic(name, password) ?? NO_NAME, ip);
  if (verdict.outcome === 'none') return { outcome: 'refused', error: WRONG };
  if (verdict.outcome === 'refused') return verdict;
  const { kind } = verdict.principal;
  if (kind !== 'user' && kind !== 'owner') return verdict;
  const holder = await deps.versions.confirm(kind, name, password);
  if (holder !== undefined) return { outcome: 'accepted', ...holder };
  return { outcome: 'refused', error: WRONG, login: { name, reason: 'wrong password' } };
}

/**
 * Refuses a sign-in. A wrong password clears the cookie and may redirect. A lock does neither, because the
 * cookie may belong to another user.
 */
function refuseLogin(
  deps: SessionDeps,
  res: Response,
  context: Context,
  error: HttpError,
  fail: string | undefined,
): void {
  if (error.status !== 401) throw error;
  clearCookie(deps, context);
  sendJson(
    res,
    fail === undefined ? 401 : 302,
    { error: error.error, reason: error.reason },
    locationOf(fail),
  );
}

function clearCookie(deps: SessionDeps, context: Context): void {
  const { cookie } = context.isDashboard ? deps.dashboard : deps;
  context.setAnswerHeader('Set-Cookie', cookie.write('', known(context.client, 'client').secure));
}

function openSession(deps: SessionDeps, { principal, version }: Accepted): Session {
  if (principal.kind === 'nobody') throw new Error('nobody cannot have a session');
  const now = (deps.now ?? Date.now)();
  return {
    kind: principal.kind,
    name: principal.name,
    id: deps.sessions.begin(),
    version,
    issuedAt: now,
    expiresAt: now + deps.sessionTimeoutSeconds * 1000,
  };
}

/** Ends the session of the cookie on every replica, also if a Basic header authenticated the request. */
async function logout(deps: SessionDeps, req: Request, res: Response, context: Context): Promise<void> {
  const next = localPathIn(known(context.target, 'target').query, 'next');
  const read = sessionIn(deps, req, context);
  if (read?.outcome === 'valid') {
    const { id, kind, name } = read.session;
    const stored = deps.sessions.end(id, `${kind} ${name}`);
    // This process has ended the session, even if publishing to other replicas fails.
    context.outcome.change = { action: 'logout', name };
    await stored;
  }
  clearCookie(deps, context);
  sendJson(res, next === undefined ? 200 : 302, { ok: true }, locationOf(next));
}

/** The session of the cookie that the request uses; undefined without one. */
function sessionIn(deps: SessionDeps, req: Request, context: Context): ReadToken | undefined {
  const { tokens } = context.isDashboard ? deps.dashboard : deps;
  const token = context.isDashboard
    ? deps.dashboard.cookie.read(req.headers.cookie, known(context.client, 'client').secure)
    : deps.cookie.read(req.headers.cookie);
  return token === undefined ? undefined : tokens.read(token);
}

function locationOf(path: string | undefined): { Location?: string } {
  return path === undefined ? {} : { Location: path };
}
