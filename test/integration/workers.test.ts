// Several worker processes: broadcasts reach all of them, one that dies is replaced and loses only its own
// connections, and all exit in order.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';
import { until, within } from '../support/until.ts';

const PROGRAM = join(import.meta.dirname, '../support/worker-program.ts');

interface Line {
  readonly serving?: number;
  readonly port?: number;
  readonly pids?: readonly number[];
  readonly reloaded?: number;
  readonly drained?: number;
  readonly draining?: number;
  readonly cut?: number;
  readonly message?: string;
}

class Program {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];

  constructor(env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, ['--import', 'tsx', PROGRAM], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (this.child.stdout === null) throw new Error('no stdout');
    createInterface(this.child.stdout).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Line);
    });
  }

  /** Resolves with the lines that hold the field, when there are `count` of them. */
  async saying(field: keyof Line, count = 1): Promise<readonly Line[]> {
    const found = (): readonly Line[] => this.lines.filter((line) => line[field] !== undefined);
    await until(() => found().length >= count, `${count} lines with ${field}`);
    return found();
  }

  /** The port, which all workers share, once `workers` of them serve. */
  async port(workers = 2): Promise<number> {
    const [first] = await this.saying('serving', workers);
    return first?.port ?? 0;
  }

  async exitCode(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await within(once(this.child, 'exit'), 'the end of the program');
    return this.child.exitCode;
  }
}

const programs: Program[] = [];

function start(env: Readonly<Record<string, string>> = {}): Program {
  const program = new Program(env);
  programs.push(program);
  return program;
}

async function get(port: number, path: string, limitMs = 60_000): Promise<string> {
  const req = http.get({ port, host: '127.0.0.1', path, agent: false, signal: AbortSignal.timeout(limitMs) });
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  return await text(res);
}

interface Exchange {
  readonly req: http.ClientRequest;
  readonly res: IncomingMessage;
  /** The first chunk. */
  readonly said: string;
}

/** A request whose body is not ended, and the answer that has begun. */
async function open(port: number, path: string): Promise<Exchange> {
  const req = http.request({ port, host: '127.0.0.1', path, agent: false, method: 'POST' });
  req.on('error', () => undefined).flushHeaders();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const [chunk] = (await once(res, 'data')) as [Buffer];
  return { req, res, said: chunk.toString().trim() };
}

describe('worker processes', () => {
  afterEach(async () => {
    for (const program of programs.splice(0)) {
      program.child.kill('SIGKILL');
      await program.exitCode();
    }
  });

  it('resolves a broadcast only when every other worker has handled it – POST /broadcast', async () => {
    const port = await start({ WORKERS: '3' }).port(3);
    const sender = await get(port, '/broadcast');
    const lastMessages = new Map<string, string>();
    await until(async () => {
      const [pid = '', ...words] = (await get(port, '/last-message')).split(' ');
      // The first answer of each worker after the broadcast resolved: it had no time to catch up.
      if (!lastMessages.has(pid)) lastMessages.set(pid, words.join(' '));
      return lastMessages.size === 3;
    }, 'each of three workers has answered');
    lastMessages.delete(sender);
    assert.deepEqual([...lastMessages.values()], ['a message', 'a message']);
  });

  it('replaces a worker that dies, and only its own connections break', async () => {
    const program = start();
    const port = await program.port();
    const [first, second] = await Promise.all([open(port, '/feed'), open(port, '/feed')]);
    assert.notEqual(first.said, second.said);
    const broken = once(first.res, 'error');
    process.kill(Number(first.said), 'SIGKILL');
    await broken;
    await program.saying('serving', 3);
    assert.equal(second.res.readableEnded, false);
    assert.equal(second.res.destroyed, false);
    const pids = new Set<string>();
    await until(async () => pids.add(await get(port, '/pid')).size === 2, 'two workers have answered');
    assert.ok(!pids.has(first.said), 'the dead worker still answers');
    second.req.destroy();
  });

  it('finishes running requests, ends feeds, and exits 0 on SIGTERM', async () => {
    const program = start();
    const port = await program.port();
    const feed = await open(port, '/feed');
    const slow = await open(port, '/slow');
    const feedBroken = once(feed.res, 'error');
    program.child.kill('SIGTERM');
    await feedBroken;
    await program.saying('draining', 2);
    // While workers stop listening, the primary may keep a connection that none of them takes from it.
    await until(
      () =>
        get(port, '/pid', 1000).then(
          () => false,
          () => true,
        ),
      'new connections are refused',
    );
    slow.req.end();
    assert.equal(await text(slow.res), 'finished');
    const drained = await program.saying('drained', 2);
    assert.deepEqual(
      drained.map((line) => line.cut),
      [0, 0],
    );
    assert.equal(await program.exitCode(), 0);
  });

  it('cuts what still runs at the limit', async () => {
    const program = start({ DRAIN_MS: '200' });
    const slow = await open(await program.port(), '/slow');
    const broken = once(slow.res, 'error');
    program.child.kill('SIGTERM');
    await broken;
    assert.equal(await program.exitCode(), 0);
    const drained = await program.saying('drained', 2);
    assert.equal(
      drained.reduce((sum, line) => sum + (line.cut ?? 0), 0),
      1,
    );
  });

  it('has every worker read its files again on SIGHUP', async () => {
    const program = start();
    await program.port();
    program.child.kill('SIGHUP');
    const reloaded = await program.saying('reloaded', 2);
    assert.equal(new Set(reloaded.map((line) => line.reloaded)).size, 2);
  });

  it('collects a response from every serving worker', async () => {
    const program = start({ WORKERS: '3' });
    const serving = await program.saying('serving', 3);
    program.child.kill('SIGUSR2');
    const [line] = await program.saying('pids');
    assert.deepEqual([...(line?.pids ?? [])].sort(), serving.map((each) => each.serving).sort());
  });

  it('gives up with the exit code of its workers when none can serve at all', async () => {
    assert.equal(await start({ FAIL: '1' }).exitCode(), 7);
  });
});
