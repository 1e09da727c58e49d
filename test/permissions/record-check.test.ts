// What differs between a record and the security objects of the nodes, and what a repair leaves in force.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonObject } from '../../src/json/object.ts';
import { checkDatabase, type Drift, repairDatabase } from '../../src/permissions/record-check.ts';
import { RecordCopies } from '../../src/permissions/record-copies.ts';
import { PermissionRecords } from '../../src/permissions/permission-records.ts';
import { storedForm } from '../../src/permissions/security-document.ts';
import { parseSecurityPut } from '../../src/permissions/security-request.ts';
import { ADMIN_ONLY, SimulatedCluster, type Copy } from '../support/simulated-cluster.ts';

const DB = 'fruit';
const RECORD = `permissions:${DB}`;
const NOW = 1_700_000_000_000;
const BY = { by: 'test', via: 'api' } as const;
const grants = (...names: readonly string[]): JsonObject => ({
  cloudant: Object.fromEntries(names.map((name) => [name, ['_reader']])),
});

interface Opened {
  readonly cluster: SimulatedCluster;
  readonly clock: { now: number };
  readonly records: PermissionRecords;
  readonly copies: readonly [Copy, Copy, Copy];
  put(...names: readonly string[]): Promise<void>;
  check(): Promise<string | undefined>;
  /** Repairs the finding, and returns the names that are in force afterwards. */
  repair(): Promise<readonly string[]>;
  inForce(): Promise<readonly string[]>;
}

function open(): Opened {
  const clock = { now: NOW };
  const cluster = new SimulatedCluster({ copies: 3 });
  cluster.create(DB);
  const records = new PermissionRecords({
    couch: cluster,
    copies: new RecordCopies({ couch: cluster, storeDatabase: 'couchgate' }),
    nodeUrls: cluster.urls,
    onWritten: () => Promise.resolve(),
    report: () => undefined,
    now: () => clock.now,
    wait: (milliseconds) => {
      clock.now += milliseconds;
      return Promise.resolve();
    },
  });
  const deps = { couch: cluster, nodeUrls: cluster.urls, records };
  const inForce = async (): Promise<readonly string[]> => [
    ...((await records.reader.read(DB))?.permissions.grants.keys() ?? []),
  ];
  return {
    cluster,
    clock,
    records,
    copies: cluster.copies as unknown as Opened['copies'],
    async put(...names) {
      await records.change(DB, () => grants(...names), BY);
    },
    async check() {
      const finding = await checkDatabase(deps, DB);
      return finding && [finding.drift, ...finding.nodes].join(' ');
    },
    async repair() {
      const finding = await checkDatabase(deps, DB);
      assert.ok(finding !== undefined, 'finding is missing');
      await repairDatabase(deps, finding);
      return inForce();
    },
    inForce,
  };
}

/** The object that a version without records writes. */
const withoutRecord = (stamp: number, ...names: readonly string[]): JsonObject =>
  storedForm(parseSecurityPut(grants(...names)), DB, { stamp });

function setAll({ copies }: Opened, object: JsonObject): void {
  for (const copy of copies) copy.security.set(DB, object);
}

interface Row {
  readonly title: string;
  readonly arrange: (opened: Opened) => Promise<void> | void;
  readonly drift: Drift | undefined;
  /** In force before the repair. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** What is found after the repair. */
  readonly then?: Drift;
}

const ROWS: readonly Row[] = [
  {
    title: 'a database older than Couchgate',
    arrange: () => undefined,
    drift: undefined,
    before: [],
    after: [],
  },
  {
    title: 'a database with its mirror',
    arrange: (opened) => opened.put('ann'),
    drift: undefined,
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a new database, which has no mirror',
    arrange: async ({ records }) => {
      await records.create(DB, BY);
    },
    drift: undefined,
    before: [],
    after: [],
  },
  {
    title: 'an object written without a record',
    arrange: (opened) => setAll(opened, withoutRecord(NOW - 1000, 'ann')),
    drift: 'no record',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a record that was lost with the store',
    arrange: async (opened) => {
      await opened.put('ann');
      for (const copy of opened.copies) copy.documents.clear();
    },
    drift: 'no record',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a record that was lost, while the first node has an old copy that grants more',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      opened.copies[0].isUp = false;
      await opened.put('ann');
      opened.copies[0].isUp = true;
      for (const copy of opened.copies) copy.documents.clear();
    },
    drift: 'no record',
    before: ['ann'],
    after: ['ann'],
    then: 'old copy',
  },
  {
    title: 'a node that was away during a revocation',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      opened.copies[0].isUp = false;
      await opened.put('ann');
      opened.copies[0].isUp = true;
    },
    drift: 'old copy',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a node that was away since the creation',
    arrange: async (opened) => {
      await opened.records.create(DB, BY);
      opened.copies[0].isUp = false;
      await opened.put('ann');
      opened.copies[0].isUp = true;
    },
    drift: 'old copy',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a store that was put back from a copy before a revocation',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      const old = opened.copies.map((copy) => new Map(copy.documents.get(RECORD) ?? []));
      await opened.put('ann');
      for (const [at, copy] of opened.copies.entries())
        copy.documents.set(RECORD, old[at] ?? new Map<never, never>());
    },
    drift: 'old record',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a store that was put back from a copy before a grant',
    arrange: async (opened) => {
      await opened.put('ann');
      const old = opened.copies.map((copy) => new Map(copy.documents.get(RECORD) ?? []));
      await opened.put('ann', 'bob');
      for (const [at, copy] of opened.copies.entries())
        copy.documents.set(RECORD, old[at] ?? new Map<never, never>());
    },
    drift: 'old record',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'an object that a person has changed to grant more',
    arrange: async (opened) => {
      await opened.put('ann');
      setAll(opened, { ...opened.copies[0].security.get(DB), ...grants('ann', 'eve') });
    },
    drift: 'edited',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'an object that a person has changed to grant less',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      setAll(opened, { ...opened.copies[0].security.get(DB), ...grants('ann') });
    },
    drift: 'edited',
    before: ['ann'],
    after: ['ann', 'bob'],
  },
  {
    title: 'a database that was made again past Couchgate',
    arrange: async (opened) => {
      await opened.put('ann');
      opened.cluster.remove(DB);
      opened.cluster.create(DB);
    },
    drift: 'made again',
    before: [],
    after: [],
  },
  {
    title: 'a database that was made again within the same second',
    arrange: async (opened) => {
      await opened.put('ann');
      setAll(opened, ADMIN_ONLY);
    },
    drift: 'reset',
    before: [],
    after: [],
  },
  {
    title: 'an object that a person has emptied, which makes a database public in CouchDB',
    arrange: async (opened) => {
      await opened.put('ann');
      setAll(opened, {});
    },
    drift: 'reset',
    before: [],
    after: [],
  },
  {
    title: 'a late write of a writer that slept',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      const late = opened.copies[0].security.get(DB) ?? {};
      await opened.put('ann');
      setAll(opened, late);
    },
    drift: 'old copy',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'a change without a record, long after the record',
    arrange: async (opened) => {
      await opened.put('ann');
      setAll(opened, withoutRecord(NOW + 100_000, 'ann', 'bob'));
    },
    drift: 'bypassed',
    before: ['ann', 'bob'],
    after: ['ann', 'bob'],
  },
  {
    title: 'a change without a record that raced with a revocation',
    arrange: async (opened) => {
      await opened.put('ann', 'bob');
      await opened.put('ann');
      setAll(opened, withoutRecord(NOW + 5000, 'ann', 'bob', 'eve'));
    },
    drift: 'old record',
    before: ['ann'],
    after: ['ann'],
  },
  {
    title: 'two changes without a record, soon after each other',
    arrange: async (opened) => {
      setAll(opened, withoutRecord(NOW - 1000, 'ann'));
      await opened.repair();
      setAll(opened, withoutRecord(NOW, 'ann', 'bob'));
    },
    drift: 'bypassed',
    before: ['ann', 'bob'],
    after: ['ann', 'bob'],
  },
];

describe('a check of one database', () => {
  for (const { title, arrange, drift, before, after, then: next } of ROWS) {
    it(`finds ${drift ?? 'nothing'} – ${title}`, async () => {
      const opened = open();
      await arrange(opened);
      assert.equal((await opened.check())?.replace(/ http.*/u, ''), drift);
      assert.deepEqual(await opened.inForce(), before, 'in force before the repair');
      if (drift === undefined) return;
      assert.deepEqual(await opened.repair(), after, 'in force after the repair');
      assert.equal((await opened.check())?.replace(/ http.*/u, ''), next, 'after the repair');
    });
  }

  it('names the nodes with an old copy', async () => {
    const opened = open();
    await opened.put('ann');
    opened.copies[2].isUp = false;
    await opened.put('bob');
    opened.copies[2].isUp = true;
    assert.equal(await opened.check(), `old copy ${opened.copies[2].url}`);
  });

  it('never lowers the revision, and never uses one twice, whatever was lost', async () => {
    const opened = open();
    for (const name of ['a', 'b', 'c']) await opened.put(name);
    for (const copy of opened.copies) copy.documents.clear();
    const seen = await opened.records.finisher.readAtRest(DB);
    assert.equal(seen?.revision, 3);
    await opened.repair();
    const { state } = await opened.records.change(DB, () => grants('d'), BY);
    assert.equal(state.revision, 5);
  });

  it('finds an unfinished change, and finishes it', async () => {
    const opened = open();
    await opened.put('ann', 'bob');
    const dies = new PermissionRecords({
      couch: opened.cluster,
      copies: new RecordCopies({ couch: opened.cluster, storeDatabase: 'couchgate' }),
      nodeUrls: opened.cluster.urls,
      onWritten: () => Promise.resolve(),
      report: () => undefined,
      now: () => opened.clock.now,
      step: (name) => (name === 'mirror' ? Promise.reject(new Error('dies')) : Promise.resolve()),
    });
    await assert.rejects(
      dies.change(DB, () => grants('ann', 'eve'), BY),
      /dies/u,
    );
    assert.deepEqual(await opened.inForce(), ['ann'], 'what both grant');
    assert.equal(await opened.check(), 'unfinished');
    assert.deepEqual(await opened.repair(), ['ann', 'eve']);
    assert.equal(await opened.check(), undefined);
  });
});
