// Asks CouchDB, or Couchgate in front of it, for every request of the comparison, and keeps what the comparison is about.
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { createTokenMinter } from '../../../src/identity/token-minter.ts';
import { type Asked, lineOf } from './requests.ts';

/** What is compared. Of what succeeds, and of CouchDB's own failures, it is the status alone. */
export interface Answered {
  readonly status: number;
  readonly error?: string;
  readonly reason?: string;
  readonly allow?: string;
}

/** The callers of the comparison, by the right that CouchDB concedes to them, and the roles of the key beside them. */
export const CALLERS = {
  member: 'reader+writer+replicator',
  dbadmin: 'admin',
  owner: 'owner',
} as const;

export type CallerKind = keyof typeof CALLERS;

export interface Databases {
  /** Stands for `%db`. */
  readonly plain: string;
  /** Stands for `%part`. */
  readonly partitioned: string;
}

/** Sends requests to one address, with these headers. */
export interface Asker {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Connections to use; a new one for every request if left out. */
  readonly agent?: http.Agent;
}

/** The headers of a caller that CouchDB itself knows by its roles. */
export function tokenFor(
  key: { readonly jwtSecretBase64: string; readonly kid: string },
  privilege: 'member' | 'dbadmin' | 'server_admin',
  database: string,
): Readonly<Record<string, string>> {
  const tokens = createTokenMinter({
    secret: Buffer.from(key.jwtSecretBase64, 'base64'),
    kid: key.kid,
    lifetimeSeconds: 3600,
  });
  const scope = { privilege, identity: 'marker', roles: 0 } as const;
  const token = tokens.tokenFor({ kind: 'key', name: 'comparing' }, scope, database) ?? '';
  return { authorization: `Bearer ${token}` };
}

export async function answerTo(
  { url, headers, agent }: Asker,
  asked: Asked,
  { plain, partitioned }: Databases,
): Promise<Answered> {
  const { method, destination } = asked;
  const path = asked.path.replace('%db', plain).replace('%part', partitioned);
  const body = method === 'POST' || method === 'PUT' ? '{}' : undefined;
  const { res, content } = await new Promise<{ res: http.IncomingMessage; content: string }>(
    (resolve, reject) => {
      const req = http.request(new URL(url), {
        method,
        path,
        agent: agent ?? false,
        headers: {
          ...headers,
          ...(destination === undefined ? {} : { destination }),
          ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': 2 }),
        },
      });
      req.once('error', reject);
      req.once('response', (response) => {
        text(response).then((whole) => resolve({ res: response, content: whole }), reject);
      });
      req.end(body);
    },
  );
  const status = res.statusCode ?? 0;
  if (status < 400 || status >= 500) return { status };
  const { error, reason } = isJson(content) ? (JSON.parse(content) as Partial<Answered>) : {};
  return {
    status,
    ...(error === undefined ? {} : { error }),
    ...(reason === undefined ? {} : { reason }),
    ...(res.headers.allow === undefined ? {} : { allow: res.headers.allow }),
  };
}

function isJson(content: string): boolean {
  return content.startsWith('{');
}

export async function answersTo(
  asker: Asker,
  requests: readonly Asked[],
  databases: Databases,
): Promise<ReadonlyMap<string, Answered>> {
  const answers = new Map<string, Answered>();
  // One after the other: a request may change what the next one is told.
  for (const asked of requests) answers.set(lineOf(asked), await answerTo(asker, asked, databases));
  return answers;
}

/** Documents of the two databases, and `_global_changes`; `put` sends a request as the owner. */
export async function prepareDocuments(
  put: (path: string, body: unknown) => Promise<unknown>,
  { plain, partitioned }: Databases,
): Promise<void> {
  const design = {
    views: { d: { map: 'function (doc) { emit(doc._id); }' } },
    shows: { d: 'function (doc, req) { return "x"; }' },
    lists: { d: 'function (head, req) { return "x"; }' },
    updates: { d: 'function (doc, req) { return [null, "x"]; }' },
  };
  await put('/_global_changes', undefined);
  for (const [database, id] of [
    [plain, 'doc'],
    [partitioned, 'p:doc'],
  ] as const) {
    await put(`/${database}/${id}`, { a: 1 });
    await put(`/${database}/_design/d`, design);
  }
}
