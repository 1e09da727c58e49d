// API keys on a real cluster whose nodes die: what still works with one node less, and what is refused with two less.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Unavailable } from '../../src/http-errors.ts';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { startReplica, type Replica } from '../support/own-couch.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const order = { label: null, expiresAt: null, by: 'admin' };

describe('API keys on a cluster that loses nodes', { skip: withoutCouchdb }, () => {
  let cluster: Cluster;
  let replica: Replica;

  const started = closedAfterSuite();
  before(async () => {
    cluster = await started(startCluster({ nodes: 3 }));
    replica = await started(startReplica(cluster, { database: 'couchgate' }));
    await until(() => replica.bus.up);
  });

  it('makes, finds and revokes keys with one node less, and follows the change feed of another node', async () => {
    const [first] = cluster.nodes;
    const old = await replica.keys.create(order);
    await first.kill();
    await until(() => !replica.bus.up);
    assert.equal((await replica.keys.verify(old.key, old.password)).outcome, 'accepted');
    await until(() => replica.bus.up);
    const { key, password } = await replica.keys.create(order);
    assert.equal((await replica.keys.verify(key, password)).outcome, 'accepted');
    assert.equal(await replica.keys.revoke(old.key, 'admin'), true);
    assert.equal((await replica.keys.verify(old.key, old.password)).outcome, 'wrong');
  });

  it('hands out no key and no password that one node alone could store – 503', async () => {
    const { key, password } = await replica.keys.create(order);
    const before = (await replica.keys.page('', 1000)).keys.length;
    await cluster.nodes[1]?.kill();
    await assert.rejects(replica.keys.create(order), Unavailable);
    await assert.rejects(replica.keys.rotate(key, 0), Unavailable);
    assert.equal((await replica.keys.verify(key, password)).outcome, 'accepted');
    await Promise.all([cluster.nodes[0].start(), cluster.nodes[1]?.start()]);
    await until(() => replica.bus.up);
    const third = startReplica(cluster, { database: 'couchgate' });
    await until(() => third.bus.up);
    assert.equal((await third.keys.page('', 1000)).keys.length, before);
    const verdict = await third.keys.verify(key, password);
    assert.equal(verdict.outcome === 'accepted' && verdict.until === Infinity, true);
    await third.close();
  });
});
