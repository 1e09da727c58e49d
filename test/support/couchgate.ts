// Starts a complete Couchgate in the test process, on a free port, in front of a backend.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { loadSettings } from '../../src/config/load.ts';
import { type Settings } from '../../src/config/settings.ts';
import { NO_WORKERS } from '../../src/cluster/worker-channel.ts';
import { run, type Running } from '../../src/run.ts';
import { type Overrides } from '../../src/services.ts';
import { startBackend, type Backend } from './backend.ts';
import { rememberingLog, type RememberedLog } from './log.ts';
import { startRecorder, type Recorder } from './recorder.ts';
import { startTogether, type Started } from './started.ts';

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface Couchgate {
  readonly url: string;
  readonly owner: Credentials;
  readonly backend: Backend;
  /** Records what CouchDB receives; it is a proxy between Couchgate and the backend's first node. */
  readonly recorder: Recorder;
  readonly running: Running;
  readonly log: RememberedLog;
  /** The configuration folder, empty at first. */
  readonly configFolder: string;
  /** Sends one JSON request, with `as` or without credentials, and parses the JSON answer. */
  ask(method: string, path: string, options?: AskOptions): Promise<Answer>;
  /** Creates an API key. */
  key(): Promise<Credentials>;
  /** Creates a database with this `cloudant` map. */
  database(name: string, grants?: Readonly<Record<string, readonly string[]>>): Promise<void>;
  grant(database: string, grants: Readonly<Record<string, readonly string[]>>): Promise<void>;
  /** The access log so far, one record per line. */
  accessLog(): Promise<readonly Readonly<Record<string, unknown>>[]>;
  close(): Promise<void>;
}

export interface AskOptions {
  readonly as?: Credentials | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface CouchgateOptions {
  /** Settings that replace the defaults. */
  readonly settings?: Partial<Settings>;
  /** A shared backend. Otherwise one is started, and closed with Couchgate. */
  readonly backend?: Backend;
  /** A session secret to share with another Couchgate. */
  readonly sessionSecret?: Buffer;
  /** Parts that replace those of production. */
  readonly overrides?: Overrides;
  /** True: CouchDB is unreachable until `recorder.restart()`. */
  readonly away?: boolean;
}

export function basic({ name, password }: Credentials): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** Starts Couchgate on a free port and waits until the invalidation feed is up. */
export function startCouchgate(options: CouchgateOptions = {}): Promise<Couchgate> {
  return startTogether((open) => start(options, open));
}

async function start(options: CouchgateOptions, open: Started): Promise<Couchgate> {
  const backend = options.backend ?? (await open.add(startBackend()));
  const [first = '', ...others] = backend.urls;
  const recorder = await open.add(startRecorder(first));
  if (options.away === true) await recorder.stop();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-test-'));
  await open.add({ close: () => rmSync(folder, { recursive: true, force: true }) });
  const configFolder = join(folder, 'config');
  mkdirSync(configFolder);
  const accessLog = join(folder, 'access.log');
  const log = rememberingLog();
  const defaults = loadSettings({ env: {}, folder: '/nonexistent' });
  const settings = {
    ...defaults,
    listen: '127.0.0.1:0',
    metricsListen: 'off',
    data: folder,
    configFolder,
    accessLog,
    ...options.settings,
  };
  const running = await run({
    settings,
    env: { COUCHGATE_CONFIG: configFolder },
    nodeUrls: [recorder.url, ...others],
    jwtSecret: Buffer.from(backend.jwtSecretBase64, 'base64'),
    sessionSecret: options.sessionSecret ?? randomBytes(32),
    log,
    workerChannel: NO_WORKERS,
    sharesLog: false,
    ...(options.overrides === undefined ? {} : { overrides: options.overrides }),
  });
  await open.add({ close: () => running.drain() });
  const [url = ''] = running.addresses;
  const ask = (method: string, path: string, how: AskOptions = {}): Promise<Answer> =>
    send(url, method, path, how);
  const { owner } = backend;

  async function grant(database: string, grants: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const path = `/_api/v2/db/${encodeURIComponent(database)}/_security`;
    expect(await ask('PUT', path, { as: owner, body: { cloudant: grants } }), 200);
  }

  return {
    ...{ url, owner, backend, recorder, running, log, configFolder, ask, grant },
    async key() {
      const { key, password } = expect(await ask('POST', '/_api/v2/api_keys', { as: owner }), 201) as Record<
        string,
        string
      >;
      return { name: String(key), password: String(password) };
    },
    async database(name, grants) {
      expect(await ask('PUT', `/${encodeURIComponent(name)}`, { as: owner }), 201, 202);
      if (grants !== undefined) await grant(name, grants);
    },
    async accessLog() {
      const text = await readFile(accessLog, 'utf8').catch(() => '');
      // Without what follows the last line: it is being written.
      return text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
    },
    close: () => open.close(),
  };
}

async function send(
  url: string,
  method: string,
  path: string,
  { as, body, headers = {} }: AskOptions,
): Promise<Answer> {
  const answer = await fetch(url + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(as === undefined ? {} : { Authorization: basic(as) }),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.includes('json') === true && text !== '';
  return {
    status: answer.status,
    headers: answer.headers,
    body: isJson ? (JSON.parse(text) as unknown) : text,
  };
}

function expect({ status, body }: Answer, ...statuses: readonly number[]): unknown {
  if (!statuses.includes(status))
    throw new Error(`the preparation of a test was answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
