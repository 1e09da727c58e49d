// The end of a whole Couchgate on SIGTERM, as one process and as several: what has begun is finished, nothing new begins, feeds end.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http, { type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { basic } from '../support/couchgate.ts';
import { startProgram, temporaryFolder, type Program } from '../support/program.ts';
import { until } from '../support/until.ts';

interface Owner {
  readonly url: string;
  readonly authorization: string;
}

async function ask({ url, authorization }: Owner, method: string, path: string): Promise<number> {
  const req = http.request(url + path, { method, agent: false, headers: { authorization } }).end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  return res.statusCode ?? 0;
}

/** Runs a Couchgate with this environment and a database `docs`, and kills what is left of it. */
async function withProgram(
  env: Readonly<Record<string, string>>,
  test: (program: Program, owner: Owner) => Promise<void>,
): Promise<void> {
  const folder = temporaryFolder();
  const data = join(folder.path, 'data');
  const program = startProgram({ COUCHGATE_DATA: data, COUCHGATE_ACCESS_LOG: 'off', ...env });
  try {
    const url = await program.url;
    const password = readFileSync(join(data, 'owner_password'), 'utf8').trim();
    const owner = { url, authorization: basic({ name: 'admin', password }) };
    await until(async () => [201, 202].includes(await ask(owner, 'PUT', '/docs')), 'the database is made');
    await test(program, owner);
  } finally {
    await program.end('SIGKILL');
    folder.remove();
  }
}

/** Starts an upload and sends its first half. A `100 Continue` shows that a worker has the request. */
async function beginUpload({ url, authorization }: Owner): Promise<http.ClientRequest> {
  const headers = {
    authorization,
    expect: '100-continue',
    'content-type': 'text/plain',
    'content-length': '10',
  };
  const req = http.request(`${url}/docs/slow/file`, { method: 'PUT', agent: false, headers });
  req.on('error', () => undefined);
  req.flushHeaders();
  await once(req, 'continue');
  req.write('first');
  return req;
}

async function openFeed({ url, authorization }: Owner): Promise<IncomingMessage> {
  const path = '/docs/_changes?feed=continuous&heartbeat=100&since=now';
  const req = http.get(url + path, { agent: false, headers: { authorization } });
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  // Its first heartbeat shows that it runs.
  await once(res, 'data');
  return res;
}

/** Refused, or left without an answer: the primary of several workers may still take a connection that none of them takes from it. */
async function isRefused({ url }: Owner): Promise<boolean> {
  const req = http.get(url, { agent: false, signal: AbortSignal.timeout(1000) });
  const answered = once(req, 'response') as Promise<[IncomingMessage]>;
  return answered.then(
    ([res]) => {
      res.resume();
      return false;
    },
    () => true,
  );
}

for (const workers of ['1', '2']) {
  describe(`SIGTERM to a Couchgate of ${workers} worker${workers === '1' ? '' : 's'}`, () => {
    it('finishes a running upload, ends a feed, accepts nothing new, and exits with 0', () =>
      withProgram({ COUCHGATE_WORKERS: workers }, async (program, owner) => {
        const feed = await openFeed(owner);
        const upload = await beginUpload(owner);
        const stored = once(upload, 'response') as Promise<[IncomingMessage]>;
        program.child.kill('SIGTERM');
        // Its lines are whole, so that its end lacks nothing: it ends like any other answer.
        assert.doesNotMatch(await text(feed), /[^\n]$/u);
        await until(() => isRefused(owner), 'new connections are refused');
        upload.end('-then');
        const [res] = await stored;
        assert.equal(res.statusCode, 201);
        assert.equal(await program.ended, 0);
      }));

    it(
      'ends the same way when every process gets the signal, as from systemd',
      { skip: workers === '1' },
      () =>
        withProgram({ COUCHGATE_WORKERS: workers }, async (program, owner) => {
          const pid = String(program.child.pid);
          // The compiler that tsx may have started is a child too.
          const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
            .trim()
            .split(' ')
            .filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('main.'));
          assert.equal(children.length, 2);
          const upload = await beginUpload(owner);
          const stored = once(upload, 'response') as Promise<[IncomingMessage]>;
          for (const each of [pid, ...children]) process.kill(Number(each), 'SIGTERM');
          await until(() => isRefused(owner), 'new connections are refused');
          upload.end('-then');
          const [res] = await stored;
          assert.equal(res.statusCode, 201);
          assert.equal(await program.ended, 0);
        }),
    );

    // One process shows the rest: the workers' part of it is workers.test.ts's.
    if (workers !== '1') return;

    it('says first that it is going, and goes later – GET /_up', () =>
      withProgram(
        { COUCHGATE_WORKERS: workers, COUCHGATE_DRAIN_DELAY_SECONDS: '2' },
        async (program, owner) => {
          assert.equal(await ask(owner, 'GET', '/_up'), 200);
          program.child.kill('SIGTERM');
          await until(
            async () => (await ask(owner, 'GET', '/_up')) !== 200,
            '_up says no while connections are taken',
          );
          assert.equal(await ask(owner, 'GET', '/docs'), 200, 'and requests are still answered');
          assert.equal(await program.ended, 0);
        },
      ));

    it('cuts what does not come to an end', () =>
      withProgram(
        { COUCHGATE_WORKERS: workers, COUCHGATE_DRAIN_TIMEOUT_SECONDS: '1' },
        async (program, owner) => {
          const upload = await beginUpload(owner);
          const failed = once(upload, 'error');
          program.child.kill('SIGTERM');
          await failed;
          assert.equal(await program.ended, 0);
        },
      ));
  });
}
