// H13: one name space. A name is a key's or a user's, never both, and the name of a revoked key is nobody's any more.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isOneself, requireMayAsk } from '../../src/answer/asked-database.ts';
import { databaseListHandlers } from '../../src/answer/database-lists.ts';
import { decide } from '../../src/authorize/decide.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { Context } from '../../src/context.ts';
import { createKeyStore, type RunningKeyStore } from '../../src/identity/key-store.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { refuseRevoked } from '../../src/permissions/permission-change.ts';
import { roleSources } from '../../src/permissions/role-sources.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { testBodies } from '../support/bodies.ts';
import { NO_OTHER_GRANTS } from '../support/prefix-grants.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testSettings } from '../support/settings.ts';

const order = { label: null, expiresAt: null, by: 'admin' };

describe('the name of an API key (H13)', () => {
  let store: MemoryStore;
  let keys: RunningKeyStore;
  let taken: (name: string) => boolean;
  let asked: string[];

  beforeEach(() => {
    store = new MemoryStore();
    taken = () => false;
    asked = [];
    keys = createKeyStore({
      store,
      couch: {
        ask({ method, path }) {
          asked.push(`${method} ${path}`);
          return Promise.resolve({ status: taken(path.slice(-24)) ? 200 : 404, body: undefined });
        },
        follow: () => ({ close: () => undefined }),
      },
      bus: { onMessage: () => undefined, deliver: () => undefined, publish: () => Promise.resolve() },
      fallbackCacheSeconds: 2,
      outageCacheSeconds: 60,
      keyCacheEntries: 100_000,
      now: Date.now,
    });
    store.start();
  });
  afterEach(() => keys.close());

  it('is never one that a user has', async () => {
    const users: string[] = [];
    taken = (name) => users.length < 3 && users.push(name) > 0;
    const { key } = await keys.create(order);
    assert.equal(users.length, 3);
    assert.equal(users.includes(key), false);
    assert.equal(asked.at(-1), `HEAD /_users/org.couchdb.user%3A${key}`);
    for (const name of users) assert.equal(await keys.isKeyName(name), false);
  });

  it('stays taken when the key is revoked: its grants go to nobody', async () => {
    const { key, password } = await keys.create(order);
    await keys.revoke(key, 'admin');
    assert.equal(await keys.isKeyName(key), true);
    // Not `notAKey`: that would hand the name on to the users of CouchDB.
    assert.deepEqual(await keys.verify(key, password), { outcome: 'wrong' });
    assert.deepEqual(await keys.verify(key, 'the password of a user with that name'), { outcome: 'wrong' });
  });

  it('stays taken when its document is gone and its revocation is there', async () => {
    const { key, password } = await keys.create(order);
    await keys.revoke(key, 'admin');
    store.documents.delete(`key:${key}`);
    store.deliver(`key:${key}`);
    assert.equal(await keys.isKeyName(key), true);
    assert.deepEqual(await keys.verify(key, password), { outcome: 'wrong' });
  });

  it('is no key when it is not written as one, whatever it is', async () => {
    const { key, password } = await keys.create(order);
    for (const name of [
      '',
      'nobody',
      'admin',
      `${key} `,
      key.toUpperCase(),
      `${key}\u0000`,
      `${key}a`,
      `key:${key}`,
      '__proto__',
      'constructor',
    ]) {
      assert.deepEqual(keys.verify(name, password), { outcome: 'notAKey' }, name);
      assert.equal(keys.isKeyName(name), false, name);
      assert.equal(keys.holds(name, 'x'), false, name);
    }
  });
});

describe('credentials of the name nobody (H13)', () => {
  const held = roleSet(['_security', '_reader']);
  const permissions: DatabasePermissions = {
    ...{ database: 'db', couchdbAuthOnly: false, marked: true },
    grants: new Map([['nobody', held]]),
  };
  const index = {
    ...{ isLoaded: true, size: 1, databasesOf: () => new Map([['db', held]]), rolesOn: () => held },
    ...{ grantsOf: () => undefined, couchdbAuthOnly: () => new Set<string>(), isDeleted: () => false },
    couchdbMembersOf: () => undefined,
  };
  const common = { index, reservedDatabases: [], isStillPermitted: () => true };
  const classify = createClassify(testSettings());

  function contextOf(line: string, principal: Principal): Context {
    const [method = '', path = ''] = line.split(' ');
    const context = new Context();
    context.target = parseTarget(path, { maxUrlBytes: 4096 });
    context.operation = classify(method, context.target, undefined);
    context.identified = { principal, method: 'basic' };
    context.client = { ip: '192.0.2.1', port: 1, secure: true, schemeKnown: false, mayAdminister: true };
    return context;
  }
  function allows(line: string, principal: Principal): boolean {
    const { operation } = contextOf(line, principal);
    return operation !== undefined && decide(principal, operation, permissions, undefined).allow;
  }
  async function listed(principal: Principal): Promise<unknown> {
    const filtered: (readonly string[])[] = [];
    const handlers = databaseListHandlers({
      ...{ ...common, ...NO_OTHER_GRANTS, bodies: testBodies() },
      couch: { ask: () => Promise.reject(new Error('not asked')) },
      existing: {
        filter: (names) => Promise.resolve((filtered.push(names), names)),
        withPrefix: () => Promise.resolve([]),
      },
    });
    const context = contextOf('GET /_all_dbs', principal);
    const { endpoint } = context.operation ?? assert.fail();
    context.decision = {
      ...{ allow: true, endpoint, privilege: 'none', identity: 'marker', roles: 0, rule: 'signed in' },
    };
    const res = { req: { method: 'GET' }, writeHead: () => undefined, end: () => undefined };
    await handlers['all-dbs']({} as never, res as never, context);
    return filtered.flat();
  }
  const mayAsk = (principal: Principal) =>
    requireMayAsk({ ...common, ...NO_OTHER_GRANTS }, contextOf('GET /_api/v2/access', principal), 'db');
  const namesakes: readonly Principal[] = [
    { kind: 'user', name: 'nobody', roles: [] },
    { kind: 'key', name: 'nobody' },
  ];

  for (const principal of namesakes)
    it(`have nothing of the entry for callers without credentials – a ${principal.kind}`, async () => {
      assert.equal(allows('GET /db/doc', principal), false);
      assert.throws(() => refuseRevoked(principal, permissions, 0), { status: 403 });
      assert.deepEqual(roleSources(principal, 'db', permissions, { grantsOf: () => [] }), []);
      await assert.rejects(mayAsk(principal), { status: 403 });
      assert.equal(isOneself(principal, 'nobody'), false);
      assert.deepEqual(await listed(principal), []);
    });

  it('callers without credentials have it', async () => {
    assert.equal(allows('GET /db/doc', NOBODY), true);
    refuseRevoked(NOBODY, permissions, 0);
    assert.equal(roleSources(NOBODY, 'db', permissions, { grantsOf: () => [] }).length, 1);
    assert.deepEqual(await listed(NOBODY), ['db']);
  });
});
