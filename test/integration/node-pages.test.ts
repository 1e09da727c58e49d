// Pages of a node: the owner may read what only reads, and one and the same node answers for `_local`.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Request, type Response } from 'express';
import { nodeTasksHandlers } from '../../src/answer/node-tasks.ts';
import { Context } from '../../src/context.ts';
import { type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { startForwarding } from '../support/forwarding.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

const OPEN = ['', '/_stats', '/_stats/couchdb/request_time', '/_system', '/_prometheus', '/_active_tasks'];
const OPEN_WITH_VERSIONS = [...OPEN, '/_versions', '/_smoosh/status'];
const CLOSED = [
  ['GET', '/_config'],
  ['GET', '/_config/admins'],
  ['PUT', '/_config/vhosts/x'],
  ['DELETE', '/_config/chttpd_auth/secret'],
  ['POST', '/_config/_reload'],
  ['POST', '/_restart'],
  ['GET', '/_all_dbs'],
  ['GET', '/_dbs/x'],
] as const;

describe('Pages of a node', { skip: withoutCouchdb }, () => {
  let gate: Couchgate;
  let key: Credentials;
  let nodes: readonly string[];
  before(async () => {
    gate = await startCouchgate();
    key = await gate.key();
    const { body } = await gate.ask('GET', '/_node/_local', { as: gate.owner });
    nodes = ['_local', (body as { readonly name: string }).name];
  });
  after(() => gate.close());

  for (const page of OPEN_WITH_VERSIONS) {
    it(`are open to the owner if they only read – GET /_node/{node}${page} – 200`, async () => {
      for (const node of page === '' ? ['_local'] : nodes) {
        const path = `/_node/${node}${page}`;
        assert.equal((await gate.ask('GET', path, { as: gate.owner })).status, 200, path);
        assert.equal((await gate.ask('GET', path, { as: key })).status, 403, path);
        assert.equal((await gate.ask('GET', path)).status, 401, path);
      }
    });
  }

  it('say that there is no such node – GET /_node/x@y/_active_tasks – 404', async () => {
    const path = '/_node/x@y/_active_tasks';
    assert.equal((await gate.ask('GET', path, { as: gate.owner })).status, 404);
  });

  it('list the tasks of that node – GET /_node/{node}/_active_tasks', async () => {
    for (const node of nodes) {
      const { body } = await gate.ask('GET', `/_node/${node}/_active_tasks`, { as: gate.owner });
      assert.deepEqual(body, []);
    }
  });

  for (const [method, page] of CLOSED) {
    it(`are closed to everybody otherwise – ${method} /_node/{node}${page} – 403`, async () => {
      gate.recorder.take();
      for (const node of nodes) {
        const path = `/_node/${node}${page}`;
        const body = method === 'GET' ? {} : { body: 'x' };
        assert.equal((await gate.ask(method, path, { as: gate.owner, ...body })).status, 403, path);
      }
      const reached = gate.recorder.take().filter(({ url }) => url.endsWith(page));
      assert.deepEqual(reached, []);
    });
  }
});

describe('The tasks of one node', () => {
  const task = (node: string, pid: string) => ({ node, pid, type: 'indexer' });
  const TASKS = [task('a@x', '<0.1.0>'), task('b@x', '<0.2.0>'), task('a@x', '<0.3.0>')];
  const asked: CouchRequest[] = [];
  const answers: Readonly<Record<string, unknown>> = {
    '/_active_tasks': TASKS,
    '/_membership': { all_nodes: ['a@x', 'b@x'], cluster_nodes: [] },
    '/_node/_local': { name: 'b@x' },
  };
  const ask = (request: CouchRequest): Promise<CouchAnswer> => {
    asked.push(request);
    return Promise.resolve({ status: 200, body: answers[request.path] });
  };
  const handler = nodeTasksHandlers({ couch: { ask } })['node-active-tasks'];

  const tasksOf = async (node: string): Promise<unknown> => {
    const context = new Context();
    context.target = { segments: ['_node', node, '_active_tasks'], path: '', query: '' };
    let sent = '';
    const res = { req: { method: 'GET' }, writeHead: () => undefined, end: (text: string) => (sent = text) };
    const req: unknown = {};
    await handler(req as Request, res as unknown as Response, context);
    return JSON.parse(sent);
  };

  it('are those that name it – GET /_node/a@x/_active_tasks', async () => {
    assert.deepEqual(await tasksOf('a@x'), [TASKS[0], TASKS[2]]);
    await assert.rejects(tasksOf('c@x'), { status: 404, reason: 'no such node: c@x' });
  });

  it('are of one and the same node for _local – GET /_node/_local/_active_tasks', async () => {
    asked.length = 0;
    assert.deepEqual(await tasksOf('_local'), [TASKS[1]]);
    assert.equal(asked[0]?.inOrder, true);
  });
});

describe('Pages of _local, with three nodes', () => {
  it('come from one and the same node – GET /_node/_local/_stats', async () => {
    const upstreams = await Promise.all(
      ['a', 'b', 'c'].map((name) => startUpstream((_req, res) => res.end(JSON.stringify(name)))),
    );
    const front = await startForwarding({
      upstreams,
      judge: ({ url = '' }) => (url.startsWith('/_node/') ? { path: '/_node/{node}/_stats[/{path*}]' } : {}),
    });
    try {
      const answersTo = async (path: string): Promise<string> => {
        const answers: string[] = [];
        for (let i = 0; i < 6; i += 1) answers.push(await (await fetch(front.url + path)).text());
        return [...new Set(answers)].sort().join('');
      };
      assert.equal(await answersTo('/_node/_local/_stats'), '"a"');
      assert.equal(await answersTo('/db'), '"a""b""c"');
    } finally {
      await front.close();
      await Promise.all(upstreams.map((upstream) => upstream.close()));
    }
  });
});
