// CouchDB with `[chttpd] require_valid_user = true`, as the init script of Obsidian LiveSync sets it: what still works, and what says why not.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Nodes } from '../../src/forward/nodes.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { runSetup } from '../../src/setup/index.ts';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { answerJson, startScriptedNode } from '../support/scripted-node.ts';

const LIMITS = {
  ...{ connectTimeoutMs: 500, idleTimeoutMs: 5000, keepAliveMs: 5000, maxIdle: 4, ca: undefined },
  ...{ connections: 2, queue: 2, feeds: 3, share: 1 },
};

describe('the probe of a node', () => {
  for (const [title, authorization, state] of [
    ['sends our token', 'Bearer good', 'up'],
    ['reports a token that the node rejects', 'Bearer bad', 'down'],
  ] as const)
    it(`${title} – GET /_up – the node is ${state}`, async () => {
      const node = await startScriptedNode((req, res) =>
        answerJson(res, req.headers.authorization === 'Bearer good' ? 200 : 401, {}),
      );
      const reasons: string[] = [];
      const nodes = new Nodes({
        urls: [node.url],
        limits: LIMITS,
        intervalMs: 60_000,
        authorization: () => authorization,
        check: () => (state === 'up' ? Promise.resolve() : Promise.reject(new Error('rejects our token'))),
        onState: (_node, _state, reason) => reasons.push(reason),
      });
      await nodes.start();
      const [report] = nodes.report();
      nodes.stop();
      await node.close();
      assert.equal(report?.state, state);
      if (state === 'down') assert.deepEqual(reasons, ['rejects our token']);
    });
});

describe('require_valid_user = true', { skip: withoutCouchdb, timeout: 120_000 }, () => {
  let cluster: Cluster;
  let couchgate: Couchgate;
  const SETTING = '/_node/_local/_config/chttpd/require_valid_user';

  before(async () => {
    cluster = await startCluster();
    const admin = openAdmin({ url: cluster.urls[0] ?? '', credentials: cluster.owner });
    assert.equal((await admin.ask('PUT', SETTING, 'true')).status, 200);
    couchgate = await startCouchgate({
      backend: {
        ...{ kind: 'couchdb', urls: cluster.urls, owner: cluster.owner, nodes: cluster.nodes },
        ...{ jwtSecretBase64: cluster.jwtSecretBase64, kid: cluster.kid },
        log: () => Promise.resolve(''),
        close: () => Promise.resolve(),
      },
    });
  });
  after(async () => {
    await couchgate.close();
    await cluster.close();
  });

  it('leaves the nodes up and serves everybody with credentials – PUT /fruit/apple – 201', async () => {
    const key = await couchgate.key();
    await couchgate.database('fruit', { [key.name]: ['_reader', '_writer'] });
    assert.equal((await couchgate.ask('PUT', '/fruit/apple', { as: key, body: {} })).status, 201);
    assert.equal((await couchgate.ask('GET', '/fruit/apple', { as: couchgate.owner })).status, 200);
    assert.equal(couchgate.running.readiness().ready, true);
  });

  it('is in the log, with the setting and the command that changes it', () => {
    assert.match(JSON.stringify(couchgate.log.lines), /require_valid_user is true.*npm start -- setup/);
  });

  it('is found and corrected by setup', async () => {
    const data = mkdtempSync(join(tmpdir(), 'couchgate-valid-user-'));
    const lines: string[] = [];
    const { kid, jwtSecretBase64, urls, owner } = cluster;
    const settings = {
      jwtKid: kid,
      jwtSecret: jwtSecretBase64,
      data,
      couchdbCa: '',
      storeDatabase: 'couchgate',
    };
    const code = await runSetup({
      args: [...urls],
      env: { COUCHGATE_ADMIN_PASSWORD: owner.password },
      settings: () => settings,
      print: (line) => lines.push(line),
    });
    rmSync(data, { recursive: true });
    assert.equal(code, 0, lines.join('\n'));
    assert.match(lines.join('\n'), /set \[chttpd\] require_valid_user = false – .*\(H12\)/);
    assert.equal((await couchgate.ask('GET', '/_up')).status, 200);
  });
});
