// The access log over real sockets and real files: one line a request, rotation, a full disk, a sink that takes nothing.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, mock } from 'node:test';
import express, { type RequestHandler } from 'express';
import { openAccessLog, type AccessLog } from '../../src/audit/access-log.ts';
import { LateLines } from '../../src/audit/late-lines.ts';
import { createRegistry } from '../../src/audit/metrics.ts';
import { recordRequest } from '../../src/audit/record.ts';
import { RequestMetrics } from '../../src/audit/request-metrics.ts';
import { contextOf } from '../../src/context.ts';
import { createListeners } from '../../src/listen/server.ts';
import { asHttpError, sendError } from '../../src/respond.ts';
import { rememberingLog } from '../support/log.ts';
import { until } from '../support/until.ts';
import { testSettings } from '../support/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'couchgate-access-log-'));
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
  rmSync(folder, { recursive: true, force: true });
});

const linesOf = (file: string): Record<string, unknown>[] =>
  (existsSync(file) ? readFileSync(file, 'utf8') : '')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function serve(
  accessLog: AccessLog,
  step: RequestHandler = (_req, res) => void res.end('ok'),
): Promise<{ url: string; metrics: RequestMetrics }> {
  const metrics = new RequestMetrics();
  const app = express().use(
    recordRequest({ accessLog, metrics, lateLines: new LateLines(), report: assert.ifError }),
    step,
    ((thrown, req, res, _next) => {
      sendError(req, res, asHttpError(thrown));
    }) as express.ErrorRequestHandler,
  );
  const listeners = createListeners({ app, settings: testSettings(), log: rememberingLog() });
  const [url = ''] = await listeners.open();
  closers.push(() => {
    for (const server of listeners.servers) {
      server.close();
      server.closeAllConnections();
    }
  });
  return { url, metrics };
}

describe('the access log', () => {
  it('has one line for every request, written when it ends, under the id the client got', async () => {
    const file = join(folder, 'a.log');
    const accessLog = openAccessLog({ target: file, policy: 'drop', log: rememberingLog() });
    const { url, metrics } = await serve(accessLog);
    const own = await fetch(`${url}/db`, { headers: { 'X-Couch-Request-ID': 'mine_1' } });
    const made = await fetch(`${url}/db`, {
      headers: { 'X-Couch-Request-ID': 'not mine' },
      method: 'POST',
      body: 'abc',
    });
    assert.equal(own.headers.get('x-couch-request-id'), 'mine_1');
    const id = made.headers.get('x-couch-request-id');
    assert.match(id ?? '', /^[0-9a-z]{11,36}$/);
    await until(() => linesOf(file).length === 2);
    const [first, second] = linesOf(file);
    assert.equal(first?.['id'], 'mine_1');
    assert.ok(second !== undefined, 'second is missing');
    assert.equal(second['id'], id);
    assert.equal(second['httpMethod'], 'POST');
    assert.equal(second['clientIp'], '127.0.0.1');
    assert.equal(Number(second['bytesUploaded']) > 100, true);
    assert.equal(statSync(file).mode & 0o007, 0, 'others may read the log');
    assert.equal(metrics.inFlight, 0);
  });

  it('counts the bytes of each request of a connection by itself', async () => {
    const file = join(folder, 'bytes.log');
    const accessLog = openAccessLog({ target: file, policy: 'drop', log: rememberingLog() });
    const { url } = await serve(accessLog, (req, res) => {
      req.resume().on('end', () => void res.end(req.url === '/big' ? 'x'.repeat(100_000) : 'x'));
    });
    for (const path of ['/big', '/small'])
      await (
        await fetch(url + path, { method: 'POST', body: 'y'.repeat(path === '/big' ? 50_000 : 1) })
      ).text();
    await until(() => linesOf(file).length === 2);
    const [big, small] = linesOf(file);
    assert.equal(Number(big?.['bytesRead']) > 100_000 && Number(big?.['bytesUploaded']) > 50_000, true);
    assert.equal(Number(small?.['bytesRead']) < 1000 && Number(small?.['bytesUploaded']) < 1000, true);
  });

  it('keeps every line whole and in order – longer than a batch, at its end, in letters of one to four bytes', async () => {
    const file = join(folder, 'long.log');
    const accessLog = openAccessLog({ target: file, policy: 'drop', log: rememberingLog() });
    const lines = ['a', 'é', '語', '🛋'].flatMap((letter) =>
      [1, 30_000, 100, 100_000, 1000, 21_000, 21_000, 21_000].map((length) => letter.repeat(length)),
    );
    for (const line of lines) accessLog.write(`${JSON.stringify({ line })}\n`);
    await accessLog.close(5000);
    assert.deepEqual(
      linesOf(file).map(({ line }) => line),
      lines,
    );
    assert.equal(accessLog.dropped, 0);
  });

  it('shows that a client left', async () => {
    const file = join(folder, 'left.log');
    const accessLog = openAccessLog({ target: file, policy: 'drop', log: rememberingLog() });
    const { url } = await serve(accessLog, (_req, res) => void res.write('begun'));
    const abort = new AbortController();
    await fetch(`${url}/db/_changes`, { signal: abort.signal });
    abort.abort();
    await until(() => linesOf(file).length === 1);
    assert.equal(linesOf(file)[0]?.['terminationState'], 'CD--');
  });

  it('goes on in a new file after a rotation', async () => {
    const file = join(folder, 'rotated.log');
    const accessLog = openAccessLog({ target: file, policy: 'drop', log: rememberingLog() });
    const { url } = await serve(accessLog);
    await fetch(`${url}/before`);
    await until(() => linesOf(file).length === 1);
    renameSync(file, `${file}.1`);
    accessLog.reopen();
    await until(() => existsSync(file));
    await fetch(`${url}/after`);
    await until(() => linesOf(file).length === 1);
    assert.equal(linesOf(file)[0]?.['httpRequest'], '/after');
    assert.equal(linesOf(`${file}.1`).length, 1);
  });

  it('closes its old file once, however often it could not open the new one', async () => {
    const parent = join(folder, 'away');
    mkdirSync(parent);
    const file = join(parent, 'access.log');
    const log = rememberingLog();
    const accessLog = openAccessLog({ target: file, policy: 'refuse', log });
    const { url } = await serve(accessLog);
    await fetch(`${url}/before`);
    await until(() => linesOf(file).length === 1);
    const closed = mock.method(fs, 'close');
    renameSync(parent, `${parent}.old`);
    for (let n = 0; n < 3; n += 1) accessLog.reopen();
    await until(() => !accessLog.accepting);
    mkdirSync(parent);
    await until(() => accessLog.accepting && existsSync(file));
    await fetch(`${url}/after`);
    await until(() => linesOf(file).some((line) => line['httpRequest'] === '/after'));
    const numbers = closed.mock.calls.map((call) => call.arguments[0]);
    closed.mock.restore();
    assert.deepEqual(numbers.length, new Set(numbers).size, 'a number is closed once');
    assert.equal(numbers.length, 1);
  });

  it('says that lines were lost if they cannot be written at the end', async () => {
    const log = rememberingLog();
    const accessLog = openAccessLog({ target: '/dev/full', policy: 'drop', log });
    accessLog.write('{}\n');
    await accessLog.close(60_000);
    assert.match(JSON.stringify(log.lines), /its last lines are lost/u);
  });

  it('is missed before the first request when its file cannot be opened', () => {
    const target = join(folder, 'no', 'such', 'folder.log');
    assert.throws(() => openAccessLog({ target, policy: 'drop', log: rememberingLog() }), /ENOENT/);
  });

  it('refuses requests while the disk is full, if that is the policy – GET /db – 503, and nothing is done', async () => {
    const log = rememberingLog();
    const accessLog = openAccessLog({ target: '/dev/full', policy: 'refuse', log });
    let done = 0;
    const { url } = await serve(accessLog, (_req, res) => {
      done += 1;
      res.end();
    });
    assert.equal((await fetch(`${url}/db`)).status, 200);
    await until(() => !accessLog.accepting);
    const refused = await fetch(`${url}/db`);
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /"error":"service_unavailable"/);
    assert.equal(done, 1);
    assert.deepEqual(
      log.lines.map((line) => line.message),
      ['access log cannot be written'],
    );
  });

  it('goes on while the disk is full, if that is the policy, and counts the lines it loses', async () => {
    const accessLog = openAccessLog({
      target: '/dev/full',
      policy: 'drop',
      log: rememberingLog(),
      bufferBytes: 1000,
    });
    const { url, metrics } = await serve(accessLog);
    for (let i = 0; i < 6; i += 1) assert.equal((await fetch(`${url}/db`)).status, 200);
    await until(() => accessLog.dropped > 0);
    assert.equal(metrics.inFlight, 0);
  });

  it('answers while nobody reads the log: a pipe that is full stops no request', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = rememberingLog();
    const accessLog = openAccessLog({ target: pipe, policy: 'drop', log, bufferBytes: 20_000 });
    const { url } = await serve(accessLog);
    // A pipe holds 64 KiB: with long user agents, a few hundred requests fill it and the buffer behind it.
    const headers = { 'User-Agent': 'x'.repeat(500) };
    for (let i = 0; i < 300 && accessLog.dropped === 0; i += 1)
      assert.equal((await fetch(`${url}/db`, { headers })).status, 200);
    await until(() => accessLog.dropped > 0);
    assert.equal((await fetch(`${url}/db`)).status, 200);
    // Emptying the pipe lets the thread that writes to it finish.
    closeSync(reader);
  });

  it('lets the process end although nobody reads its stdout', async () => {
    const program = `import { openAccessLog } from ${JSON.stringify(join(import.meta.dirname, '../../src/audit/access-log.ts'))};
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const accessLog = openAccessLog({ target: 'stdout', policy: 'drop', log });
      for (let i = 0; i < 100; i += 1) accessLog.write('x'.repeat(8000) + '\\n');
      await accessLog.close(100);
      process.exit(0);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.pause();
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    assert.equal(signal, 'SIGKILL');
  });

  it('is not written at all when it is off', async () => {
    const accessLog = openAccessLog({ target: 'off', policy: 'drop', log: rememberingLog() });
    const { url } = await serve(accessLog);
    assert.equal((await fetch(url)).status, 200);
    assert.equal(accessLog.enabled, false);
  });
});

describe('the request metrics', () => {
  it('count by class, decision and status, and have no label that a client can choose', async () => {
    const { url, metrics } = await serve(
      openAccessLog({ target: 'off', policy: 'drop', log: rememberingLog() }),
      (req, res) => {
        contextOf(req).upstream.node = 'http://node1:5984';
        contextOf(req).upstream.status = 200;
        contextOf(req).upstream.sentAt = contextOf(req).upstream.answeredAt = performance.now();
        res.end();
      },
    );
    for (let i = 0; i < 20; i += 1) await fetch(`${url}/canary${i}`);
    const registry = createRegistry(metrics, [
      { name: 'open_feeds', help: 'Feeds.', type: 'gauge', read: () => 3 },
    ]);
    const text = await registry.metrics();
    assert.match(text, /couchgate_requests_total\{action="none",decision="refused",status="2xx"\} 20\n/);
    assert.match(text, /couchgate_node_answers_total\{node="http:\/\/node1:5984",status="2xx"\} 20\n/);
    assert.match(text, /# TYPE couchgate_request_duration_seconds histogram\n/);
    assert.match(text, /couchgate_request_duration_seconds_bucket\{action="none",le="\+Inf"\} 20\n/);
    assert.match(text, /couchgate_open_feeds 3\n/);
    assert.match(text, /nodejs_eventloop_lag_p99_seconds /);
    assert.doesNotMatch(text, /canary/);
  });
});
