// Races of many writers on one record, over a simulated cluster of three copies: writers that die or sleep between
// any two steps, lost answers, nodes that go and come back.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonObject } from '../../src/json/object.ts';
import { PermissionRecords } from '../../src/permissions/permission-records.ts';
import { RecordCopies } from '../../src/permissions/record-copies.ts';
import { type Finished } from '../../src/permissions/record-protocol.ts';
import { HttpError } from '../../src/http-errors.ts';
import { SimulatedCluster, VirtualTime } from '../support/simulated-cluster.ts';

const DATABASE = 'fruit';
const RECORD = `permissions:${DATABASE}`;
const CHANGES = 40;

interface Faults {
  readonly dies?: number;
  readonly sleeps?: number;
  readonly losesAnswers?: number;
  readonly nodesGo?: boolean;
}

/** Mulberry32: a small generator, so that a seed names a race. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Result {
  readonly acknowledged: number;
  readonly refused: number;
  readonly dead: number;
  readonly merges: number;
  readonly reads: number;
  readonly violations: readonly string[];
}

type Grants = Readonly<Record<string, readonly string[]>>;

const grantsIn = (security: JsonObject): Grants => (security['cloudant'] ?? {}) as Grants;

/** Every name is granted once and revoked once, so that a name in force after its revocation is a violation. */
async function race(seed: number, changes: number, faults: Faults): Promise<Result> {
  const random = generator(seed);
  const time = new VirtualTime();
  const cluster = new SimulatedCluster({
    copies: 3,
    random,
    latency: () => time.sleep(1 + 20 * random() ** 3),
  });
  cluster.create(DATABASE);
  cluster.losesAnswer = () => random() < (faults.losesAnswers ?? 0);
  const violations: string[] = [];
  const granted = new Set<string>();
  const revoked = new Map<string, number>();
  /** Names whose revocation was begun: it may stand although it was not acknowledged. */
  const doubtful = new Set<string>();
  const contents = new Map<number, string>();
  let merges = 0;
  let dead = 0;
  let refused = 0;
  let acknowledged = 0;
  let reads = 0;
  let running = true;

  function writer(isMortal: boolean): PermissionRecords {
    return new PermissionRecords({
      couch: cluster,
      copies: new RecordCopies({ couch: cluster, storeDatabase: 'couchgate' }),
      nodeUrls: cluster.urls,
      onWritten: () => Promise.resolve(),
      report: () => (merges += 1),
      now: () => Math.floor(time.now),
      wait: (milliseconds) => time.sleep(milliseconds),
      step: async () => {
        if (!isMortal) return;
        if (random() < (faults.dies ?? 0)) {
          dead += 1;
          await new Promise(() => undefined);
        }
        if (random() < (faults.sleeps ?? 0)) await time.sleep(60_000 * random());
      },
    });
  }

  function note(finished: Finished): void {
    acknowledged += 1;
    const text = JSON.stringify(grantsIn(finished.state.security));
    const known = contents.get(finished.state.revision);
    if (known !== undefined && known !== text) violations.push(`revision ${finished.state.revision} twice`);
    contents.set(finished.state.revision, text);
  }

  async function changeOnce(name: string): Promise<void> {
    const revoke = random() < 0.4 ? [...granted].find((each) => !revoked.has(each)) : undefined;
    if (revoke !== undefined) doubtful.add(revoke);
    const by = { by: 'test', via: 'api' } as const;
    const work = writer(true).change(
      DATABASE,
      ({ security }) => {
        const grants = grantsIn(security);
        if (revoke === undefined) return { cloudant: { ...grants, [name]: ['_reader'] } };
        return { cloudant: Object.fromEntries(Object.entries(grants).filter(([each]) => each !== revoke)) };
      },
      by,
    );
    const limit = time.sleep(200_000).then(() => undefined);
    try {
      const finished = await Promise.race([work, limit]);
      if (finished === undefined) return;
      note(finished);
      if (revoke === undefined) granted.add(name);
      else if (!revoked.has(revoke)) revoked.set(revoke, time.now);
    } catch (error) {
      if (!(error instanceof HttpError) || error.status !== 503) throw error;
      refused += 1;
    }
  }

  async function readForever(): Promise<void> {
    const reader = writer(false);
    while (running) {
      const readAt = time.now;
      const seen = await reader.reader.read(DATABASE).catch(() => undefined);
      reads += 1;
      for (const name of seen?.permissions.grants.keys() ?? [])
        if ((revoked.get(name) ?? Infinity) < readAt)
          violations.push(`${name} is in force after its revocation`);
      await time.sleep(200 * random());
    }
  }

  async function replicateForever(): Promise<void> {
    while (running) {
      await time.sleep(300 * random());
      cluster.replicate();
    }
  }

  async function takeNodesDown(): Promise<void> {
    while (running && faults.nodesGo === true) {
      await time.sleep(5000 * random());
      const copy = cluster.copies[Math.floor(3 * random())];
      if (copy === undefined) continue;
      copy.isUp = false;
      await time.sleep(5000 * random());
      copy.isUp = true;
    }
  }

  let next = 0;
  async function work(): Promise<void> {
    while (next < changes) {
      next += 1;
      await changeOnce(`name${next}`);
    }
  }

  const all = Promise.all([work(), work()])
    .then(() => time.sleep(100_000))
    .then(() => (running = false));
  void Promise.all([readForever(), replicateForever(), takeNodesDown()]);
  await Promise.all([all, time.run()]);
  cluster.losesAnswer = () => false;
  for (const copy of cluster.copies) copy.isUp = true;
  cluster.replicate();
  const last = writer(false);
  const rest = last.finisher.readAtRest(DATABASE).then(async (seen) => {
    // As the follower does for several leaves, and the check for the object.
    await last.finisher.heal(DATABASE);
    await last.finisher.mirrorAgain(DATABASE);
    return seen;
  });
  const [seen] = await Promise.all([rest, time.run()]);
  const leaves = cluster.leavesOf(RECORD).filter(({ _deleted }) => _deleted !== true);
  if (leaves.length !== 1) violations.push(`${leaves.length} leaves are left`);
  for (const name of revoked.keys())
    if (seen?.permissions.grants.has(name) === true) violations.push(`${name} came back`);
  for (const name of granted)
    if (merges === 0 && !doubtful.has(name) && seen?.permissions.grants.has(name) !== true)
      violations.push(`${name} was lost without a merge`);
  const mirrors = new Set(cluster.copies.map(({ security }) => JSON.stringify(security.get(DATABASE))));
  if (mirrors.size !== 1) violations.push(`${mirrors.size} mirrors`);
  return { acknowledged, refused, dead, merges, reads, violations };
}

const CASES: Readonly<Record<string, Faults>> = {
  'with all nodes up': {},
  'with writers that die between any two steps': { dies: 0.03 },
  'with writers that sleep for up to a minute': { sleeps: 0.03 },
  'with lost answers': { losesAnswers: 0.05 },
  'with nodes that go and come back': { nodesGo: true },
  'with everything': { dies: 0.02, sleeps: 0.02, losesAnswers: 0.03, nodesGo: true },
};

describe('a permission record under racing writers', () => {
  const seeds = Number(process.env['RACE_SEEDS'] ?? 2);
  for (const [title, faults] of Object.entries(CASES)) {
    it(`undoes no revocation – ${CHANGES} changes by two writers ${title}`, async (t) => {
      for (let seed = 1; seed <= seeds; seed += 1) {
        const { violations, ...counts } = await race(seed, CHANGES, faults);
        assert.deepEqual(violations, [], `seed ${seed}: ${JSON.stringify(counts)}`);
        t.diagnostic(JSON.stringify({ seed, ...counts }));
        assert.ok(counts.acknowledged > CHANGES / 3, 'most changes stand');
      }
    });
  }

  it('takes a change after all writers have withdrawn – two of three copies, one writer at each', async () => {
    const cluster = new SimulatedCluster({ copies: 3 });
    cluster.create(DATABASE);
    const copies = new RecordCopies({ couch: cluster, storeDatabase: 'couchgate' });
    const records = new PermissionRecords({
      ...{ couch: cluster, copies, nodeUrls: cluster.urls, now: Date.now, report: () => undefined },
      onWritten: () => Promise.resolve(),
    });
    const by = { by: 'test', via: 'api' } as const;
    const grant = (name: string) =>
      records.change(DATABASE, () => ({ cloudant: { [name]: ['_reader'] } }), by);
    await grant('ann');
    cluster.replicate();
    const record = await copies.read(DATABASE);
    assert.ok(record, 'record is missing');
    const [first, second, third] = cluster.copies;
    assert.ok(first && second && third, 'the cluster has three copies');
    third.isUp = false;
    for (const [reached, other] of [
      [first, second],
      [second, first],
    ] as const) {
      other.isUp = false;
      const written = await copies.write(
        DATABASE,
        { ...record.state, state: 'writing', by: reached.url },
        record.leaves[0].rev,
      );
      assert.equal(written.outcome, 'partial');
      await copies.withdraw(DATABASE, written.rev, record.state);
      other.isUp = true;
    }
    cluster.replicate();
    assert.equal((await copies.read(DATABASE))?.state.revision, record.state.revision, 'the record is there');
    const before = await records.finisher.readAtRest(DATABASE);
    assert.deepEqual([...(before?.permissions.grants.keys() ?? [])], ['ann']);
    const { state } = await grant('bob');
    assert.deepEqual(grantsIn(state.security), { bob: ['_reader'] });
    assert.equal(state.revision, record.state.revision + 1);
    const live = cluster.leavesOf(RECORD).filter(({ _deleted }) => _deleted !== true);
    assert.equal(live.length, 1, 'the withdrawn leaves are deleted');
  });
});
