// Pins the cache of permissions: what fills it, what empties it, and that an older copy never brings back what was revoked.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Couch, type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { HttpError, NotFound, Unavailable } from '../../src/http-errors.ts';
import { type Invalidation } from '../../src/invalidation/bus.ts';
import { type Caller, NOBODY } from '../../src/principal/principal.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { storedForm } from '../../src/permissions/security-document.ts';
import { parseSecurityPut } from '../../src/permissions/security-request.ts';
import { createSecurityStore } from '../../src/permissions/security-store.ts';

const READER = { cloudant: { alice: ['_reader'] } };
const nobody: Caller = { principal: NOBODY, ip: '2001:db8::1' };
const alice: Caller = { principal: { kind: 'key', name: 'alice' }, ip: '2001:db8::1' };
const stored = (body: Record<string, unknown>, stamp: number) =>
  storedForm(parseSecurityPut(body), 'db', stamp);

function open() {
  const clock = { time: 1_000_000 };
  const asked: CouchRequest[] = [];
  const state = {
    document: stored(READER, 1) as unknown,
    up: true,
    answer: undefined as CouchAnswer | Error | undefined,
  };
  const couch: Pick<Couch, 'ask'> = {
    ask: (request) => {
      asked.push(request);
      if (state.answer instanceof Error) return Promise.reject(state.answer);
      if (state.answer !== undefined) return Promise.resolve(state.answer);
      if (request.method === 'GET') return Promise.resolve({ status: 200, body: state.document });
      return Promise.resolve({ status: 200, body: { ok: true } });
    },
  };
  const listeners: ((bus: Invalidation) => void)[] = [];
  const told: Invalidation[] = [];
  const store = createSecurityStore({
    couch,
    bus: {
      publish: (bus) => {
        told.push(bus);
        for (const listener of listeners) listener(bus);
        return Promise.resolve();
      },
      onInvalidation: (listener) => void listeners.push(listener),
      get up() {
        return state.up;
      },
      get upUntil() {
        return state.up ? Infinity : -Infinity;
      },
    },
    securityCacheSeconds: 300,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    now: () => clock.time,
  });
  const bus = (database: string): void =>
    listeners.forEach((listen) => listen({ kind: 'permissions', database }));
  return { store, clock, asked, state, told, bus };
}

const names = (permissions: DatabasePermissions | undefined): readonly string[] => [
  ...(permissions?.grants.keys() ?? []),
];

describe('the permissions of a database', () => {
  it('are known at once after they were read, until news comes or their time is over', async () => {
    const { store, clock, asked, bus } = open();
    assert.deepEqual(names(await store.permissionsOf('db')), ['alice']);
    clock.time += 299_999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    bus('other');
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    bus('db');
    assert.ok(store.permissionsOf('db') instanceof Promise);
    assert.equal(asked.length, 2);
  });

  it('are kept only briefly while no news arrives', async () => {
    const { store, clock, state } = open();
    await store.permissionsOf('db');
    state.up = false;
    clock.time += 1999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    clock.time += 1;
    assert.ok(store.permissionsOf('db') instanceof Promise);
  });

  it('are not kept for a database that is not there', async () => {
    const { store, state, asked } = open();
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    assert.equal(await store.permissionsOf('db'), undefined);
    assert.equal(await store.permissionsOf('db'), undefined);
    assert.equal(asked.length, 2);
  });

  it('are not asked for again by nobody within a second of not being there, and always by a name', async () => {
    const { store, state, asked, clock } = open();
    const found = state.answer;
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    assert.equal(await store.permissionsOf('db', nobody), undefined);
    clock.time += 999;
    assert.equal(store.permissionsOf('db', nobody), undefined);
    assert.equal(await store.permissionsOf('db', alice), undefined);
    assert.deepEqual(
      asked.map(({ caller }) => caller),
      ['nobody at 2001:db8:0:0', 'alice'],
    );
    clock.time += 1000;
    await store.permissionsOf('db', nobody);
    assert.equal(asked.length, 3);
    state.answer = found;
    assert.deepEqual(names(await store.permissionsOf('db', alice)), ['alice']);
    assert.deepEqual(names(await store.permissionsOf('db', nobody)), ['alice'], 'it was seen by somebody');
  });

  it('are asked for again by nobody soon after a change: not every node of CouchDB knows a new database at once', async () => {
    const { store, state, asked, bus } = open();
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    bus('db');
    await store.permissionsOf('db', nobody);
    await store.permissionsOf('db', nobody);
    assert.equal(asked.length, 2);
  });

  it('are there for nobody at once when news tells of the database, whatever is still being read', async () => {
    const { store, state, bus } = open();
    const found = state.answer;
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    await store.permissionsOf('known', nobody);
    const early = store.permissionsOf('early', nobody);
    for (const database of ['known', 'early']) bus(database);
    state.answer = found;
    assert.deepEqual(names(await early), ['alice']);
    for (const database of ['known', 'early'])
      assert.deepEqual(names(await store.permissionsOf(database, nobody)), ['alice']);
  });

  it('are asked for under the encoded name of the database', async () => {
    const { store, asked } = open();
    await store.permissionsOf('a/b+c');
    assert.equal(asked[0]?.path, '/a%2Fb%2Bc/_security');
  });

  it('read soon after a change are kept only for a moment: they may be an older copy', async () => {
    const { store, clock, bus } = open();
    bus('db');
    await store.permissionsOf('db');
    clock.time += 499;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    clock.time += 1;
    const again = store.permissionsOf('db');
    assert.ok(again instanceof Promise);
    await again;
    clock.time += 10_000;
    await store.permissionsOf('db');
    clock.time += 299_000;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
  });

  it('are never older than those that were seen, though another copy says so', async () => {
    const { store, state, clock, bus } = open();
    state.document = stored({ cloudant: {} }, 5);
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    state.document = stored(READER, 4);
    bus('db');
    assert.deepEqual(
      names(await store.permissionsOf('db')),
      [],
      'an older copy that grants more is not believed',
    );
    await assert.rejects(store.documentOf('db'), Unavailable);
    clock.time += 60_000;
    bus('db');
    assert.deepEqual(
      names(await store.permissionsOf('db')),
      ['alice'],
      'a minute later it is what CouchDB was given',
    );
  });

  it('are believed at once when they close a database, however old the copy is', async () => {
    const { store, state, bus } = open();
    await store.permissionsOf('db');
    state.document = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
    bus('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
  });

  it('are unavailable, not refused, when CouchDB does not know Couchgate', async () => {
    const { store, state } = open();
    state.answer = { status: 401, body: { error: 'unauthorized', reason: 'no' } };
    await assert.rejects(async () => store.permissionsOf('db'), Unavailable);
  });
});

describe('a write of permissions', () => {
  const revoke = parseSecurityPut({ cloudant: {} });

  it('is what decides afterwards, whatever CouchDB still answers, and is told to all', async () => {
    const { store, asked, told, state } = open();
    const before = await store.documentOf('db');
    await store.write('db', before ?? {}, revoke);
    state.document = stored(READER, 1);
    const now = store.permissionsOf('db');
    assert.ok(!(now instanceof Promise));
    assert.deepEqual(names(now), []);
    assert.deepEqual(told, [{ kind: 'permissions', database: 'db' }]);
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['GET', 'PUT'],
    );
  });

  it('is stamped later than what it replaces, though the clock went back', async () => {
    const { store, asked } = open();
    await store.write('db', stored(READER, 9_000_000), revoke);
    await store.write('db', {}, revoke);
    const stamps = asked.map(({ body }) => (body as { couchgate: { stamp: number } }).couchgate.stamp);
    assert.deepEqual(stamps, [9_000_001, 9_000_002]);
  });

  it('drops what was known and tells all when it may have been done in part', async () => {
    const { store, state, told } = open();
    await store.permissionsOf('db');
    state.answer = new Unavailable('no majority');
    await assert.rejects(store.write('db', {}, revoke), Unavailable);
    assert.equal(told.length, 1);
    state.answer = undefined;
    assert.ok(store.permissionsOf('db') instanceof Promise);
  });

  it('hands on what CouchDB finds wrong with it, and a missing database', async () => {
    const { store, state } = open();
    state.answer = { status: 400, body: { error: 'bad_request', reason: 'names must be a JSON list' } };
    await assert.rejects(
      store.write('db', {}, revoke),
      (error) => error instanceof HttpError && error.status === 400,
    );
    state.answer = { status: 404, body: {} };
    await assert.rejects(store.write('db', {}, revoke), NotFound);
  });

  it('waits its turn, database by database, and a failed turn lets the next one in', async () => {
    const { store } = open();
    const order: string[] = [];
    const work =
      (name: string, fails = false) =>
      async (): Promise<void> => {
        order.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`${name} ends`);
        if (fails) throw new Error(name);
      };
    const first = store.alone('db', work('first', true));
    const second = store.alone('db', work('second'));
    const other = store.alone('other', work('other'));
    await assert.rejects(first, /first/);
    await Promise.all([second, other]);
    assert.ok(order.indexOf('first ends') < order.indexOf('second begins'));
    assert.ok(order.indexOf('other begins') < order.indexOf('first ends'));
  });
});

describe('a database that was deleted and made again', () => {
  it('keeps none of its grants', async () => {
    const { store, state } = open();
    await store.write('db', {}, parseSecurityPut(READER));
    state.document = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
    await store.forget('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
  });
});
