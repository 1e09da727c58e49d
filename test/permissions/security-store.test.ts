// The cache of permissions: what fills it, what empties it, and that an older copy never undoes a revocation.
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
  const listeners: ((invalidation: Invalidation) => void)[] = [];
  const published: Invalidation[] = [];
  const store = createSecurityStore({
    couch,
    bus: {
      publish: (invalidation) => {
        published.push(invalidation);
        for (const listener of listeners) listener(invalidation);
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
  const invalidate = (database: string): void =>
    listeners.forEach((listen) => listen({ kind: 'permissions', database }));
  return { store, clock, asked, state, published, invalidate };
}

const names = (permissions: DatabasePermissions | undefined): readonly string[] => [
  ...(permissions?.grants.keys() ?? []),
];

describe('the permissions of a database', () => {
  it('are cached after a read until an invalidation or their cache time', async () => {
    const { store, clock, asked, invalidate } = open();
    assert.deepEqual(names(await store.permissionsOf('db')), ['alice']);
    clock.time += 299_999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    invalidate('other');
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    invalidate('db');
    assert.ok(store.permissionsOf('db') instanceof Promise);
    assert.equal(asked.length, 2);
  });

  it('are cached only briefly while the bus is down', async () => {
    const { store, clock, state } = open();
    await store.permissionsOf('db');
    state.up = false;
    clock.time += 1999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise));
    clock.time += 1;
    assert.ok(store.permissionsOf('db') instanceof Promise);
  });

  it('are not cached for a missing database', async () => {
    const { store, state, asked } = open();
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    assert.equal(await store.permissionsOf('db'), undefined);
    assert.equal(await store.permissionsOf('db'), undefined);
    assert.equal(asked.length, 2);
  });

  it('of a missing database are read once a second for anonymous callers, and every time for named ones', async () => {
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
    assert.deepEqual(
      names(await store.permissionsOf('db', nobody)),
      ['alice'],
      'a read of another caller found it',
    );
  });

  it('of a missing database are read every time soon after a change: some CouchDB nodes may not know the new database yet', async () => {
    const { store, state, asked, invalidate } = open();
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    invalidate('db');
    await store.permissionsOf('db', nobody);
    await store.permissionsOf('db', nobody);
    assert.equal(asked.length, 2);
  });

  it('are read again for anonymous callers after an invalidation, whatever read still runs', async () => {
    const { store, state, invalidate } = open();
    const found = state.answer;
    state.answer = { status: 404, body: { error: 'not_found', reason: 'Database does not exist.' } };
    await store.permissionsOf('known', nobody);
    const early = store.permissionsOf('early', nobody);
    for (const database of ['known', 'early']) invalidate(database);
    state.answer = found;
    assert.deepEqual(names(await early), ['alice']);
    for (const database of ['known', 'early'])
      assert.deepEqual(names(await store.permissionsOf(database, nobody)), ['alice']);
  });

  it('are read under the encoded name of the database', async () => {
    const { store, asked } = open();
    await store.permissionsOf('a/b+c');
    assert.equal(asked[0]?.path, '/a%2Fb%2Bc/_security');
  });

  it('read soon after a change are cached only briefly: they may be an older copy', async () => {
    const { store, clock, invalidate } = open();
    invalidate('db');
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

  it('are never older than those that were read before, if another copy is read', async () => {
    const { store, state, clock, invalidate } = open();
    state.document = stored({ cloudant: {} }, 5);
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    state.document = stored(READER, 4);
    invalidate('db');
    assert.deepEqual(
      names(await store.permissionsOf('db')),
      [],
      'an older copy that grants more is not accepted',
    );
    await assert.rejects(store.documentOf('db'), Unavailable);
    clock.time += 60_000;
    invalidate('db');
    assert.deepEqual(
      names(await store.permissionsOf('db')),
      ['alice'],
      'a minute later the older copy is accepted',
    );
  });

  it('are accepted at once if they grant nothing, however old the copy is', async () => {
    const { store, state, invalidate } = open();
    await store.permissionsOf('db');
    state.document = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
    invalidate('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
  });

  it("are unavailable, not refused, if CouchDB rejects Couchgate's own token", async () => {
    const { store, state } = open();
    state.answer = { status: 401, body: { error: 'unauthorized', reason: 'no' } };
    await assert.rejects(async () => store.permissionsOf('db'), Unavailable);
  });
});

describe('a write of permissions', () => {
  const revoke = parseSecurityPut({ cloudant: {} });

  it('decides afterwards, whatever CouchDB still answers, and is published', async () => {
    const { store, asked, published, state } = open();
    const before = await store.documentOf('db');
    await store.write('db', before ?? {}, revoke);
    state.document = stored(READER, 1);
    const now = store.permissionsOf('db');
    assert.ok(!(now instanceof Promise));
    assert.deepEqual(names(now), []);
    assert.deepEqual(published, [{ kind: 'permissions', database: 'db' }]);
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['GET', 'PUT'],
    );
  });

  it('has a higher version than the replaced object, even if the clock went back', async () => {
    const { store, asked } = open();
    await store.write('db', stored(READER, 9_000_000), revoke);
    await store.write('db', {}, revoke);
    const stamps = asked.map(({ body }) => (body as { couchgate: { stamp: number } }).couchgate.stamp);
    assert.deepEqual(stamps, [9_000_001, 9_000_002]);
  });

  it('drops the cache and publishes if CouchDB may have applied it in part', async () => {
    const { store, state, published } = open();
    await store.permissionsOf('db');
    state.answer = new Unavailable('no majority');
    await assert.rejects(store.write('db', {}, revoke), Unavailable);
    assert.equal(published.length, 1);
    state.answer = undefined;
    assert.ok(store.permissionsOf('db') instanceof Promise);
  });

  it("passes on CouchDB's 400, and 404 for a missing database", async () => {
    const { store, state } = open();
    state.answer = { status: 400, body: { error: 'bad_request', reason: 'names must be a JSON list' } };
    await assert.rejects(
      store.write('db', {}, revoke),
      (error) => error instanceof HttpError && error.status === 400,
    );
    state.answer = { status: 404, body: {} };
    await assert.rejects(store.write('db', {}, revoke), NotFound);
  });

  it('runs one at a time per database, and a failed one lets the next one run', async () => {
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
    const first = store.runExclusive('db', work('first', true));
    const second = store.runExclusive('db', work('second'));
    const other = store.runExclusive('other', work('other'));
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
    await store.discard('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
  });
});
