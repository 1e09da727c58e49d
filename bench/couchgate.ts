// Builds and starts Couchgate in its own process, and creates databases, keys and grants through its API.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend } from '../test/support/backend.ts';
import { freePort } from '../test/support/free-port.ts';
import { type Plan } from './group.ts';
import { type Running, stopChild } from './process.ts';

const ROOT = join(import.meta.dirname, '..');
const START_TIMEOUT_MS = 30_000;

export interface CouchgateOptions {
  /** URLs of CouchDB nodes, or of a proxy in front of them. */
  readonly nodes: readonly string[];
  readonly backend: Pick<Backend, 'jwtSecretBase64' | 'kid'>;
  readonly workers?: number;
  /** Additional settings as COUCHGATE_… variables. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Options of Node. */
  readonly node?: readonly string[];
  /** Folder of another checkout of Couchgate, with its dependencies installed. Default: this one. */
  readonly root?: string;
}

const built = new Set<string>();

/**
 * Starts Couchgate with access log and metrics on, and resolves when it answers. The log goes to a file,
 * because its cost is part of the measurement.
 */
export async function startCouchgate(plan: Plan, options: CouchgateOptions): Promise<Running> {
  const root = options.root ?? ROOT;
  build(root);
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-bench-'));
  mkdirSync(join(folder, 'config'));
  const url = `http://127.0.0.1:${String(await freePort())}`;
  const child = spawn(process.execPath, [...(options.node ?? []), join(root, 'dist/main.js')], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...withoutOwnSettings(),
      COUCHGATE_CONFIG: join(folder, 'config'),
      COUCHGATE_DATA: join(folder, 'data'),
      COUCHGATE_LISTEN: new URL(url).host,
      COUCHGATE_COUCHDB_NODES: options.nodes.join(','),
      COUCHGATE_JWT_SECRET: options.backend.jwtSecretBase64,
      COUCHGATE_JWT_KID: options.backend.kid,
      COUCHGATE_WORKERS: String(options.workers ?? 1),
      COUCHGATE_ACCESS_LOG: join(folder, 'access.log'),
      COUCHGATE_METRICS_LISTEN: `127.0.0.1:${String(await freePort())}`,
      COUCHGATE_LOG_LEVEL: 'warn',
      ...options.settings,
    },
  });
  const stop = async (): Promise<void> => {
    await stopChild(child);
    rmSync(folder, { recursive: true, force: true });
  };
  plan.atEnd(stop);
  await untilItAnswers(url, () => child.exitCode !== null);
  return { pid: child.pid ?? 0, url, stop };
}

function build(root: string): void {
  if (built.has(root)) return;
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`Couchgate could not be built in ${root}`);
  built.add(root);
}

function withoutOwnSettings(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('COUCHGATE_')));
}

async function untilItAnswers(url: string, ended: () => boolean): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await fetch(`${url}/_up`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (ended() || Date.now() > deadline) throw new Error('Couchgate did not start');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** True if the source of Couchgate exists, so that a group without it can report that. */
export function couchgateIsThere(): boolean {
  return existsSync(join(ROOT, 'src/main.ts'));
}

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** Returns the value of a Basic Authorization header. */
export function basic({ name, password }: Credentials): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** Sends one request and returns the JSON body. Throws for status 400 and above, with the body. */
export async function ask(
  url: string,
  credentials: Credentials,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { Authorization: basic(credentials), 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${String(answer.status)} ${text}`);
  return JSON.parse(text) as unknown;
}

/** Opens a session of Couchgate or CouchDB and returns its cookie. Throws if that fails. */
export async function openSession(url: string, { name, password }: Credentials): Promise<string> {
  const answer = await fetch(`${url}/_session`, {
    method: 'POST',
    body: new URLSearchParams({ name, password }),
  });
  const cookie = answer.headers.getSetCookie()[0]?.split(';')[0];
  if (answer.status !== 200 || cookie === undefined)
    throw new Error(`no session at ${url}: ${String(answer.status)}`);
  return cookie;
}

/** Creates an API key. */
export async function createKey(url: string, owner: Credentials): Promise<Credentials> {
  const made = (await ask(url, owner, 'POST', '/_api/v2/api_keys')) as { key: string; password: string };
  return { name: made.key, password: made.password };
}

/** Writes the complete `cloudant` map of a database. */
export async function grant(
  url: string,
  owner: Credentials,
  database: string,
  roles: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  await ask(url, owner, 'PUT', `/_api/v2/db/${database}/_security`, { cloudant: roles });
}
