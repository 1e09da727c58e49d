// The cache of permissions: what fills it, what empties it, and that an older copy never undoes a revocation.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Couch, type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { NotFound, PreconditionFailed, Unavailable } from '../../src/http-errors.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { type Caller, NOBODY, type Principal } from '../../src/principal/principal.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { storedForm } from '../../src/permissions/security-document.ts';
import { EMPTY_REQUEST, parseSecurityPut } from '../../src/permissions/security-request.ts';
import {
  createPermissionStore,
  type PermissionStoreOptions,
} from '../../src/permissions/cached-permission-store.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { ADMIN_ONLY, SimulatedCluster } from '../support/simulated-cluster.ts';
import { until } from '../support/until.ts';
import { NO_PREFIX_GRANTS } from '../support/prefix-grants.ts';

const READER = { cloudant: { alice: ['_reader'] } };
const nobody: Caller = { principal: NOBODY, ip: '2001:db8::1' };
const alice: Caller = { principal: { kind: 'key', name: 'alice' }, ip: '2001:db8::1' };
const stored = (body: Record<string, unknown>, stamp: number) =>
  storedForm(parseSecurityPut(body), 'db', { stamp });

function open(options: Partial<PermissionStoreOptions> = {}) {
  const clock = { time: 1_000_000 };
  const asked: CouchRequest[] = [];
  const records = new SimulatedCluster({ copies: 1 });
  const state = {
    document: stored(READER, 1) as unknown,
    start: '1',
    up: true,
    answer: undefined as CouchAnswer | Error | undefined,
    failsPut: undefined as Error | undefined,
  };
  const couch: Pick<Couch, 'ask'> = {
    ask: (request) => {
      if (request.path.startsWith('/couchgate')) return records.ask(request);
      if (request.path === '/db' && request.method === 'GET' && state.answer === undefined)
        return Promise.resolve({ status: 200, body: { instance_start_time: state.start } });
      asked.push(request);
      if (state.answer instanceof Error) return Promise.reject(state.answer);
      if (state.answer !== undefined) return Promise.resolve(state.answer);
      if (request.method === 'GET') return Promise.resolve({ status: 200, body: state.document });
      if (state.failsPut !== undefined) return Promise.reject(state.failsPut);
      state.document = request.body;
      return Promise.resolve({ status: 200, body: { ok: true } });
    },
  };
  const listeners: ((invalidation: BusMessage) => void)[] = [];
  const published: BusMessage[] = [];
  const store = createPermissionStore({
    prefixGrants: NO_PREFIX_GRANTS,
    couch,
    bus: {
      publish: (invalidation) => {
        published.push(invalidation);
        for (const listener of listeners) listener(invalidation);
        return Promise.resolve();
      },
      onMessage: (listener) => void listeners.push(listener),
      get up() {
        return state.up;
      },
      get upUntil() {
        return state.up ? Infinity : -Infinity;
      },
    },
    store: { up: true },
    storeDatabase: 'couchgate',
    nodeUrls: ['http://node1:5984'],
    hasMajority: () => true,
    report: () => undefined,
    securityCacheSeconds: 300,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 60,
    now: () => clock.time,
    ...options,
  });
  const invalidate = (database: string): void =>
    listeners.forEach((listen) => listen({ kind: 'permissions', database }));
  return { store, clock, asked, state, published, invalidate, records };
}

const names = (permissions: DatabasePermissions | undefined): readonly string[] => [
  ...(permissions?.grants.keys() ?? []),
];

describe('the permissions of a database', () => {
  it('are cached after a read until an invalidation or their cache time', async () => {
    const { store, clock, asked, invalidate } = open();
    assert.deepEqual(names(await store.permissionsOf('db')), ['alice']);
    clock.time += 299_999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise), 'must not be a Promise');
    invalidate('other');
    assert.ok(!(store.permissionsOf('db') instanceof Promise), 'must not be a Promise');
    invalidate('db');
    assert.ok(store.permissionsOf('db') instanceof Promise, 'must be a Promise');
    assert.equal(asked.length, 2);
  });

  it('are cached only briefly while the bus is down', async () => {
    const { store, clock, state } = open();
    await store.permissionsOf('db');
    state.up = false;
    clock.time += 1999;
    assert.ok(!(store.permissionsOf('db') instanceof Promise), 'must not be a Promise');
    clock.time += 1;
    assert.ok(store.permissionsOf('db') instanceof Promise, 'must be a Promise');
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
      ['nobody: 2001:db8:0:0', 'alice'],
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
    assert.ok(!(store.permissionsOf('db') instanceof Promise), 'must not be a Promise');
    clock.time += 1;
    const again = store.permissionsOf('db');
    assert.ok(again instanceof Promise, 'must be a Promise');
    await again;
    clock.time += 10_000;
    await store.permissionsOf('db');
    clock.time += 299_000;
    assert.ok(!(store.permissionsOf('db') instanceof Promise), 'must not be a Promise');
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

const owner: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };
const put = (body: Record<string, unknown>) => () => parseSecurityPut(body);
const api = { via: 'api', standing: undefined } as const;

describe('a change of permissions', () => {
  it('decides afterwards, whatever CouchDB still answers, and is published', async () => {
    const { store, asked, published, state } = open();
    const change = await store.change('db', owner, put({ cloudant: {} }), api);
    assert.deepEqual([names(change.before), names(change.after), change.revision], [['alice'], [], 1]);
    state.document = stored(READER, 1);
    const now = store.permissionsOf('db');
    assert.ok(!(now instanceof Promise), 'must not be a Promise');
    assert.deepEqual(names(now), []);
    assert.deepEqual(published, [
      { kind: 'permissions', database: 'db', isInFeed: true },
      { kind: 'permissions', database: 'db' },
    ]);
    assert.deepEqual(
      asked.map(({ method }) => method),
      ['GET', 'PUT'],
    );
  });

  it('stays in force if an older object is read after its cache time', async () => {
    const { store, state, invalidate } = open();
    await store.change('db', owner, put({ cloudant: {} }), api);
    state.document = stored(READER, 1);
    invalidate('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    assert.equal((await store.inForce('db'))?.revision, 1);
  });

  it('has a higher stamp than the replaced object, even if the clock went back', async () => {
    const { store, asked, state } = open();
    state.document = stored(READER, 9_000_000);
    await store.change('db', owner, put({ cloudant: {} }), api);
    await store.change('db', owner, put({}), api);
    const stamps = asked.flatMap(({ body }) =>
      body === undefined ? [] : [(body as { couchgate: { stamp: number } }).couchgate.stamp],
    );
    assert.deepEqual(stamps, [9_000_001, 9_000_002]);
  });

  it('drops the cache and publishes if CouchDB may have applied it in part, and what both grant is in force', async () => {
    const { store, state, published } = open();
    await store.permissionsOf('db');
    state.failsPut = new Unavailable('no majority');
    await assert.rejects(
      store.change('db', owner, put({ cloudant: { bob: ['_reader'] } }), api),
      Unavailable,
    );
    assert.equal(published.length, 1);
    const again = store.permissionsOf('db');
    assert.ok(again instanceof Promise, 'must be a Promise');
    assert.deepEqual(names(await again), []);
  });

  it('is 404 for a missing database', async () => {
    const { store, state } = open();
    state.answer = { status: 404, body: {} };
    await assert.rejects(store.change('db', owner, put({}), api), NotFound);
  });

  it('is refused if its condition names another state – 412 with the revision – nothing is written', async () => {
    const { store, asked } = open();
    const first = await store.change('db', owner, put(READER), api);
    const name = `${first.generation}.${first.revision}`;
    await store.change('db', owner, put({ cloudant: {} }), { ...api, ifMatch: [name] });
    const before = asked.length;
    await assert.rejects(
      store.change('db', owner, put(READER), { ...api, ifMatch: [name] }),
      (error) => error instanceof PreconditionFailed && (error.body as { revision?: number }).revision === 2,
    );
    assert.deepEqual(
      asked.slice(before).map(({ method }) => method),
      ['GET'],
    );
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    await store.change('db', owner, put(READER), { ...api, ifMatch: 'any' });
  });

  it('is refused while less than a majority of the store is up – 503', async () => {
    const { store, asked } = open({ hasMajority: () => false });
    await assert.rejects(store.change('db', owner, put(READER), api), Unavailable);
    assert.equal(asked.length, 0);
  });

  it('is reported to its listeners, and a failure of one changes nothing', async () => {
    const { store } = open();
    const heard: unknown[] = [];
    store.onAcknowledged(() => Promise.reject(new Error('full')));
    store.onAcknowledged(({ by, via, reason, requestId, revision, before, after }) => {
      heard.push([by, via, reason, requestId, revision, names(before), names(after)]);
    });
    await store.change('db', owner, put({ cloudant: { bob: ['_reader'] } }), {
      ...{ ...api, reason: 'because', requestId: 'r1' },
    });
    assert.deepEqual(heard, [['admin', 'api', 'because', 'r1', 1, ['alice'], ['bob']]]);
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
    assert.equal(order.indexOf('first ends') < order.indexOf('second begins'), true);
    assert.equal(order.indexOf('other begins') < order.indexOf('first ends'), true);
  });

  it('keeps no reader out while others wait for its end', { timeout: 30_000 }, async () => {
    let begun = false;
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const step = (name: string): Promise<void> => {
      begun ||= name === 'mirror';
      return name === 'mirror' ? finished : Promise.resolve();
    };
    const { store, asked } = open({ step });
    const changing = store.change('db', owner, () => EMPTY_REQUEST, { via: 'api', standing: undefined });
    await until(() => begun);
    const before = asked.length;
    let ended = 0;
    const waiting = [1, 2, 3].map(() => store.inForce('db', alice).finally(() => (ended += 1)));
    await until(() => asked.length >= before + 3);
    assert.notEqual(await store.peek('other', alice), undefined);
    assert.equal(ended, 0);
    finish();
    await changing;
    assert.deepEqual(
      (await Promise.all(waiting)).map((found) => found?.permissions.grants.size),
      [0, 0, 0],
    );
  });

  it('lets the owner and Couchgate go before callers that wait, each in the order of arrival', async () => {
    const { store } = open();
    const order: string[] = [];
    const work = (name: string) => (): Promise<void> => {
      order.push(name);
      return new Promise((resolve) => setImmediate(resolve));
    };
    const key: Principal = { kind: 'key', name: 'k' };
    await Promise.all([
      store.runExclusive('db', work('running'), key),
      store.runExclusive('db', work('key 1'), key),
      store.runExclusive('db', work('key 2'), key),
      store.runExclusive('db', work('owner 1'), owner),
      store.runExclusive('db', work('Couchgate')),
      store.runExclusive('db', work('owner 2'), owner),
    ]);
    assert.deepEqual(order, ['running', 'owner 1', 'Couchgate', 'owner 2', 'key 1', 'key 2']);
  });

  it("refuses the 17th work that is not the owner's, whatever it is – 503", async () => {
    const { store } = open();
    const key: Principal = { kind: 'key', name: 'k' };
    let finish = (): void => undefined;
    const held = new Promise<void>((resolve) => (finish = resolve));
    const works = Array.from({ length: 16 }, () => store.runExclusive('db', () => held, key));
    await assert.rejects(
      store.runExclusive('db', () => held, key),
      Unavailable,
    );
    works.push(store.runExclusive('db', () => held, owner));
    finish();
    await Promise.all(works);
  });
});

describe('a database that was deleted and made again', () => {
  it('keeps none of its grants, and its revision goes on in another generation', async () => {
    const { store, state } = open();
    const before = await store.change('db', owner, put(READER), api);
    await store.recordDeletion('db', owner, 'r1', () => Promise.resolve({ result: 1, isDeleted: true }));
    state.document = ADMIN_ONLY;
    state.start = '2';
    await store.recordCreation('db', owner, 'r2');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    const after = await store.change('db', owner, put(READER), api);
    assert.notEqual(after.generation, before.generation);
    assert.ok(after.revision > before.revision, `${after.revision} > ${before.revision}`);
    assert.deepEqual(names(after.before), []);
  });

  it('keeps none of its grants if that happened past Couchgate', async () => {
    const { store, state, invalidate } = open();
    const before = await store.change('db', owner, put(READER), api);
    state.document = ADMIN_ONLY;
    state.start = '2';
    invalidate('db');
    assert.deepEqual(names(await store.permissionsOf('db')), []);
    const name = `${before.generation}.${before.revision}`;
    await assert.rejects(
      store.change('db', owner, put(READER), { ...api, ifMatch: [name] }),
      PreconditionFailed,
    );
    const after = await store.change('db', owner, put({ cloudant: { bob: ['_reader'] } }), api);
    assert.deepEqual([names(after.before), names(after.after)], [[], ['bob']]);
  });

  it('gets markers at once if its default object does not close it', async () => {
    const { store, state, asked } = open();
    state.document = {};
    await store.recordCreation('db', owner, 'r1');
    const written = asked.find(({ method }) => method === 'PUT')?.body as { readonly members?: unknown };
    assert.deepEqual(written.members, { names: [], roles: [markersOf('db').member] });
  });

  it('gets nothing but a record if it is closed', async () => {
    const { store, state, asked } = open();
    state.document = ADMIN_ONLY;
    await store.recordCreation('db', owner, 'r1');
    assert.deepEqual(
      asked.map(({ method, path }) => `${method} ${path}`),
      ['GET /db/_security'],
    );
    assert.deepEqual(store.index.grantsOf('db'), []);
  });
});

describe('a database that CouchDB made, and that a pattern of `adopt` matches', () => {
  const PERUSER = { members: { names: ['ann'], roles: [] }, admins: { names: ['ann'], roles: [] } };

  it('is left to CouchDB from its first use on, and has a record', async () => {
    const { store, state } = open({ adopt: ['d*'] });
    state.document = PERUSER;
    assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, true);
    const { members, admins, couchdb_auth_only: authOnly } = state.document as Record<string, unknown>;
    assert.deepEqual([members, admins, authOnly], [PERUSER.members, PERUSER.admins, true]);
    assert.deepEqual([...store.index.couchdbAuthOnly()], ['db']);
    assert.deepEqual((await store.inForce('db'))?.revision, 1);
  });

  const rows: readonly [string, readonly string[], object][] = [
    ['if no pattern matches', ['x*', 'd'], PERUSER],
    ['while it has no members: it would be public', ['d*'], {}],
    ["while it has CouchDB's default", ['d*'], ADMIN_ONLY],
    ['if Couchgate wrote its object', ['d*'], stored({ cloudant: {} }, 1)],
    ['if roles are granted', ['d*'], { ...PERUSER, cloudant: { ann: ['_reader'] } }],
    ['if its delegation was switched off', ['d*'], { ...PERUSER, couchdb_auth_only: false }],
  ];
  for (const [title, adopt, document] of rows)
    it(`is not adopted ${title}`, async () => {
      const { store, state, asked } = open({ adopt });
      state.document = document;
      assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, false);
      assert.equal(
        asked.every(({ method }) => method === 'GET'),
        true,
      );
    });

  it('is not adopted if it has a record: Couchgate made it', async () => {
    const { store, state, invalidate } = open({ adopt: ['d*'] });
    state.document = ADMIN_ONLY;
    await store.recordCreation('db', owner, 'r1');
    state.document = PERUSER;
    invalidate('db');
    assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, false);
  });

  it('is not adopted if it is too large: that is said once, and nothing more is asked for it', async () => {
    const reports: object[] = [];
    const report = (_: string, fields: object): void => void reports.push(fields);
    const { store, state, asked, clock } = open({ adopt: ['d*'], report });
    const more = 'x'.repeat(65_536);
    state.document = { ...PERUSER, more };
    for (let read = 1; read <= 3; read += 1) {
      assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, false);
      assert.equal(asked.length, read);
      clock.time += 500;
    }
    state.document = { members: { names: Array.from({ length: 33 }, () => more) } };
    assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, false);
    assert.deepEqual(
      reports.map((fields) => /at most \d+ bytes/u.exec(JSON.stringify(fields))?.[0]),
      ['at most 65536 bytes', 'at most 2097152 bytes'],
    );
    assert.equal(asked.length, 4);
    clock.time += 500;
    state.document = PERUSER;
    assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, true);
  });

  it('is adopted as soon as it has members', async () => {
    const { store, state, clock } = open({ adopt: ['d*'] });
    state.document = ADMIN_ONLY;
    await store.permissionsOf('db', alice);
    state.document = PERUSER;
    clock.time += 500;
    assert.equal((await store.permissionsOf('db', alice))?.couchdbAuthOnly, true);
  });
});
