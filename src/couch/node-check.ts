// Checks whether a CouchDB node accepts our token with exactly its name and roles, and has no virtual hosts.
import { Agent } from 'undici';
import { type CouchAnswer } from './couch.ts';
import { exchange } from './exchange.ts';
import { nodeName } from './failure.ts';

export interface NodeCheckOptions {
  /** PEM of the CA that signed the certificates of https nodes. */
  readonly ca?: string;
  readonly timeoutMs?: number;
}

export interface NodeCheck {
  readonly url: string;
  /** Sentence for the operator; undefined = the node is usable. */
  readonly problem: string | undefined;
  /** Sentence about a setting of a usable node that some clients notice. */
  readonly notice?: string;
}

/**
 * Resolves if the node accepts the token (a JWT without `Bearer `), with a sentence if one of its settings
 * restricts clients. Rejects with a sentence that names the node and the fix.
 */
export async function checkNode(
  url: string,
  token: string,
  options: NodeCheckOptions = {},
): Promise<string | undefined> {
  const { problem, notice } = await examineNode(url, token, options);
  if (problem !== undefined) throw new Error(problem);
  return notice;
}

/**
 * Sends `GET /_session` with the token, then reads the virtual hosts. CouchDB answers an invalid token with
 * an error. But without its JWT handler, CouchDB ignores the token and treats the request as anonymous, so
 * status 200 alone proves nothing.
 * Source: docs.couchdb.org/en/stable/api/server/authn.html#jwt-authentication
 */
export async function examineNode(
  url: string,
  token: string,
  { ca, timeoutMs = 5000 }: NodeCheckOptions = {},
): Promise<NodeCheck> {
  const agent = new Agent({ connect: { timeout: timeoutMs, ...(ca === undefined ? {} : { ca }) } });
  try {
    const outcome = await exchange(agent, {
      node: url,
      request: { method: 'GET', path: '/_session' },
      headers: { Authorization: `Bearer ${token}` },
      timeoutMs,
    });
    const node = `CouchDB node ${nodeName(url)}`;
    if (!outcome.answered) return { url, problem: `${node} cannot be reached: ${outcome.failure.reason}` };
    const fault = faultIn(outcome.answer, token);
    if (fault !== undefined) return { url, problem: `${node} ${fault}` };
    const vhosts = await exchange(agent, {
      node: url,
      request: { method: 'GET', path: '/_node/_local/_config/vhosts' },
      headers: { Authorization: `Bearer ${token}` },
      timeoutMs,
    });
    if (!vhosts.answered) return { url, problem: `${node} cannot be reached: ${vhosts.failure.reason}` };
    if (hasVirtualHosts(vhosts.answer)) return { url, problem: `${node} ${VIRTUAL_HOSTS}` };
    const anonymous = await exchange(agent, {
      node: url,
      request: { method: 'GET', path: '/_session' },
      headers: {},
      timeoutMs,
    });
    // Requests of nobody carry no token, `/_up` of a load balancer included.
    if (!anonymous.answered || anonymous.answer.status !== 401) return { url, problem: undefined };
    const notice = `${node} refuses requests without credentials: [chttpd] require_valid_user is true. Public databases and GET /_up get 401. Run \`npm start -- setup\` to set it to false`;
    return { url, problem: undefined, notice };
  } finally {
    await agent.destroy();
  }
}

const VIRTUAL_HOSTS =
  'has virtual hosts, which replace paths after the decision: remove every entry of [vhosts]';

/**
 * A virtual host replaces the path of a request by its Host header, after Couchgate decided on the path
 * (H18). An answer that is not the section of a CouchDB configuration lists no virtual host.
 */
function hasVirtualHosts({ status, body }: CouchAnswer): boolean {
  if (status !== 200 || typeof body !== 'object' || body === null) return false;
  return Object.values(body).some((target) => typeof target === 'string');
}

function faultIn({ status, body }: CouchAnswer, token: string): string | undefined {
  const { kid, name, roles } = claimsOf(token);
  if (status !== 200) {
    return `rejects our token with status ${status}: [jwt_keys] hmac:${String(kid)} is missing or has a different secret`;
  }
  const session = (body ?? {}) as {
    readonly userCtx?: { readonly name?: unknown; readonly roles?: unknown };
  };
  const { userCtx } = session;
  if (
    userCtx !== undefined &&
    userCtx.name === name &&
    JSON.stringify(userCtx.roles) === JSON.stringify(roles)
  )
    return undefined;
  return userCtx?.name === null
    ? 'ignores our token: jwt_authentication_handler is missing in [chttpd] authentication_handlers, or CouchDB was not restarted after the change'
    : 'reads another user or other roles from our token: check [jwt_auth]';
}

function claimsOf(token: string): { readonly kid: unknown; readonly name: unknown; readonly roles: unknown } {
  const [head, payload] = token
    .split('.')
    .slice(0, 2)
    .map(
      (part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Readonly<Record<string, unknown>>,
    );
  return { kid: head?.['kid'], name: payload?.['sub'], roles: payload?.['_couchdb.roles'] };
}
