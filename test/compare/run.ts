// Runs the steps of the comparison in sequence against a CouchDB-compatible server and collects the answers.
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
import {
  type Caller,
  type Computed,
  DATABASES,
  REPLICATION,
  type Step,
  type StepContext,
  USERS,
} from './step.ts';

/** All steps in their order: later steps depend on the data of earlier ones. */
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

/** The server under comparison and its credentials. */
export interface Server {
  readonly url: string;
  readonly owner: { readonly name: string; readonly password: string };
  readonly kid: string;
  readonly jwtSecretBase64: string;
}

/** One recorded answer: its JSON, or the first 300 characters of another text. */
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
const RECORDED_TEXT_LENGTH = 300;

/** Runs every step. Removes the databases and documents of a run before and after it. */
export async function runSteps(server: Server): Promise<readonly Recorded[]> {
  const saved = new Map<string, { json: unknown; headers: IncomingHttpHeaders }>();
  const context: StepContext = {
    url: server.url,
    owner: server.owner,
    text: (name, member) => {
      const value = (saved.get(name)?.json as Record<string, unknown> | undefined)?.[member];
      return typeof value === 'string' ? value : '';
    },
    json: (name) => saved.get(name)?.json,
    cookie: (name) => saved.get(name)?.headers['set-cookie']?.[0]?.split(';', 1)[0] ?? '',
  };
  await removeLeftovers(server);
  const results: Recorded[] = [];
  for (const step of STEPS) {
    const { status, headers, body } = await runUntil(server, context, step);
    const json = parsed(body);
    if (step.saveAs !== undefined) saved.set(step.saveAs, { json, headers });
    const text = body.toString('utf8').slice(0, RECORDED_TEXT_LENGTH);
    results.push({ name: step.name, status, ...(json === undefined ? { text } : { json }) });
  }
  await removeLeftovers(server);
  return results;
}

/** Repeats a step with `untilMember` until the member appears, or for TIMEOUT_MS. */
async function runUntil(server: Server, context: StepContext, step: Step): Promise<Received> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const answer = await runStep(server, context, step);
    const json = parsed(answer.body);
    const { untilMember } = step;
    const hasMember =
      typeof json === 'object' && json !== null && untilMember !== undefined && untilMember in json;
    if (untilMember === undefined || hasMember || Date.now() > deadline) return answer;
    await pause(100);
  }
}

async function runStep(server: Server, context: StepContext, step: Step): Promise<Received> {
  if (step.pauseMs !== undefined) await pause(step.pauseMs);
  const path = computed(step.path, context);
  const { concurrentWrite } = step;
  const written = concurrentWrite === undefined ? undefined : writeLater(server, concurrentWrite);
  const answer = await send(server, step.method, path, {
    caller: step.caller ?? 'owner',
    headers: step.headers === undefined ? {} : computed(step.headers, context),
    body: step.body === undefined ? undefined : computed(step.body, context),
    stopAfterMs: step.stopAfterMs,
  });
  await written;
  return answer;
}

async function writeLater(server: Server, document: { afterMs: number; path: string }): Promise<void> {
  await pause(document.afterMs);
  await send(server, 'PUT', document.path, { body: { x: 1 } });
}

function computed<T>(value: Computed<T>, context: StepContext): T {
  return typeof value === 'function' ? (value as (context: StepContext) => T)(context) : value;
}

interface Outgoing {
  readonly caller?: Caller;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly stopAfterMs?: number | undefined;
}

function send(server: Server, method: string, path: string, outgoing: Outgoing): Promise<Received> {
  const { caller = 'owner', body, stopAfterMs } = outgoing;
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const data = body === undefined || isRaw ? body : JSON.stringify(body);
  const headers = {
    accept: 'application/json',
    ...(body === undefined || isRaw ? {} : { 'content-type': 'application/json' }),
    ...credentialHeaders(server, caller),
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

function credentialHeaders(server: Server, caller: Caller): Record<string, string> {
  if (caller === 'anonymous') return {};
  if (caller === 'owner') return basic(server.owner.name, server.owner.password);
  if ('basic' in caller) return basic(caller.basic, caller.password);
  if ('token' in caller) return { authorization: `Bearer ${caller.token}` };
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    sub: caller.jwt,
    '_couchdb.roles': caller.roles,
    exp: Math.floor(Date.now() / 1000) + 300,
  };
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
