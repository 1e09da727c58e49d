// Writers of one permission record that die or sleep between any two steps, while another writer goes on, or while
// the database is deleted and made again. Time is injected where a writer waits for another one.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type JsonObject } from '../../src/json/object.ts';
import { HttpError } from '../../src/http-errors.ts';
import { checkDatabase } from '../../src/permissions/record-check.ts';
import { PermissionRecords } from '../../src/permissions/permission-records.ts';
import { RecordCopies } from '../../src/permissions/record-copies.ts';
import { type CouchClient } from '../../src/couch/client.ts';
import { ensureDatabase } from '../../src/couch/store.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { ownCouch } from '../support/own-couch.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const DEATHS = Number(process.env['WRITER_DEATHS'] ?? 10);
/** No other part of Couchgate reads it, so nobody else finishes what a writer left. */
const STORE = 'writers-store';
/** The steps of a change, in their order; see PermissionRecordsOptions.step. */
const STEPS = ['read', 'writing', 'mirror', 'mirrored', 'done'] as const;
const BY = { by: 'test', via: 'api' } as const;

type Grants = Readonly<Record<string, readonly string[]>>;
type Edit = (grants: Grants) => Grants;

const grant =
  (name: string): Edit =>
  (grants) => ({ ...grants, [name]: ['_reader'] });
const revoke =
  (name: string): Edit =>
  (grants) =>
    Object.fromEntries(Object.entries(grants).filter(([each]) => each !== name));

describe('writers of a permission record that stop between two steps', () => {
  let backend: Backend;
  let couches: readonly CouchClient[];
  const started = closedAfterSuite();

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    // Each writer uses a node of its own.
    couches = await Promise.all(
      [0, 1, 2].map((at) =>
        started(ownCouch({ ...backend, urls: [backend.urls[at] ?? backend.urls[0] ?? ''] })),
      ),
    );
    await ensureDatabase(couchAt(0), STORE);
  });

  const couchAt = (at: number): CouchClient => couches[at % couches.length] as CouchClient;

  /** A writer at one node. Its waits take no time, so that it finishes at once what another has left. */
  function writer(at: number, step?: (name: string) => Promise<void>): PermissionRecords {
    let waited = 0;
    return new PermissionRecords({
      couch: couchAt(at),
      copies: new RecordCopies({ couch: couchAt(at), storeDatabase: STORE }),
      nodeUrls: backend.urls,
      onWritten: () => Promise.resolve(),
      report: () => undefined,
      now: () => Math.floor(Date.now() + waited),
      wait: (milliseconds) => {
        waited += milliseconds;
        return new Promise((resolve) => setTimeout(resolve, 1));
      },
      step,
    });
  }

  async function change(records: PermissionRecords, database: string, edit: Edit): Promise<Grants> {
    const { state } = await records.change(
      database,
      ({ security }) => ({ cloudant: edit(grantsOf(security)) }),
      BY,
    );
    return grantsOf(state.security);
  }

  function grantsOf(security: JsonObject): Grants {
    return (security['cloudant'] ?? {}) as Grants;
  }

  async function namesInForce(at: number, database: string): Promise<readonly string[]> {
    const seen = await writer(at).reader.read(database);
    return [...(seen?.permissions.grants.keys() ?? [])].sort();
  }

  async function make(database: string): Promise<void> {
    const { status } = await couchAt(0).ask({ method: 'PUT', path: `/${database}` });
    assert.ok(status === 201 || status === 202, String(status));
  }

  /** Starts a change that stops at a step. `go` lets it go on; without it, it is dead. */
  async function stopped(
    at: number,
    database: string,
    step: (typeof STEPS)[number],
    edit: Edit,
  ): Promise<{ readonly go: () => void; readonly end: Promise<Grants | HttpError> }> {
    let go = (): void => undefined;
    const woken = new Promise<void>((resolve) => (go = resolve));
    let reached = (): void => undefined;
    const isThere = new Promise<void>((resolve) => (reached = resolve));
    let wasThere = false;
    const records = writer(at, async (name) => {
      if (name !== step || wasThere) return;
      wasThere = true;
      reached();
      await woken;
    });
    const end = change(records, database, edit).catch((error: unknown) => {
      if (error instanceof HttpError) return error;
      throw error;
    });
    await isThere;
    return { go, end };
  }

  /** The record and the object of every node are alike, and one leaf is left. */
  async function assertRest(database: string): Promise<void> {
    const records = writer(1);
    const deps = { couch: couchAt(1), nodeUrls: backend.urls, records };
    await until(async () => {
      await records.finisher.heal(database);
      await records.finisher.mirrorAgain(database);
      return (await checkDatabase(deps, database)) === undefined;
    }, 'record and objects are alike');
  }

  it(`are finished by others – ${DEATHS} writers that die at random steps`, async (t) => {
    const database = 'writers-die';
    await make(database);
    const counts = new Map<string, number>();
    let inForce: Grants = await change(writer(0), database, () => ({}));
    for (let death = 0; death < DEATHS; death += 1) {
      const step = STEPS[Math.floor(STEPS.length * Math.random())] ?? 'read';
      counts.set(step, (counts.get(step) ?? 0) + 1);
      const [victim] = Object.keys(inForce);
      const edit = victim !== undefined && death % 2 === 1 ? revoke(victim) : grant(`dead${death}`);
      const names = (grants: Grants): readonly string[] => Object.keys(grants).sort();
      const [beforeIt, afterIt] = [names(inForce), names(edit(inForce))];
      await stopped(death, database, step, edit);
      for (const at of [0, 1, 2]) {
        const found = await namesInForce(at, database);
        const isOneOfBoth = [beforeIt, afterIt].some((state) => found.every((name) => state.includes(name)));
        assert.ok(
          isOneOfBoth,
          `${step}: ${found.join()} is more than ${beforeIt.join()} or ${afterIt.join()}`,
        );
      }
      const name = `alive${death}`;
      inForce = await change(writer(death + 1), database, grant(name));
      const isKept = [beforeIt, afterIt].some(
        (state) => names(inForce).join() === [...state, name].sort().join(),
      );
      assert.ok(
        isKept,
        `${step}: ${names(inForce).join()} is neither ${beforeIt.join()} nor ${afterIt.join()}`,
      );
      // A step after the acknowledgement: the change stands.
      if (['mirror', 'mirrored', 'done'].includes(step))
        assert.equal(names(inForce).join(), [...afterIt, name].sort().join(), step);
    }
    await assertRest(database);
    t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  });

  for (const step of STEPS) {
    it(`undo nothing when they wake up – asleep at \`${step}\` while a grant is revoked`, async () => {
      const database = `writers-sleep-${step}`;
      await make(database);
      await change(writer(0), database, () => ({ ann: ['_reader'], bob: ['_reader'] }));
      const sleeper = await stopped(0, database, step, grant('eve'));
      await change(writer(1), database, revoke('ann'));
      await change(writer(2), database, grant('joe'));
      await change(writer(1), database, revoke('bob'));
      const meanwhile = await namesInForce(2, database);
      assert.ok(!meanwhile.includes('ann') && !meanwhile.includes('bob'), meanwhile.join());
      sleeper.go();
      const end = await sleeper.end;
      await assertRest(database);
      const found = await namesInForce(1, database);
      assert.ok(!found.includes('ann') && !found.includes('bob'), found.join());
      assert.ok(found.includes('joe'), 'an acknowledged grant stands');
      if (!(end instanceof HttpError)) assert.ok(found.includes('eve'), 'what was answered 200 is in force');
    });

    it(`bring no grant into a database that was made again – asleep at \`${step}\``, async () => {
      const database = `writers-again-${step}`;
      await make(database);
      await change(writer(0), database, () => ({ ann: ['_reader'] }));
      const sleeper = await stopped(0, database, step, grant('eve'));
      const start = await writer(1).reader.startOf(database);
      assert.equal((await couchAt(1).ask({ method: 'DELETE', path: `/${database}` })).status, 200);
      // CouchDB's start time has seconds. The same second is a case of its own, below.
      await until(() => Math.floor(Date.now() / 1000) > Number(start), 'the next second');
      await make(database);
      const again = await writer(1).finisher.readAtRest(database);
      assert.deepEqual([...(again?.permissions.grants.keys() ?? [])], []);
      sleeper.go();
      const end = await sleeper.end;
      const seen = await writer(2).finisher.readAtRest(database);
      const found = [...(seen?.permissions.grants.keys() ?? [])];
      assert.ok(!found.includes('ann'), 'what the deleted database granted is void');
      // A change that is decided anew, after the database was made again, applies to the new one.
      if (found.includes('eve')) assert.ok(!(end instanceof HttpError), 'must not be an HttpError');
    });
  }

  it('bring no grant into a database that was made again within the same second', async () => {
    const database = 'writers-second';
    for (let round = 0; round < 3; round += 1) {
      await make(database);
      await change(writer(0), database, () => ({ ann: ['_reader'] }));
      await couchAt(1).ask({ method: 'DELETE', path: `/${database}` });
      await make(database);
      const seen = await writer(1).finisher.readAtRest(database);
      assert.deepEqual([...(seen?.permissions.grants.keys() ?? [])], []);
      await couchAt(1).ask({ method: 'DELETE', path: `/${database}` });
    }
  });
});
