// A small client of the embedded node's tests: one node in memory, callers of every kind, requests over real sockets.
import { createHmac } from 'node:crypto';
import { startEmbeddedNode, type RunningEmbeddedNode } from '../../src/embedded/index.ts';

export const OWNER = { name: 'admin', password: 'owner_password' };
export const KEYS = {
  first: Buffer.from('first-secret-of-the-tests-0123456789'),
  second: Buffer.from('second-secret-of-the-tests-012345678'),
};

export type Headers = Readonly<Record<string, string>>;

export function basic(name: string, password: string): Headers {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}

export const AS_OWNER = basic(OWNER.name, OWNER.password);

/** A token as Couchgate makes them; parts can be replaced to spoil it. */
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

export function bearer(name: string, roles: readonly string[] = []): Headers {
  const exp = Math.floor(Date.now() / 1000) + 60;
  return { authorization: `Bearer ${token({ sub: name, '_couchdb.roles': roles, exp })}` };
}

export interface Answer {
  readonly status: number;
  readonly headers: globalThis.Headers;
  readonly text: string;
  /** The JSON of the answer; undefined when it is none. */
  readonly json: unknown;
  /** The value at a path into that JSON; undefined when there is none. */
  at(...path: readonly (string | number)[]): unknown;
}

export class Client {
  readonly node: RunningEmbeddedNode;

  constructor(node: RunningEmbeddedNode) {
    this.node = node;
  }

  /** A new node in memory, or one on a folder. */
  static async start(folder?: string): Promise<Client> {
    return new Client(await startEmbeddedNode({ folder, owner: OWNER, jwtKeys: KEYS }));
  }

  /** One request; an object is sent as JSON. The owner asks unless `headers` say otherwise. */
  async ask(
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
