// HTTP client for one CouchDB node, or for Couchgate, with the credentials of the server admin.
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { writeJson } from '../json/exact-numbers.ts';
import { parseStored } from '../json/parse.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: IncomingHttpHeaders;
}

export interface Admin {
  /** URL of the node without credentials, safe to print. */
  readonly url: string;
  /**
   * Sends one request; `path` is already encoded. Resolves with every status. Rejects if the node is
   * unreachable, times out, or does not return JSON.
   */
  ask(
    method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<AdminAnswer>;
}

export interface AdminCredentials {
  readonly name: string;
  readonly password: string;
}

/** Response timeout; CouchDB needs seconds to create the system databases on a slow disk. */
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Creates the client of one node. `ca` is the PEM text of the CA that signed its certificate. Credentials in
 * `url` are ignored: they come from `credentials`.
 */
export function openAdmin(parameters: {
  readonly url: string;
  readonly credentials: AdminCredentials;
  readonly ca?: string;
  /** What the URL must be one of, for an error; default: CouchDB. */
  readonly product?: string;
}): Admin {
  const { product = 'CouchDB' } = parameters;
  const { protocol, host, hostname, port } = new URL(parameters.url);
  const url = `${protocol}//${host}`;
  const { name, password } = parameters.credentials;
  const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  const options: RequestOptions = {
    protocol,
    // URL keeps the brackets of an IPv6 address; the resolver requires the bare address.
    hostname: hostname.replace(/^\[|\]$/gu, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    agent: false,
    timeout: ANSWER_TIMEOUT_MS,
    ...(parameters.ca === undefined ? {} : { ca: parameters.ca }),
  };
  return {
    url,
    async ask(method, path, body, headers = {}) {
      const own = { Accept: 'application/json', Authorization: authorization };
      const res = await send({ ...options, method, path, headers: { ...own, ...headers } }, body).catch(
        (error: unknown) => {
          throw new Error(`${url} cannot be reached: ${reasonOf(error)}`);
        },
      );
      const { headers: answered } = res;
      return { status: res.statusCode ?? 0, body: await bodyOf(res, url, path, product), headers: answered };
    },
  };
}

function send(options: RequestOptions, body: unknown): Promise<IncomingMessage> {
  const text = body === undefined ? '' : writeJson(body);
  const open = options.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const req = open(options);
    if (text !== '') req.setHeader('Content-Type', 'application/json');
    req.setHeader('Content-Length', Buffer.byteLength(text));
    req.on('timeout', () => req.destroy(new Error('request timed out')));
    req.on('response', resolve).on('error', reject).end(text);
  });
}

/** Returns a client for the same node with a bearer token instead of the credentials of the admin. */
export function openBearer(admin: Admin, token: string): Admin {
  const bearer = { Authorization: `Bearer ${token}` };
  return {
    url: admin.url,
    ask: (method, path, body, headers) => admin.ask(method, path, body, { ...headers, ...bearer }),
  };
}

async function bodyOf(res: IncomingMessage, url: string, path: string, product: string): Promise<unknown> {
  try {
    return parseStored(await buffer(res));
  } catch {
    throw new Error(`${url}${path} did not return JSON (status ${res.statusCode ?? 0}); is it ${product}?`);
  }
}

/**
 * Throws if the URL is one of Couchgate: CouchDB has no database of that name, and answers 400. A node that
 * does not answer is not refused: fresh nodes may still start.
 */
export async function refuseCouchgate(admin: Admin): Promise<void> {
  const answer = await admin.ask('GET', '/_api/v2/api_keys').catch(() => undefined);
  if (answer === undefined) return;
  const { api_keys: keys, reason } = fieldsOf(answer.body);
  if (Array.isArray(keys) || String(reason).startsWith('server_admin access is required'))
    throw new Error(
      `${admin.url} is Couchgate itself, not CouchDB; pass the URLs of the CouchDB nodes behind it`,
    );
}

/** Returns the body, or throws if the status is 400 or above. `doing` completes the sentence "… failed". */
export function succeeded(answer: AdminAnswer, doing: string): unknown {
  if (answer.status < 400) return answer.body;
  const { error, reason } = fieldsOf(answer.body);
  throw new Error(`${doing} failed: ${answer.status} ${String(error)} (${String(reason)})`);
}

/** Returns the fields of a JSON object, or an empty object for any other value. */
export function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null && !Array.isArray(body)
    ? (body as Readonly<Record<string, unknown>>)
    : {};
}

/** Returns the message of an error; of an AggregateError, all messages. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
