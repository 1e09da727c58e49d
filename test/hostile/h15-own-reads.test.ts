// Hazard H15: whoever asks for databases that Couchgate does not know, or that are not there, has it read at CouchDB, and needs no name for it.
// Nobody must make others wait by that, nor make a healthy node look ill.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { createCouch, type CouchOptions } from '../../src/couch/client.ts';
import { type CouchAnswer } from '../../src/couch/couch.ts';
import { TooBusy, Unavailable } from '../../src/http-errors.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { type Answer, type Credentials, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { answerJson, startScriptedNode } from '../support/scripted-node.ts';
import { until } from '../support/until.ts';

describe('H15: databases that Couchgate has to read about', () => {
  let gate: Couchgate;
  let key: Credentials;
  before(async () => {
    // One caller may have one of the 32 reads that run, and eleven of the 1024 that wait.
    gate = await startCouchgate({ settings: { couchdbCallerShare: 1 } });
    key = await gate.key();
    await gate.database('known', { [key.name]: ['_reader'], nobody: ['_reader'] });
  });
  after(() => gate.close());
  let open: { release(): void } | undefined;
  afterEach(() => open?.release());

  /** Asks for so many databases that are not there, while CouchDB says nothing of them; the answers that have come stand in `answers`. */
  function flood(prefix: string, times: number, as?: Credentials) {
    const held = (open = gate.recorder.hold(new RegExp(`^/${prefix}\\d+/`)));
    const answers: Answer[] = [];
    const all = Promise.all(
      Array.from({ length: times }, async (_, n) => {
        const answer = await gate.ask('GET', `/${prefix}${n}/x`, { as });
        answers.push(answer);
        return answer.status;
      }),
    );
    return { held, answers, all };
  }

  for (const [who, as, status] of [
    ['nobody', () => undefined, 401],
    ['a key', () => key, 404],
  ] as const)
    it(`refuses ${who} more than a share of the reads, and lets everyone else read, log in and write – GET /qN/x – 503, then ${status}`, async () => {
      const { held, answers, all } = flood(`q${status}n`, 40, as());
      await until(() => answers.length === 28 && held.count === 1);
      for (const { status, headers, body } of answers) {
        assert.equal(status, 503);
        assert.equal(headers.get('retry-after'), '1');
        assert.equal(
          (body as { readonly reason: string }).reason,
          'Too many requests are waiting for CouchDB.',
        );
      }
      const other = as() === undefined ? key : undefined;
      assert.equal((await gate.ask('GET', `/none${status}/x`, { as: other })).status, other ? 404 : 401);
      assert.equal((await gate.ask('GET', '/known/_all_docs', { as: other })).status, 200);
      assert.equal((await gate.ask('POST', '/_session', { body: key })).status, 200);
      assert.equal((await gate.ask('GET', `/none${status}/x`, { as: gate.owner })).status, 404);
      await gate.database(`made${status}`, { [key.name]: ['_reader'] });
      held.release();
      const statuses = await all;
      assert.deepEqual(
        [503, status].map((one) => statuses.filter((other) => other === one).length),
        [28, 12],
        'those that waited are answered in the end',
      );
    });

  it('lets a name see at once what was not there for nobody a moment ago – GET /new/x – 401, 404, then 200 for the owner, 403 for a key', async () => {
    const couchdb = openAdmin({ url: gate.backend.urls[0] ?? '', credentials: gate.owner });
    const statuses = async (): Promise<readonly number[]> => {
      const answers = [
        await gate.ask('GET', '/new/_all_docs'),
        await gate.ask('GET', '/new/_all_docs', { as: key }),
        await gate.ask('GET', '/new/_all_docs', { as: gate.owner }),
      ];
      return answers.map(({ status }) => status);
    };
    assert.deepEqual(await statuses(), [401, 404, 404]);
    await couchdb.ask('PUT', '/new');
    assert.deepEqual(await statuses(), [401, 403, 200]);
    assert.equal((await gate.ask('DELETE', '/new', { as: gate.owner })).status, 200);
    assert.deepEqual(await statuses(), [401, 404, 404]);
    await gate.database('new', { nobody: ['_reader'] });
    assert.deepEqual(await statuses(), [200, 403, 200]);
  });
});

describe("H15: Couchgate's own reads", () => {
  const closers: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** A client before a node that answers no read of `/held`. */
  async function open(reads: CouchOptions['reads'] = {}) {
    const failed: string[] = [];
    const node = await startScriptedNode(({ url }, res) => {
      if (!url.startsWith('/held')) answerJson(res, 200, {});
    });
    const couch = createCouch({
      pickNode: (tried) => (tried.has(node.url) ? undefined : { url: node.url }),
      authorization: () => 'Bearer own',
      nodeFailed: (_url, reason) => failed.push(reason),
      connectTimeoutMs: 500,
      reads,
    });
    closers.push(
      () => node.close(),
      () => couch.close(),
    );
    const ask = (path: string, more: { caller?: string; timeoutMs?: number } = {}): Promise<CouchAnswer> =>
      couch.ask({ method: 'GET', path, ...more });
    const hold = (times: number, caller?: string): void => {
      for (let n = 0; n < times; n += 1)
        void ask('/held', caller === undefined ? {} : { caller }).catch(() => undefined);
    };
    return { node, failed, ask, hold };
  }

  it('never take the connections that logins, keys and invalidations need, however many callers there are', async () => {
    const { node, ask, hold } = await open();
    for (let n = 0; n < 100; n += 1) hold(1, `caller ${n}`);
    await until(() => node.received.length === 32);
    assert.equal((await ask('/_session')).status, 200);
  });

  it('are refused to everybody when the line is full, and taken again when a read is over', async () => {
    const { node, ask, hold } = await open({ atOnce: 2, waiting: 2 });
    const soon = ask('/held', { caller: 'a', timeoutMs: 2000 });
    hold(1, 'b');
    await until(() => node.received.length === 2);
    const waits = [ask('/x', { caller: 'c' }), ask('/x', { caller: 'd' })];
    await assert.rejects(ask('/x', { caller: 'e' }), TooBusy);
    await assert.rejects(soon, Unavailable);
    assert.deepEqual(
      (await Promise.all(waits)).map(({ status }) => status),
      [200, 200],
    );
    assert.equal((await ask('/x', { caller: 'e' })).status, 200);
  });

  it('blame no node for what waited here until its time was over and was never sent', async () => {
    const { node, failed, ask, hold } = await open();
    hold(64);
    await until(() => node.received.length === 64);
    await assert.rejects(
      ask('/late', { timeoutMs: 100 }),
      (error) => error instanceof Unavailable && error.detail?.endsWith('(unsent): timeout') === true,
    );
    assert.deepEqual(failed, []);
  });
});
