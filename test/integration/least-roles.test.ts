// The least roles of import and deploy tools, as docs/recipes/tools.md states them: enough, and none too many.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startCouchgate, type Answer, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/recipes/tools.md'), 'utf8');

type Ask = (method: string, path: string, body?: unknown) => Promise<Answer>;

const DESIGN = { views: { all: { map: 'function (doc) { emit(doc._id); }' } } };
const bulk = (...docs: readonly object[]): object => ({ docs });

/** What the tools of a line of the table send. Paths are relative to the database. */
const REQUESTS: Readonly<Record<string, (ask: Ask) => Promise<readonly Answer[]>>> = {
  'Back up documents': async (ask) => [
    await ask('GET', ''),
    await ask('GET', '/_changes?seq_interval=10000'),
    await ask('POST', '/_bulk_get?revs=true', { docs: [{ id: 'old' }] }),
    await ask('GET', '/_local/none').then((answer) =>
      answer.status === 404 ? { ...answer, status: 200 } : answer,
    ),
  ],
  'Restore documents': async (ask) => [
    await ask('GET', ''),
    await ask('POST', '/_bulk_docs', { ...bulk({ _id: 'r', _rev: '1-a' }), new_edits: false }),
  ],
  'Restore documents and design documents': async (ask) => [
    await ask('GET', ''),
    await ask('POST', '/_bulk_docs', bulk({ _id: 'rd' }, { _id: '_design/restored', ...DESIGN })),
  ],
  'Import rows': async (ask) => [await ask('GET', ''), await ask('POST', '/_bulk_docs', bulk({ a: 1 }))],
  'Update rows that exist': async (ask) => {
    const read = await ask('GET', '/old');
    const { _rev } = read.body as { _rev?: string };
    return [read, await ask('PUT', '/old', { _rev, n: 2 })];
  },
  'Export or report': async (ask) => [
    await ask('GET', '/_all_docs?include_docs=true'),
    await ask('GET', '/_design/known/_view/all'),
    await ask('POST', '/_find', { selector: {} }),
  ],
  'Deploy design documents': async (ask) => {
    const head = await ask('GET', '/_design/app');
    const { _rev } = head.body as { _rev?: string };
    return [await ask('PUT', '/_design/app', { ...DESIGN, ...(_rev === undefined ? {} : { _rev }) })];
  },
  'Deploy a view without a pause': async (ask) => {
    const there = await ask('GET', '/_design/known_NEW');
    const { _rev } = there.body as { _rev?: string };
    return [
      await ask('PUT', '/_design/known_NEW', { ...DESIGN, ...(_rev === undefined ? {} : { _rev }) }),
      await ask('GET', '/_design/known_NEW/_view/all?limit=1'),
      await ask('GET', '/_all_docs?startkey="_design/"&endkey="_design0"&include_docs=true'),
    ];
  },
  'Create indexes for `_find`': async (ask) => [
    await ask('POST', '/_index', { index: { fields: ['n'] }, ddoc: 'by-n', name: 'by-n' }),
    await ask('GET', '/_index'),
  ],
  'Replicate from here': async (ask) => [
    await ask('GET', ''),
    await ask('GET', '/_changes?style=all_docs'),
    await ask('POST', '/_bulk_get?revs=true', { docs: [{ id: 'old' }] }),
    await ask('PUT', '/_local/checkpoint', { n: 1 }).then((answer) =>
      answer.status === 409 ? { ...answer, status: 200 } : answer,
    ),
  ],
  'Replicate to here, documents only': async (ask) => [
    await ask('GET', ''),
    await ask('POST', '/_revs_diff', { old: ['9-a'] }),
    await ask('POST', '/_bulk_docs', { ...bulk({ _id: 'rp', _rev: '1-a' }), new_edits: false }),
  ],
  'Change permissions': async (ask) => {
    const read = await ask('GET', '/_security');
    return [read, await ask('PUT', '/_security', read.body)];
  },
  'Compact, delete the database': async (ask) => [
    await ask('POST', '/_compact', {}),
    await ask('DELETE', ''),
  ],
};

interface Line {
  readonly task: string;
  readonly roles: readonly string[];
}

const LINES: readonly Line[] = [...PAGE.matchAll(/^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$/gm)]
  .map(([, task = '', roles = '']) => ({
    task,
    roles: [...roles.matchAll(/`(_\w+)`/g)].map(([, role = '']) => role),
  }))
  .filter(({ roles }) => roles.length > 0);

describe('docs/recipes/tools.md', () => {
  let gate: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    key = await gate.key();
  });

  /** Runs the requests of a task in a new database; true if every answer is a success. */
  async function works(task: string, database: string, roles: readonly string[]): Promise<boolean> {
    const as = gate.owner;
    await gate.database(database);
    await gate.ask('POST', `/${database}/_bulk_docs`, {
      as,
      body: bulk({ _id: 'old', n: 1 }, { _id: '_design/known', ...DESIGN }),
    });
    await gate.grant(database, { [key.name]: roles });
    const ask: Ask = (method, path, body) =>
      gate.ask(method, `/${database}${path}`, { as: key, ...(body === undefined ? {} : { body }) });
    const answers = (await REQUESTS[task]?.(ask)) ?? [];
    assert.ok(answers.length > 0, `no requests for ${task}`);
    // A refusal may be in the rows of _bulk_docs.
    return answers.every(({ status, body }) => status < 300 && !JSON.stringify(body).includes('forbidden'));
  }

  it('has requests for every line, and a line for all requests', () => {
    assert.deepEqual(LINES.map(({ task }) => task).toSorted(), Object.keys(REQUESTS).toSorted());
  });

  for (const [n, { task, roles }] of LINES.entries())
    it(`names enough roles, and none too many – ${task}: ${roles.join(', ')}`, async () => {
      assert.equal(await works(task, `least${n}`, roles), true);
      for (const [m, left] of roles.entries()) {
        const fewer = roles.filter((role) => role !== left);
        assert.equal(await works(task, `least${n}-${m}`, fewer), false, `works without ${left}`);
      }
    });
});
