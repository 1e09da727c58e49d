// Answers _session: reports the caller, issues a session cookie for name and password, clears the cookie.
import { BadContentType, BadRequest, HttpError, Unauthorized } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { mediaType, parseJson, readBody } from './body.ts';
import { type Exchange, type Methods } from './exchange.ts';
import { isObject, type Json } from './json.ts';
import { CLEARED_COOKIE } from './session-cookie.ts';

const MAX_FORM_BYTES = 1024 * 1024;
const HANDLERS = ['jwt', 'cookie', 'default'];

/** The methods of `/_session`. */
export const sessionMethods: Methods<Exchange> = {
  allow: 'GET,HEAD,POST,DELETE',
  GET: describeSession,
  POST: openSession,
  DELETE: ({ res }) => sendJson(res, 200, { ok: true }, { 'Set-Cookie': CLEARED_COOKIE }),
};

/** docs.couchdb.org/en/stable/api/server/authn.html#get--_session */
function describeSession({ res, query, caller }: Exchange): void {
  if (caller.name === null && query.get('basic') === 'true') throw new Unauthorized('Please login.');
  sendJson(res, 200, {
    ok: true,
    userCtx: { name: caller.name, roles: caller.roles },
    info: {
      authentication_handlers: HANDLERS,
      ...(caller.handler === undefined ? {} : { authenticated: caller.handler }),
    },
  });
}

/** docs.couchdb.org/en/stable/api/server/authn.html#post--_session */
async function openSession({ node, req, res }: Exchange): Promise<void> {
  const form = await readForm(req);
  const { name, username, password } = form;
  if (name !== undefined && username !== undefined && name !== username)
    throw new BadRequest('request body contains different usernames');
  const login = name ?? username;
  if (login === undefined) throw new BadRequest('request body must contain a username');
  const caller =
    typeof login === 'string' && typeof password === 'string'
      ? await node.authenticator.logIn(login, password)
      : undefined;
  if (caller?.name == null)
    throw new HttpError(401, 'unauthorized', 'Name or password is incorrect.', {
      headers: { 'Set-Cookie': CLEARED_COOKIE },
    });
  const cookie = await node.authenticator.cookieFor(caller.name);
  sendJson(res, 200, { ok: true, name: caller.name, roles: caller.roles }, { 'Set-Cookie': cookie });
}

async function readForm(req: Exchange['req']): Promise<Json> {
  const type = mediaType(req);
  if (type !== 'application/json' && type !== 'application/x-www-form-urlencoded')
    throw new BadContentType(
      "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'",
    );
  const body = await readBody(req, MAX_FORM_BYTES);
  if (type !== 'application/json') return Object.fromEntries(new URLSearchParams(body.toString('utf8')));
  const value = parseJson(body);
  return isObject(value) ? value : {};
}
