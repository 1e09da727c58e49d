// Puts a server under load for some seconds, with wrk if it is installed, else with autocannon.
import { execFile, fork, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Requests of a load. `{n}` in a path becomes `prefix` and the number of the request. */
export interface Load {
  readonly url: string;
  /** Further URLs of the same service: the connections are spread over all of them. */
  readonly others?: readonly string[];
  readonly method?: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Sent in order, then from the start again. */
  readonly sequence?: readonly { readonly path?: string; readonly authorization?: string }[];
  readonly prefix?: string;
  /** Number of headers that are moved from the front to the back, to send them as another client would. */
  readonly rotation?: number;
  readonly connections: number;
  readonly seconds: number;
}

/** Latencies in ms; `refused` counts statuses of 400 and above, `failed` requests without a response. */
export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly p50: number;
  readonly p99: number;
  readonly refused: number;
  readonly failed: number;
}

const probe = spawnSync('wrk', ['-v'], { encoding: 'utf8' });
const WRK = probe.error === undefined ? /^wrk \S+/m.exec(probe.stdout)?.[0] : undefined;

/** Name and version of the load generator. */
export const LOAD_GENERATOR = WRK ?? 'autocannon';

/** Runs the load and returns its result. */
export async function putUnderLoad(load: Load): Promise<LoadResult> {
  if (WRK !== undefined) return byWrk(load);
  const { others = [], ...one } = load;
  const urls = [load.url, ...others];
  const connections = Math.ceil(load.connections / urls.length);
  const prefixed = (at: number): string => `${load.prefix ?? ''}${String(at)}-`;
  return together(
    await Promise.all(
      urls.map((url, at) => byAutocannon({ ...one, url, connections, prefix: prefixed(at) })),
    ),
  );
}

/** Combines parallel parts of a load; percentiles are the highest of the parts. */
function together(parts: readonly LoadResult[]): LoadResult {
  const sum = (of: (part: LoadResult) => number): number =>
    parts.reduce((total, part) => total + of(part), 0);
  const most = (of: (part: LoadResult) => number): number => Math.max(...parts.map(of));
  return {
    requests: sum(({ requests }) => requests),
    seconds: most(({ seconds }) => seconds),
    bytes: sum(({ bytes }) => bytes),
    p50: most(({ p50 }) => p50),
    p99: most(({ p99 }) => p99),
    refused: sum(({ refused }) => refused),
    failed: sum(({ failed }) => failed),
  };
}

async function byWrk(load: Load): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-load-'));
  try {
    const table = join(folder, 'load.lua');
    const lines = join(folder, 'sequence');
    const { sequence, others = [], ...same } = load;
    writeFileSync(table, `return ${lua({ method: 'GET', headers: {}, prefix: '', ...same })}\n`);
    const line = (one: { readonly path?: string; readonly authorization?: string }): string =>
      `${one.path ?? load.path}\t${one.authorization ?? ''}\n`;
    if (sequence !== undefined) writeFileSync(lines, sequence.map(line).join(''));
    const addresses = [load.url, ...others].map((url) => new URL(url).host);
    const args = [
      ...['-t', String(addresses.length), '-c', String(load.connections)],
      ...['-d', `${String(Math.ceil(load.seconds))}s`, '--timeout', '30s'],
      ...['-s', join(import.meta.dirname, 'requests.lua'), load.url],
      ...['--', table, ...(sequence === undefined ? [] : [lines])],
    ];
    // The setup function of wrk, which selects the address of a thread, gets no arguments.
    const env = { ...process.env, LOAD_ADDRESSES: addresses.join(' ') };
    const { stdout } = await promisify(execFile)('wrk', args, { env });
    return JSON.parse(/^\{.*\}$/m.exec(stdout)?.[0] ?? '') as LoadResult;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function byAutocannon(load: Load): Promise<LoadResult> {
  const child = fork(join(import.meta.dirname, 'autocannon.ts'), { execArgv: ['--import', 'tsx'] });
  child.send(load);
  return new Promise((resolve, reject) => {
    child.once('message', (result) => resolve(result as LoadResult));
    child.once('exit', (code) => reject(new Error(`autocannon ended with ${String(code)}`)));
  });
}

/**
 * Serializes a value as Lua. Special characters of strings are escaped, so that no text is interpreted as
 * Lua.
 */
function lua(value: unknown): string {
  if (typeof value === 'string') return `"${[...Buffer.from(value)].map(luaByte).join('')}"`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    return `{${fields.map(([name, field]) => `[${lua(name)}]=${lua(field)}`).join(',')}}`;
  }
  return String(value);
}

function luaByte(byte: number): string {
  return byte < 32 || byte > 126 || byte === 34 || byte === 92
    ? `\\${String(byte).padStart(3, '0')}`
    : String.fromCharCode(byte);
}
