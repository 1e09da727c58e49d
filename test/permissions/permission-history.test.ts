// The store of the history: differences of large objects, gaps, repeated writes, and what is deleted.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Couch, type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { createPermissionHistory } from '../../src/permissions/permission-history.ts';
import { type AcknowledgedChange } from '../../src/permissions/change.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';

type Grants = Readonly<Record<string, readonly Role[]>>;
interface Stored {
  readonly rev: string;
  readonly doc: Record<string, unknown>;
}

/** A CouchDB with one database, which is missing at first. */
function memoryHistory() {
  const docs = new Map<string, Stored>();
  const state = { exists: false, away: false, writes: 0, read: [] as string[] };
  const rowsIn = (path: string): CouchAnswer => {
    const query = new URL(path, 'http://x').searchParams;
    const key = (name: string): string => JSON.parse(query.get(name) ?? '""') as string;
    const isDescending = query.get('descending') === 'true';
    const [low, high] = isDescending ? [key('endkey'), key('startkey')] : [key('startkey'), key('endkey')];
    const ids = [...docs.keys()].filter((id) => id >= low && id <= high).sort();
    if (isDescending) ids.reverse();
    const skip = Number(query.get('skip') ?? 0);
    const rows = ids.slice(skip, skip + Number(query.get('limit'))).map((id) => ({
      id,
      value: { rev: docs.get(id)?.rev },
    }));
    return { status: 200, body: { rows } };
  };
  const ask = ({ method, path, body }: CouchRequest): CouchAnswer => {
    const [, , document] = path.split('/');
    if (state.away) throw new Unavailable('away');
    if (document === undefined && method === 'PUT') {
      state.exists = true;
      return { status: 201, body: {} };
    }
    if (document === undefined || document === '_security')
      return { status: state.exists ? 200 : 404, body: {} };
    if (!state.exists) return { status: 404, body: {} };
    if (path.includes('/_all_docs')) return rowsIn(path);
    if (path.endsWith('/_bulk_docs')) {
      for (const { _id } of (body as { docs: { _id: string }[] }).docs) docs.delete(_id);
      return { status: 201, body: [] };
    }
    const id = decodeURIComponent(document);
    if (method === 'GET') {
      const stored = docs.get(id);
      state.read.push(id);
      return stored === undefined
        ? { status: 404, body: {} }
        : { status: 200, body: { _id: id, _rev: stored.rev, ...stored.doc } };
    }
    if (docs.has(id)) return { status: 409, body: {} };
    state.writes += 1;
    docs.set(id, {
      rev: `1-${state.writes}`,
      doc: JSON.parse(JSON.stringify(body)) as Record<string, unknown>,
    });
    return { status: 201, body: {} };
  };
  const couch = {
    ask: (request: CouchRequest) => Promise.resolve().then(() => ask(request)),
    follow: () => ({ close: () => undefined }),
  } as Couch;
  return { couch, docs, state };
}

const START = Date.parse('2030-01-01T00:00:00Z');
const DAY_MS = 86_400_000;

function setUp({ keep = 200, keepDays = 365, backend = memoryHistory() } = {}) {
  const reports: string[] = [];
  const clock = { time: START };
  const history = createPermissionHistory({
    couch: backend.couch,
    historyDatabase: 'couchgate_history',
    keep,
    keepDays,
    report: (message) => reports.push(message),
    now: () => clock.time,
  });
  return { history, reports, clock, backend };
}

const permissions = (grants: Grants): DatabasePermissions => ({
  database: 'db',
  grants: new Map(Object.entries(grants).map(([name, roles]) => [name, roleSet(roles)])),
  couchdbAuthOnly: false,
  marked: true,
});

function change(
  revision: number,
  before: Grants,
  after: Grants,
  more: Partial<AcknowledgedChange> = {},
): AcknowledgedChange {
  return {
    id: `id-${revision}`,
    database: 'db',
    generation: 'gen',
    revision,
    before: permissions(before),
    after: permissions(after),
    document: { cloudant: after, note: `n${revision}` },
    by: 'admin',
    via: 'api',
    at: new Date(START + revision * 1000).toISOString(),
    reason: undefined,
    requestId: undefined,
    ...more,
  };
}

/** An object that is too large to be stored whole with every change. */
const many = (count: number, extra: Grants = {}): Grants => ({
  ...Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`name-number-${at}`, ['_reader' as const]]),
  ),
  ...extra,
});

describe('the store of the history', () => {
  it('stores large objects as differences, and shows each revision whole', async () => {
    const { history, backend } = setUp();
    const states = [many(1500), many(1500, { a: ['_writer'] }), many(1499, { a: ['_reader'] }), many(1499)];
    for (const [at, after] of states.entries())
      await history.record(change(at + 1, states[at - 1] ?? {}, after));
    const sizes = [...backend.docs.values()].map(({ doc }) => JSON.stringify(doc).length);
    assert.ok(
      sizes.slice(1).every((size) => size < 1000),
      String(sizes),
    );
    for (const [at, after] of states.entries()) {
      const found = await history.at('db', at + 1, 'gen');
      assert.deepEqual(found?.document, { note: `n${at + 1}`, cloudant: { ...after } });
    }
  });

  it('does not show a revision whole if one before it is missing', async () => {
    const { history, backend } = setUp();
    const states = [many(1500), many(1500, { a: ['_writer'] }), many(1500, { b: ['_writer'] })];
    for (const [at, after] of states.entries())
      await history.record(change(at + 1, states[at - 1] ?? {}, after));
    const second = [...backend.docs.keys()].find((id) => id.includes(':000000000002:')) ?? '';
    backend.docs.delete(second);
    assert.equal(await history.at('db', 3, 'gen'), undefined);
    assert.equal(await history.at('db', 2, 'gen'), undefined);
    assert.notEqual(await history.at('db', 1, 'gen'), undefined);
  });

  it('counts a change that it could not store, and stores the next one whole', async () => {
    const { history, backend, reports } = setUp();
    await history.record(change(1, {}, many(1500)));
    backend.state.away = true;
    await history.record(change(2, many(1500), many(1501)));
    backend.state.away = false;
    assert.equal(history.lost, 1);
    assert.deepEqual(reports, ['change of permissions is missing in the history']);
    await history.record(change(3, many(1501), many(1502)));
    assert.equal(
      Object.keys((await history.at('db', 3, 'gen'))?.document['cloudant'] as object).length,
      1502,
    );
  });

  it('ends a page early when its entries are large, and goes on with the next one', async () => {
    const { history, backend } = setUp();
    const states = Array.from({ length: 4 }, (_, at) => many(at % 2 === 0 ? 20_000 : 0));
    for (const [at, after] of states.entries())
      await history.record(change(at + 1, states[at - 1] ?? {}, after));
    const revisions: number[] = [];
    let before: number | undefined;
    do {
      backend.state.read = [];
      const page = await history.list({ database: 'db', generation: 'gen', limit: 50, before });
      assert.ok(page.entries.length <= 2, `${page.entries.length} large entries on a page`);
      assert.equal(backend.state.read.length, page.entries.length);
      assert.equal(
        page.entries.every((entry) => entry.document === undefined && entry.rest === undefined),
        true,
      );
      revisions.push(...page.entries.map(({ revision }) => revision));
      ({ before } = page);
    } while (before !== undefined);
    assert.deepEqual(revisions, [4, 3, 2, 1]);
  });

  it('lists a change once that two processes have stored', async () => {
    const { history, backend } = setUp();
    const other = setUp({ backend });
    await history.record(change(1, {}, many(1500)));
    const second = change(2, many(1500), many(1500, { a: ['_writer'] }));
    await history.record(second);
    await history.record(second);
    await other.history.record(second);
    const page = await history.list({ database: 'db', generation: undefined, limit: 10, before: undefined });
    assert.deepEqual(
      page.entries.map(({ revision }) => revision),
      [2, 1],
    );
    assert.notEqual(await history.at('db', 2, 'gen'), undefined);
  });

  it('keeps databases apart whose names start alike', async () => {
    const { history } = setUp();
    for (const database of ['db', 'db-2', 'db/x', 'd'])
      await history.record(change(1, {}, { [database]: ['_reader'] }, { database }));
    for (const database of ['db', 'db-2', 'db/x', 'd']) {
      const page = await history.list({ database, generation: undefined, limit: 10, before: undefined });
      assert.deepEqual(
        page.entries.map(({ changes }) => changes[0]?.name),
        [database],
      );
    }
  });

  it('keeps the newest changes of a database, and what they need to be shown whole', async () => {
    const { history, backend } = setUp({ keep: 10 });
    let before: Grants = {};
    for (let revision = 1; revision <= 40; revision += 1) {
      const after = many(1500 + revision);
      await history.record(change(revision, before, after));
      before = after;
    }
    // The deletion runs after the answer.
    while (backend.docs.size === 40) await new Promise((resolve) => setImmediate(resolve));
    const { entries } = await history.list({
      database: 'db',
      generation: 'gen',
      limit: 200,
      before: undefined,
    });
    assert.equal(entries.at(-1)?.revision, 20);
    for (const { revision } of entries) assert.notEqual(await history.at('db', revision, 'gen'), undefined);
  });

  it('deletes what is too old of every database, the deleted ones too', async () => {
    const { history, backend, clock } = setUp({ keepDays: 30 });
    await history.record(change(1, {}, { a: ['_reader'] }));
    await history.record(change(1, {}, { a: ['_reader'] }, { database: 'gone' }));
    const at = new Date(START + 20 * DAY_MS).toISOString();
    await history.record(change(2, { a: ['_reader'] }, {}, { at }));
    clock.time = START + 31 * DAY_MS;
    await history.sweep();
    assert.deepEqual(
      [...backend.docs.values()].map(({ doc }) => [doc['database'], doc['revision']]),
      [['db', 2]],
    );
  });

  it('stores nothing with permission_history: 0', async () => {
    const { history, backend } = setUp({ keep: 0 });
    await history.record(change(1, {}, { a: ['_reader'] }));
    assert.equal(backend.state.exists, false);
  });
});
