// The history of permissions: who changed what, and an earlier revision put in force again.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import {
  type Entry,
  permissionFront,
  type PermissionFront,
  securityPath,
} from '../support/permission-front.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('the history of permissions', () => {
  let gate: Couchgate;
  let front: PermissionFront;
  let holder: Credentials;
  let reader: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    front = permissionFront(gate);
    holder = await gate.key();
    reader = await gate.key();
  });

  it('has who, when, why, by which request, and the roles before and after – GET …/history', async () => {
    await gate.database('hist-a');
    await front.put('hist-a', { [holder.name]: ['_security', '_reader'], x: ['_reader'] });
    const id = 'change-42';
    const headers = { 'X-Couchgate-Reason': 'ticket 7: Jörg', 'X-Couch-Request-ID': id };
    const latin1 = { ...headers, 'X-Couchgate-Reason': Buffer.from('ticket 7: Jörg').toString('latin1') };
    const revision = await front.put(
      'hist-a',
      { [holder.name]: ['_security'], y: ['_writer'] },
      { headers: latin1 },
    );
    const [newest, older, ...rest] = await front.historyOf('hist-a');
    const { at = '', generation = '', ...entry } = newest ?? {};
    assert.deepEqual(entry, {
      revision,
      by: gate.owner.name,
      via: 'api',
      reason: 'ticket 7: Jörg',
      request_id: id,
      changes: [
        { name: holder.name, before: ['_reader', '_security'], after: ['_security'] },
        { name: 'x', before: ['_reader'], after: [] },
        { name: 'y', before: [], after: ['_writer'] },
      ],
    });
    assert.equal(Math.abs(Date.parse(at) - Date.now()) < 60_000 && generation !== '', true);
    assert.equal(older?.revision, revision - 1);
    assert.deepEqual(
      rest.map((first) => [first.revision, first.via, first.changes]),
      [[revision - 2, 'create', []]],
    );
  });

  it('has the creation and the deletion of a database – PUT and DELETE /{db}', async () => {
    const headers = { 'X-Couch-Request-ID': 'end-42' };
    await gate.database('hist-ends', { [reader.name]: ['_reader'] });
    assert.equal((await front.asOwner('DELETE', '/hist-ends', { headers })).status, 200);
    await gate.database('hist-ends');
    const entries = await front.historyOf('hist-ends');
    assert.deepEqual(
      entries.map(({ via, by }) => [via, by]),
      ['create', 'delete', 'api', 'create'].map((via) => [via, gate.owner.name]),
    );
    const [again, end, , first] = entries;
    assert.equal(end?.request_id, 'end-42');
    assert.deepEqual(end.changes, [{ name: reader.name, before: ['_reader'], after: [] }]);
    assert.deepEqual([end.generation, again?.generation === first?.generation], [first?.generation, false]);
    assert.deepEqual(
      entries.map(({ revision }) => revision),
      [4, 3, 2, 1],
    );
  });

  it('shows the whole document of a revision – GET …/history/{revision}', async () => {
    await gate.database('hist-b');
    const first = await front.put('hist-b', { a: ['_reader'] });
    await front.asOwner('PUT', securityPath('hist-b'), {
      body: { cloudant: { b: ['_writer'] }, note: 'kept' },
    });
    const { status, body } = await front.asOwner('GET', securityPath('hist-b', `/history/${first}`));
    assert.equal(status, 200);
    assert.deepEqual((body as { document: unknown }).document, { cloudant: { a: ['_reader'] } });
    const second = await front.asOwner('GET', securityPath('hist-b', `/history/${first + 1}`));
    assert.deepEqual((second.body as { document: unknown }).document, {
      cloudant: { b: ['_writer'] },
      note: 'kept',
    });
    for (const missing of [first + 2, 'x', '-1'])
      assert.equal((await front.asOwner('GET', securityPath('hist-b', `/history/${missing}`))).status, 404);
  });

  it('is read in pages – GET …/history?limit=&before=', async () => {
    await gate.database('hist-pages');
    for (let at = 0; at < 6; at += 1) await front.put('hist-pages', { [`n${at}`]: ['_reader'] });
    const all = (await front.historyOf('hist-pages')).map(({ revision }) => revision);
    assert.equal(all.length, 7);
    const seen: number[] = [];
    let query = '?limit=3';
    for (;;) {
      const { body } = await front.asOwner('GET', securityPath('hist-pages', `/history${query}`));
      const page = body as { history: readonly Entry[]; before?: number };
      seen.push(...page.history.map(({ revision }) => revision));
      if (page.before === undefined) break;
      query = `?limit=3&before=${page.before}`;
    }
    assert.deepEqual(seen, all);
    for (const bad of ['?limit=0', '?limit=201', '?limit=x', '?before=-1', '?limit=1&limit=2'])
      assert.equal(
        (await front.asOwner('GET', securityPath('hist-pages', `/history${bad}`))).status,
        400,
        bad,
      );
  });

  it('is for those who may read _security – GET …/history – 403, 401', async () => {
    await front.put('hist-a', {
      [holder.name]: ['_security'],
      [reader.name]: ['_reader', '_writer', '_design'],
    });
    assert.notEqual((await front.historyOf('hist-a', '', holder)).length, 0);
    for (const [as, status] of [
      [reader, 403],
      [undefined, 401],
    ] as const)
      for (const [method, where] of [
        ['GET', '/history'],
        ['GET', '/history/2'],
        ['POST', '/rollback'],
      ] as const) {
        const body = method === 'POST' ? { body: { revision: 1 } } : {};
        assert.equal((await gate.ask(method, securityPath('hist-a', where), { as, ...body })).status, status);
      }
    assert.equal((await gate.ask('GET', securityPath('nowhere', '/history'), { as: holder })).status, 404);
  });

  it('puts an earlier content in force as a new revision – POST …/rollback', async () => {
    await gate.database('hist-back');
    const first = await front.put('hist-back', { a: ['_reader'], [holder.name]: ['_security'] });
    const second = await front.put('hist-back', { [holder.name]: ['_security'] });
    const answer = await gate.ask('POST', securityPath('hist-back', '/rollback'), {
      as: holder,
      body: { revision: first },
    });
    assert.deepEqual([answer.status, answer.body], [200, { ok: true, revision: second + 1 }]);
    assert.equal(answer.headers.get('etag'), `"${answer.headers.get('x-couchgate-revision') ?? ''}"`);
    assert.deepEqual(await front.cloudantOf('hist-back'), { a: ['_reader'], [holder.name]: ['_security'] });
    const [newest] = await front.historyOf('hist-back');
    assert.deepEqual(
      [newest?.via, newest?.by, newest?.reason, newest?.changes],
      [
        'rollback',
        holder.name,
        `rollback to revision ${first}`,
        [{ name: 'a', before: [], after: ['_reader'] }],
      ],
    );
    await until(async () =>
      (await gate.accessLog()).some(
        ({ change, management }) =>
          management === true && (change as { rollbackTo?: number } | undefined)?.rollbackTo === first,
      ),
    );
  });

  it('keeps to the condition of the client – POST …/rollback with If-Match – 412', async () => {
    await gate.database('hist-match');
    const first = await front.put('hist-match', { a: ['_reader'] });
    const stale = (await front.asOwner('GET', securityPath('hist-match'))).headers.get('etag') ?? '';
    const second = await front.put('hist-match', {});
    const refused = await front.rollback('hist-match', first, { headers: { 'If-Match': stale } });
    assert.deepEqual([refused.status, (refused.body as { revision?: number }).revision], [412, second]);
    assert.deepEqual(await front.cloudantOf('hist-match'), {});
    const current =
      (await front.asOwner('GET', securityPath('hist-match'))).headers.get('x-couchgate-revision') ?? '';
    assert.equal((await front.rollback('hist-match', first, { query: `?rev=${current}` })).status, 200);
  });

  it('refuses bodies that name no revision – POST …/rollback – 400, 404', async () => {
    await gate.database('hist-body', { a: ['_reader'] });
    for (const revision of ['1', 1.5, -1, null, undefined])
      assert.equal((await front.rollback('hist-body', revision)).status, 400);
    const more = { body: { revision: 1, allow: 'public' } };
    assert.equal((await front.asOwner('POST', securityPath('hist-body', '/rollback'), more)).status, 400);
    assert.equal((await front.rollback('hist-body', 999)).status, 404);
  });

  it('refuses a reason that is too long – PUT _security – 400', async () => {
    const headers = { 'X-Couchgate-Reason': 'x'.repeat(513) };
    assert.equal((await front.asOwner('PUT', securityPath('hist-a'), { body: {}, headers })).status, 400);
  });

  it('needs a condition with security_write: require_precondition – PUT _security – 428', async () => {
    const settings = { securityWrite: 'require_precondition' };
    const strict = await started(startCouchgate({ backend: gate.backend, settings }));
    const read = await strict.ask('GET', securityPath('hist-b'), { as: strict.owner });
    const { cloudant } = read.body as { cloudant: object };
    for (const where of [securityPath('hist-b'), '/hist-b/_security', securityPath('hist-b', '/rollback')]) {
      const isRollback = where.endsWith('rollback');
      const body = isRollback ? { revision: 1 } : { cloudant: {} };
      const answer = await strict.ask(isRollback ? 'POST' : 'PUT', where, { as: strict.owner, body });
      assert.deepEqual(
        [answer.status, (answer.body as { error: string }).error],
        [428, 'precondition_required'],
      );
    }
    assert.deepEqual(await front.cloudantOf('hist-b'), cloudant);
    const headers = { 'If-Match': read.headers.get('etag') ?? '' };
    const written = await strict.ask('PUT', securityPath('hist-b'), {
      as: strict.owner,
      body: { cloudant },
      headers,
    });
    assert.equal(written.status, 200);
  });
});
