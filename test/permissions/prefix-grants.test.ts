// The index of prefix grants: longest prefix first, unions, what is known while the feed of the store is down, and
// documents that cannot be trusted.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { kindOfName } from '../../src/catalogue/database-name.ts';
import { type StoredDocument } from '../../src/couch/store.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { PREFIX_GRANT, PrefixGrants } from '../../src/permissions/prefix-grants.ts';
import { roleSourcesByName, roleSources } from '../../src/permissions/role-sources.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';

const KEY: Principal = { kind: 'key', name: 'k' };
const BY = { by: 'admin', at: '2026-01-01T00:00:00.000Z' };
const rules = {
  isOrdinary: (database: string) => kindOfName(database) === 'ordinary',
  ownDatabases: ['couchgate', 'couchgate_history'],
  adopt: [],
};

function localBus() {
  const listeners: ((item: BusMessage) => void)[] = [];
  const delivered: BusMessage[] = [];
  const deliver = (item: BusMessage): void => {
    delivered.push(item);
    for (const listener of listeners) listener(item);
  };
  return {
    delivered,
    deliver,
    onMessage: (listener: (item: BusMessage) => void) => listeners.push(listener),
    publish(item: BusMessage) {
      deliver(item);
      return Promise.resolve();
    },
  };
}

describe('prefix grants in memory', () => {
  const open: PrefixGrants[] = [];
  afterEach(() => {
    for (const grants of open.splice(0)) grants.close();
  });

  function grantsOver(store: MemoryStore, now: () => number = Date.now) {
    const bus = localBus();
    const times = { fallbackCacheSeconds: 2, outageCacheSeconds: 60 };
    const reports: string[] = [];
    const report = (message: string): void => void reports.push(message);
    const grants = new PrefixGrants({ store, bus, rules, ...times, report, now });
    open.push(grants);
    return { grants, bus, reports };
  }

  const documentOf = (id: string, fields: object): StoredDocument => ({
    _id: PREFIX_GRANT + id,
    principal: 'k',
    create: false,
    delete: false,
    ...fields,
  });

  const put = (grants: PrefixGrants, id: string, databases: string, roles: string[], more: object = {}) =>
    grants.documents.put(id, {
      principal: 'k',
      databases,
      roles,
      create: false,
      delete: false,
      ...more,
      ...BY,
    });

  it('unites what every matching prefix gives, and nothing of others', async () => {
    const store = new MemoryStore();
    const { grants } = grantsOver(store);
    store.start();
    await until(() => grants.isKnown);
    await put(grants, 'a', 'user*', ['_reader']);
    await put(grants, 'b', 'userdb-*', ['_writer'], { create: true });
    await put(grants, 'c', 'userdb-x*', ['_design'], { delete: true });
    await put(grants, 'd', 'userdb-x*', ['_replicator']);
    await put(grants, 'e', 'userdb-*', ['_shards'], { principal: 'other' });
    const at = (database: string) => grants.accessOf(KEY, database);
    assert.deepEqual(at('user'), { roles: roleSet(['_reader']), mayCreate: false, mayDelete: false });
    assert.deepEqual(at('userdb-y'), {
      roles: roleSet(['_reader', '_writer']),
      mayCreate: true,
      mayDelete: false,
    });
    const all = roleSet(['_reader', '_writer', '_design', '_replicator']);
    assert.deepEqual(at('userdb-x1'), { roles: all, mayCreate: true, mayDelete: true });
    assert.equal(at('use')?.roles, 0);
    assert.equal(grants.accessOf({ kind: 'nobody', name: 'nobody' }, 'userdb-x')?.roles, 0);
    assert.equal(grants.accessOf({ kind: 'user', name: 'nobody', roles: [] }, 'userdb-x')?.roles, 0);
    const permissions = {
      database: 'userdb-x1',
      grants: new Map([['k', roleSet(['_shards'])]]),
      couchdbAuthOnly: false,
      marked: true,
    };
    const sources = roleSources(KEY, 'userdb-x1', permissions, grants);
    assert.deepEqual(
      sources.map((source) => [source.from, source.from === 'prefix grant' ? source.grant.id : '']),
      [
        ['_security', ''],
        ['prefix grant', 'a'],
        ['prefix grant', 'b'],
        ['prefix grant', 'c'],
        ['prefix grant', 'd'],
      ],
    );
    assert.deepEqual([...roleSourcesByName('userdb-x1', permissions, grants).keys()], ['k', 'other']);
    const leftToCouchdb = { ...permissions, couchdbAuthOnly: true };
    assert.equal(roleSources(KEY, 'userdb-x1', leftToCouchdb, grants).length, 1);
  });

  it('are unknown until they were read, and once CouchDB is away for too long', async () => {
    const store = new MemoryStore();
    store.putSilently(documentOf('a', { databases: 'userdb-*', roles: ['_reader'], ...BY }));
    let now = 1_000_000;
    const { grants } = grantsOver(store, () => now);
    assert.equal(grants.accessOf(KEY, 'userdb-x'), undefined);
    store.start();
    await until(() => grants.isKnown);
    assert.equal(grants.accessOf(KEY, 'userdb-x')?.roles, roleSet(['_reader']));
    store.away = true;
    store.setUp(false);
    now += 61_000;
    assert.equal(grants.accessOf(KEY, 'userdb-x')?.roles, roleSet(['_reader']));
    now += 2000;
    assert.equal(grants.accessOf(KEY, 'userdb-x'), undefined);
  });

  it('are read again while the feed is down, so a revocation elsewhere counts', async () => {
    const store = new MemoryStore();
    const { grants, bus } = grantsOver(store);
    store.start();
    await until(() => grants.isKnown);
    await put(grants, 'a', 'userdb-*', ['_reader']);
    store.setUp(false);
    const held = store.documents.get(`${PREFIX_GRANT}a`);
    assert.ok(held !== undefined, 'held is missing');
    store.putSilently({ _id: held._id, revoked: true, ...BY });
    await until(() => grants.accessOf(KEY, 'userdb-x')?.roles === 0);
    assert.equal(
      bus.delivered.some((item) => item.kind === 'grant' && item.document['revoked'] === true),
      true,
    );
  });

  it('grant nothing with several leaves, with a field of no grant, and with roles that were not confirmed', async () => {
    const store = new MemoryStore();
    const { grants, reports } = grantsOver(store);
    const both = { databases: 'userdb-*', roles: ['_reader'], ...BY };
    store.putSilently(documentOf('conflict', { ...both, _conflicts: ['1-a'] }));
    store.putSilently(documentOf('admin', { ...both, roles: ['_admin'] }));
    store.putSilently(documentOf('store', { ...both, databases: 'couch*' }));
    store.putSilently(documentOf('nobody', { ...both, principal: 'nobody' }));
    store.start();
    await until(() => grants.isKnown);
    assert.deepEqual(grants.all, []);
    assert.equal(grants.accessOf(KEY, 'userdb-x')?.roles, 0);
    assert.equal(
      reports.some((message) => message.startsWith('concurrent changes')),
      true,
    );
    assert.equal(grants.describeAll().length, 3, 'the owner sees why');
    await put(grants, 'conflict', 'userdb-*', ['_reader']);
    assert.equal(
      grants.accessOf(KEY, 'userdb-x')?.roles,
      roleSet(['_reader']),
      'written again, it is in force',
    );
  });

  it('are not confirmed by less than a quorum', async () => {
    const store = new MemoryStore();
    const { grants } = grantsOver(store);
    store.start();
    await until(() => grants.isKnown);
    store.quorum = false;
    store.muted = true;
    await assert.rejects(put(grants, 'a', 'userdb-*', ['_reader']), { status: 503 });
  });

  it('report an outage once, and the next one again', async () => {
    const store = new MemoryStore();
    const { grants, reports } = grantsOver(store);
    const outages = (): number => reports.filter((text) => text.startsWith('grants cannot be read')).length;
    const failures = (): number => store.asked.length;
    store.away = true;
    store.start();
    await until(() => failures() >= 3);
    assert.equal(outages(), 1);
    store.away = false;
    await until(() => grants.isKnown);
    store.away = true;
    const before = failures();
    store.setUp(true);
    await until(() => failures() > before + 1);
    assert.equal(outages(), 2);
  });

  it('cannot be put back by a write that was read before the revocation', async () => {
    const store = new MemoryStore();
    const { grants } = grantsOver(store);
    store.start();
    await until(() => grants.isKnown);
    await put(grants, 'a', 'userdb-*', ['_reader']);
    const before = store.documents.get(`${PREFIX_GRANT}a`);
    await grants.documents.revoke('a', BY);
    assert.ok(before !== undefined, 'before is missing');
    assert.deepEqual(await store.write(before), { outcome: 'conflict' });
    assert.equal(grants.accessOf(KEY, 'userdb-x')?.roles, 0);
    assert.equal(await grants.documents.revoke('a', BY), undefined);
  });
});
