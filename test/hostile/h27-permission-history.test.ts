// H27: a rollback must not bring back the grants of an earlier database of the same name, nor open a database by
// surprise. The history itself tells names, so it is as closed as the store.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { idOf } from '../../src/permissions/history-document.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { permissionFront, type PermissionFront, securityPath } from '../support/permission-front.ts';
import { closedAfterSuite } from '../support/started.ts';

/** One change of so many names has more values than a body of a client may have. */
const LARGE = Number(process.env['COUCHGATE_HISTORY_NAMES'] ?? 20_000);

describe('H27: the history of permissions', () => {
  let gate: Couchgate;
  let front: PermissionFront;
  let holder: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    front = permissionFront(gate);
    holder = await gate.key();
  });

  it('does not open a database or make an admin unless told so – POST …/rollback – 409', async () => {
    await gate.database('hist-wide');
    const open = await front.put('hist-wide', { nobody: ['_reader'], boss: ['_admin'] });
    await front.put('hist-wide', {});
    for (const [query, status] of [
      ['', 409],
      ['?allow=public', 409],
      ['?allow=admin', 409],
      ['?allow=everything', 400],
      ['?allow=public,admin', 200],
    ] as const) {
      const answer = await front.rollback('hist-wide', open, { query });
      assert.equal(answer.status, status, query);
      if (status === 409) assert.equal((answer.body as { error: string }).error, 'would_widen');
      if (status !== 200) assert.deepEqual(await front.cloudantOf('hist-wide'), {});
    }
    assert.deepEqual(await front.cloudantOf('hist-wide'), { nobody: ['_reader'], boss: ['_admin'] });
  });

  it('ends with the life of a database, except for the owner – DELETE and PUT /{db}', async () => {
    await gate.database('hist-life', { [holder.name]: ['_security'], secret: ['_reader'] });
    const [old] = await front.historyOf('hist-life');
    assert.equal((await front.asOwner('DELETE', '/hist-life')).status, 200);
    assert.equal(
      (await front.historyOf('hist-life')).some(({ revision }) => revision === old?.revision),
      true,
    );
    assert.equal((await gate.ask('GET', securityPath('hist-life', '/history'), { as: holder })).status, 404);
    await gate.database('hist-life', { [holder.name]: ['_security'] });
    const now = await front.historyOf('hist-life', '', holder);
    assert.equal(now.length > 0 && now.every(({ generation }) => generation !== old?.generation), true);
    const everything = await front.historyOf('hist-life');
    assert.equal(
      everything.some(({ generation }) => generation === old?.generation),
      true,
    );
    const refused = await front.rollback('hist-life', old?.revision);
    assert.equal(refused.status, 404);
    const one = securityPath('hist-life', `/history/${old?.revision ?? 0}`);
    assert.equal((await gate.ask('GET', one, { as: holder })).status, 404);
    assert.equal((await front.asOwner('GET', one)).status, 200);
  });

  it('is closed to every client as a database – GET /couchgate_history – 403', async () => {
    for (const where of [
      '/couchgate_history',
      '/couchgate_history/_all_docs',
      '/couchgate%5Fhistory/_changes',
    ])
      assert.equal((await front.asOwner('GET', where)).status, 403, where);
    const couchdb = openAdmin({ url: gate.backend.urls[0] ?? '', credentials: gate.backend.owner });
    const { body } = await couchdb.ask('GET', '/couchgate_history/_security');
    assert.deepEqual((body as { members: unknown }).members, { names: [], roles: ['_admin'] });
  });

  it('tells the owner, and nobody else, of names that nobody has – PUT _security', async () => {
    await gate.database('hist-names', { [holder.name]: ['_security'] });
    const body = { cloudant: { [holder.name]: ['_security'], stranger: ['_reader'], nobody: ['_reader'] } };
    const byHolder = await gate.ask('PUT', securityPath('hist-names'), { as: holder, body });
    assert.equal((byHolder.body as { warnings?: unknown }).warnings, undefined);
    const again = { cloudant: { ...body.cloudant, stranger: ['_writer'], [gate.owner.name]: ['_reader'] } };
    const { body: byOwner } = await front.asOwner('PUT', securityPath('hist-names'), { body: again });
    assert.deepEqual((byOwner as { warnings?: unknown }).warnings, ['no such key or user: "stranger"']);
  });

  it('stays readable after changes of many names – GET …/history – 200', async () => {
    await gate.database('hist-large');
    const small = await front.put('hist-large', { [holder.name]: ['_security'] });
    const [made] = await front.historyOf('hist-large');
    const roles = ['_reader', '_writer', '_design', '_replicator', '_security'] as const;
    const names = Array.from({ length: LARGE }, (_, at) => `z${at.toString(36)}`);
    const cloudant = Object.fromEntries(names.map((name) => [name, roles]));
    // What changes of so many names leave in the history; making them takes too long here.
    const entries = [1, 2].map((more) => ({
      ...{ database: 'hist-large', generation: made?.generation ?? '', revision: small + more },
      ...{ at: made?.at ?? '', by: holder.name, via: 'api' as const },
      changes: names.map((name) => ({ name, before: more === 1 ? [] : roles, after: roles })),
      ...(more === 1 ? { document: { cloudant } } : { rest: {} }),
    }));
    const couchdb = openAdmin({ url: gate.backend.urls[0] ?? '', credentials: gate.backend.owner });
    for (const entry of entries) {
      const { status } = await couchdb.ask(
        'PUT',
        `/couchgate_history/${encodeURIComponent(idOf(entry))}`,
        entry,
      );
      assert.equal(status, 201);
    }
    for (const as of [gate.owner, holder]) {
      for (const query of ['', '?limit=1']) {
        const [newest] = await front.historyOf('hist-large', query, as);
        assert.deepEqual([newest?.revision, newest?.changes.length], [small + 2, LARGE], query);
      }
      const [before] = await front.historyOf('hist-large', `?before=${small + 1}`, as);
      assert.equal(before?.revision, small);
      const one = securityPath('hist-large', `/history/${small + 2}`);
      const { body } = await gate.ask('GET', one, { as });
      assert.equal(Object.keys((body as { document: { cloudant: object } }).document.cloudant).length, LARGE);
    }
    assert.equal((await front.rollback('hist-large', small)).status, 200);
  });
});
