// Test client of the embedded node: starts a node, builds credentials, and sends requests over HTTP.
import { createHmac } from 'node:crypto';
import { startEmbeddedNode, type RunningEmbeddedNode } from '../../src/embedded/index.ts';

/** The server admin of every test node. */
export const OWNER = { name: 'admin', password: 'owner_password' };
/** Token secrets by `kid`. */
export const KEYS = {
  first: Buffer.from('first-secret-of-the-tests-0123456789'),
  second: Buffer.from('second-secret-of-the-tests-012345678'),
};

export type Headers = Readonly<Record<string, string>>;

/** Headers with Basic credentials. */
export function basic(name: string, password: string): Headers {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}

export const AS_OWNER = basic(OWNER.name, OWNER.password);

/** A signed HS256 token, as Couchgate issues it. `options` replaces header fields or the key. */
export function token(
  claims: Readonly<Record<string, unknown>>,
  options: { header?: object; key?: Buffer } = {},
): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid: 'first', ...options.header })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', options.key ?? KEYS.first)
    .update(text)
    .digest('base64url')}`;
}

/** Headers with a token that is valid for 60 seconds. */
export function bearer(name: string, roles: readonly string[] = []): Headers {
  const exp = Math.floor(Date.now() / 1000) + 60;
  return { authorization: `Bearer ${token({ sub: name, '_couchdb.roles': roles, exp })}` };
}

/** A received answer. */
export interface Answer {
  readonly status: number;
  readonly headers: globalThis.Headers;
  readonly text: string;
  /** The parsed body; undefined if it is not JSON. */
  readonly json: unknown;
  /** The value at a path in `json`; undefined if there is none. */
  at(...path: readonly (string | number)[]): unknown;
}

/** Sends requests to one node. */
export class Client {
  readonly node: RunningEmbeddedNode;

  constructor(node: RunningEmbeddedNode) {
    this.node = node;
  }

  /** Starts a node in memory, or with a folder. */
  static async start(folder?: string): Promise<Client> {
    return new Client(await startEmbeddedNode({ folder, owner: OWNER, jwtKeys: KEYS }));
  }

  /** Sends one request; an object is sent as JSON. Without `headers`, the owner is the caller. */
  async send(
    method: string,
    path: string,
    options: { headers?: Headers; body?: unknown } = {},
  ): Promise<Answer> {
    const { headers = AS_OWNER, body } = options;
    const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const answer = await fetch(this.node.url + path, {
      method,
      headers: { ...(isRaw ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = parsed(text);
    const at = (...path: readonly (string | number)[]) =>
      path.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], json);
    return { status: answer.status, headers: answer.headers, text, json, at };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
