// Runs the steps of the comparison one after the other against a CouchDB-like server and collects the answers.
import { createHmac } from 'node:crypto';
import { request, type IncomingHttpHeaders } from 'node:http';
import { accessSteps, validationSteps } from './steps/access.ts';
import { attachmentSteps } from './steps/attachments.ts';
import { changesSteps } from './steps/changes.ts';
import { documentSteps } from './steps/documents.ts';
import { parameterSteps } from './steps/parameters.ts';
import { lastSteps, serverSteps } from './steps/server.ts';
import { replicationSteps, userSteps } from './steps/users.ts';
import { viewSteps } from './steps/views.ts';
import { DATABASES, type Given, REPLICATION, type Seen, type Step, USERS, type Who } from './step.ts';

export const STEPS: readonly Step[] = [
  ...serverSteps,
  ...documentSteps,
  ...attachmentSteps,
  ...viewSteps,
  ...changesSteps,
  ...accessSteps,
  ...parameterSteps,
  ...validationSteps,
  ...userSteps,
  ...replicationSteps,
  ...lastSteps,
];

export interface Server {
  readonly url: string;
  readonly owner: { readonly name: string; readonly password: string };
  readonly kid: string;
  readonly jwtSecretBase64: string;
}

/** One answer as it is recorded: JSON where it is JSON, the beginning of the text where it is not. */
export interface Recorded {
  readonly name: string;
  readonly status: number;
  readonly json?: unknown;
  readonly text?: string;
}

interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

const TIMEOUT_MS = 20_000;
const KEPT_TEXT = 300;

/** Runs every step; removes what earlier runs left behind, before and after. */
export async function runSteps(server: Server): Promise<readonly Recorded[]> {
  const kept = new Map<string, { json: unknown; headers: IncomingHttpHeaders }>();
  const seen: Seen = {
    url: server.url,
    owner: server.owner,
    text: (name, member) => {
      const value = (kept.get(name)?.json as Record<string, unknown> | undefined)?.[member];
      return typeof value === 'string' ? value : '';
    },
    json: (name) => kept.get(name)?.json,
    cookie: (name) => kept.get(name)?.headers['set-cookie']?.[0]?.split(';', 1)[0] ?? '',
  };
  await removeLeftovers(server);
  const results: Recorded[] = [];
  for (const step of STEPS) {
    const { status, headers, body } = await runUntil(server, seen, step);
    const json = parsed(body);
    if (step.keep !== undefined) kept.set(step.keep, { json, headers });
    const text = body.toString('utf8').slice(0, KEPT_TEXT);
    results.push({ name: step.name, status, ...(json === undefined ? { text } : { json }) });
  }
  await removeLeftovers(server);
  return results;
}

async function runUntil(server: Server, seen: Seen, step: Step): Promise<Received> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const answer = await runStep(server, seen, step);
    const json = parsed(answer.body);
    const isThere =
      typeof json === 'object' && json !== null && step.until !== undefined && step.until in json;
    if (step.until === undefined || isThere || Date.now() > deadline) return answer;
    await pause(100);
  }
}

async function runStep(server: Server, seen: Seen, step: Step): Promise<Received> {
  if (step.pauseMs !== undefined) await pause(step.pauseMs);
  const path = given(step.path, seen);
  const written = step.meanwhile === undefined ? undefined : writeLater(server, step.meanwhile);
  const answer = await send(server, step.method, path, {
    who: step.who ?? 'owner',
    headers: step.headers === undefined ? {} : given(step.headers, seen),
    body: step.body === undefined ? undefined : given(step.body, seen),
    stopAfterMs: step.stopAfterMs,
  });
  await written;
  return answer;
}

async function writeLater(server: Server, what: { afterMs: number; path: string }): Promise<void> {
  await pause(what.afterMs);
  await send(server, 'PUT', what.path, { body: { x: 1 } });
}

function given<T>(value: Given<T>, seen: Seen): T {
  return typeof value === 'function' ? (value as (seen: Seen) => T)(seen) : value;
}

interface Outgoing {
  readonly who?: Who;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly stopAfterMs?: number | undefined;
}

function send(server: Server, method: string, path: string, outgoing: Outgoing): Promise<Received> {
  const { who = 'owner', body, stopAfterMs } = outgoing;
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const data = body === undefined || isRaw ? body : JSON.stringify(body);
  const headers = {
    accept: 'application/json',
    ...(body === undefined || isRaw ? {} : { 'content-type': 'application/json' }),
    ...identity(server, who),
    ...outgoing.headers,
    ...(data === undefined ? {} : { 'content-length': Buffer.byteLength(data) }),
  };
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const req = request({ hostname, port, method, path, headers, timeout: TIMEOUT_MS }, (res) => {
      const chunks: Buffer[] = [];
      const done = () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) });
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('close', done);
      if (stopAfterMs !== undefined) setTimeout(() => req.destroy(), stopAfterMs);
    });
    req.on('timeout', () => req.destroy(new Error(`no answer: ${method} ${path}`)));
    req.on('error', reject);
    req.end(data);
  });
}

function identity(server: Server, who: Who): Record<string, string> {
  if (who === 'nobody') return {};
  if (who === 'owner') return basic(server.owner.name, server.owner.password);
  if ('basic' in who) return basic(who.basic, who.password);
  if ('token' in who) return { authorization: `Bearer ${who.token}` };
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { sub: who.jwt, '_couchdb.roles': who.roles, exp: Math.floor(Date.now() / 1000) + 300 };
  const text = `${part({ alg: 'HS256', typ: 'JWT', kid: server.kid })}.${part(claims)}`;
  const key = Buffer.from(server.jwtSecretBase64, 'base64');
  return { authorization: `Bearer ${text}.${createHmac('sha256', key).update(text).digest('base64url')}` };
}

function basic(name: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}

async function removeLeftovers(server: Server): Promise<void> {
  for (const database of DATABASES) await send(server, 'DELETE', database, {});
  const documents = [
    `/_replicator/${REPLICATION}`,
    ...USERS.map((name) => `/_users/org.couchdb.user:${name}`),
  ];
  for (const path of documents) {
    const doc = parsed((await send(server, 'GET', path, {})).body) as { _rev?: string } | undefined;
    if (doc?._rev !== undefined) await send(server, 'DELETE', `${path}?rev=${doc._rev}`, {});
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
