// Two replicas that are pinned to different nodes of a real cluster change the permissions of one database, beside
// writers that die or sleep between any two steps, with all nodes up and with one stopped.
// RACE_CHANGES sets the number of changes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpError } from '../../src/http-errors.ts';
import { checkDatabase } from '../../src/permissions/record-check.ts';
import { PermissionRecords } from '../../src/permissions/permission-records.ts';
import { RecordCopies } from '../../src/permissions/record-copies.ts';
import { parseSecurityPut } from '../../src/permissions/security-request.ts';
import { shownForm } from '../../src/permissions/security-document.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { ownCouch } from '../support/own-couch.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const CHANGES = Number(process.env['RACE_CHANGES'] ?? 60);
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };
/** A replica learns of a change of another one within 2 s; far more on a machine with much load. */
const GRACE_MS = 15_000;

type Grants = Readonly<Record<string, readonly string[]>>;

/** What all parties know of one race. Every name is granted once, and revoked at most once. */
class Race {
  readonly granted = new Set<string>();
  /** Names whose revocation was begun. */
  readonly doubtful = new Set<string>();
  /** When and by which replica a revocation was acknowledged. */
  readonly revoked = new Map<string, { readonly at: number; readonly by: unknown }>();
  readonly revisions = new Map<number, string>();
  readonly violations: string[] = [];
  readonly times: number[] = [];
  readonly counts = { acknowledged: 0, unknown: 0, dead: 0, slept: 0, reads: 0, lagMs: 0 };
  #next = 0;

  /** Names to grant and to revoke in one change; one of them. */
  choose(): { readonly grant?: string; readonly revoke?: string } {
    this.#next += 1;
    const revoke =
      Math.random() < 0.45 ? [...this.granted].find((name) => !this.doubtful.has(name)) : undefined;
    if (revoke === undefined) return { grant: `n${this.#next}` };
    this.doubtful.add(revoke);
    return { revoke };
  }

  edit(grants: Grants, { grant, revoke }: ReturnType<Race['choose']>): Grants {
    const kept = Object.entries(grants).filter(([name]) => name !== revoke);
    return Object.fromEntries(grant === undefined ? kept : [...kept, [grant, ['_reader']]]);
  }

  acknowledge(
    { grant, revoke }: ReturnType<Race['choose']>,
    by: unknown,
    revision: number,
    text: string,
  ): void {
    this.counts.acknowledged += 1;
    const known = this.revisions.get(revision);
    if (known !== undefined && known !== text)
      this.violations.push(`revision ${revision} names two contents`);
    this.revisions.set(revision, text);
    if (grant !== undefined) this.granted.add(grant);
    if (revoke !== undefined) this.revoked.set(revoke, { at: performance.now(), by });
  }

  /** Checks what a replica has in force at `readAt`. */
  check(names: Iterable<string>, readAt: number, by: unknown): void {
    this.counts.reads += 1;
    for (const name of names) {
      const revoked = this.revoked.get(name);
      if (revoked === undefined || revoked.at > readAt) continue;
      const late = readAt - revoked.at;
      if (revoked.by === by || late > GRACE_MS) this.violations.push(`${name} in force ${late} ms after`);
      else this.counts.lagMs = Math.max(this.counts.lagMs, Math.round(late));
    }
  }
}

describe('permissions that several replicas change', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let replicas: readonly Couchgate[];
  const started = closedAfterSuite();

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    const sessionSecret = randomBytes(32);
    const pinned = (at: number): Promise<Couchgate> =>
      startCouchgate({ backend: { ...backend, urls: [backend.urls[at] ?? ''] }, sessionSecret });
    replicas = await Promise.all([started(pinned(0)), started(pinned(1))]);
  });

  /** Changes through one replica until `limit` changes were made. */
  async function changeThrough(gate: Couchgate, database: string, race: Race, limit: number): Promise<void> {
    const { permissions } = gate.running.services;
    for (let made = 0; made < limit; made += 1) {
      const choice = race.choose();
      const beganAt = performance.now();
      try {
        const { revision, after } = await permissions.change(
          database,
          OWNER,
          (inForce) => {
            const { cloudant = {} } = shownForm(inForce) as { readonly cloudant?: Grants };
            return parseSecurityPut({ cloudant: race.edit(cloudant, choice) });
          },
          { via: 'api', standing: undefined },
        );
        race.times.push(performance.now() - beganAt);
        race.acknowledge(choice, gate, revision, [...after.grants.keys()].join());
      } catch (error) {
        if (!(error instanceof HttpError) || error.status !== 503) throw error;
        race.counts.unknown += 1;
      }
    }
  }

  /** A writer that dies or sleeps somewhere, again and again. */
  async function disturb(url: string, database: string, race: Race, isOver: () => boolean): Promise<void> {
    const couch = await started(ownCouch({ ...backend, urls: [url] }));
    while (!isOver()) {
      let dies: (() => void) | undefined;
      const death = new Promise<void>((resolve) => (dies = resolve));
      const records = new PermissionRecords({
        couch,
        copies: new RecordCopies({ couch, storeDatabase: 'couchgate' }),
        nodeUrls: [url],
        onWritten: () => Promise.resolve(),
        report: () => undefined,
        now: Date.now,
        step: async () => {
          const chance = Math.random();
          if (chance < 0.1) {
            race.counts.dead += 1;
            dies?.();
            await new Promise(() => undefined);
          } else if (chance < 0.15) {
            race.counts.slept += 1;
            await delay(5000);
          }
        },
      });
      const choice = race.choose();
      const by = { by: 'disturber', via: 'api' } as const;
      const edit = ({ security }: { readonly security: { readonly cloudant?: unknown } }): object => ({
        cloudant: race.edit((security.cloudant ?? {}) as Grants, choice),
      });
      const done = records.change(database, edit as never, by).then(
        ({ state }) => {
          const names = Object.keys(state.security['cloudant'] ?? {});
          race.acknowledge(choice, records, state.revision, names.join());
        },
        () => undefined,
      );
      await Promise.race([done, death]);
      await delay(1000 * Math.random());
    }
  }

  async function read(gate: Couchgate, database: string, race: Race, isOver: () => boolean): Promise<void> {
    const { permissions } = gate.running.services;
    while (!isOver()) {
      const readAt = performance.now();
      const found = await Promise.resolve(permissions.permissionsOf(database)).catch(() => undefined);
      race.check(found?.grants.keys() ?? [], readAt, gate);
      await delay(20);
    }
  }

  async function run(t: TestContext, database: string, disturberAt: number): Promise<Race> {
    const race = new Race();
    let isOver = false;
    const over = (): boolean => isOver;
    const beganAt = performance.now();
    const reads = replicas.map((gate) => read(gate, database, race, over));
    const disturber = disturb(backend.urls[disturberAt] ?? '', database, race, over);
    await Promise.all(replicas.map((gate) => changeThrough(gate, database, race, CHANGES / 2)));
    isOver = true;
    await Promise.all([...reads, disturber]);
    const sorted = race.times.sort((a, b) => a - b);
    const msAt = (part: number): number => Math.round(sorted[Math.floor(part * sorted.length)] ?? 0);
    const seconds = Math.round((performance.now() - beganAt) / 1000);
    t.diagnostic(JSON.stringify({ ...race.counts, p50: msAt(0.5), p95: msAt(0.95), seconds }));
    return race;
  }

  async function leavesOf(database: string): Promise<number> {
    const couch = ownCouch(backend);
    const path = `/couchgate/${encodeURIComponent(`permissions:${database}`)}?open_revs=all&r=3`;
    const { body } = await couch.ask({ method: 'GET', path });
    await couch.close();
    const rows = body as readonly { readonly ok?: { readonly _deleted?: boolean } }[];
    return rows.filter(({ ok }) => ok !== undefined && ok._deleted !== true).length;
  }

  /** One leaf, equal mirrors, no grant lost without a merge, no revocation undone. */
  async function assertRest(t: TestContext, database: string, race: Race): Promise<void> {
    const [first, second] = replicas as readonly [Couchgate, Couchgate];
    const { services } = first.running;
    const deps = { couch: services.couch, nodeUrls: backend.urls, records: services.permissions.records };
    await until(async () => {
      await services.recordMaintenance.inspect(database);
      return (await checkDatabase(deps, database)) === undefined;
    }, 'record and objects are alike');
    await until(async () => (await leavesOf(database)) === 1, 'one leaf is left');
    const seen = await services.permissions.inForce(database);
    const names = new Set(seen?.permissions.grants.keys());
    for (const name of race.revoked.keys())
      if (names.has(name)) race.violations.push(`${name} came back in the end`);
    const merges = [first, second]
      .flatMap(({ log }) => log.lines)
      .filter(({ message }) => message.includes('merged'));
    const lost = [...race.granted].filter((name) => !names.has(name) && !race.doubtful.has(name));
    t.diagnostic(JSON.stringify({ revision: seen?.revision, merges: merges.length, lost: lost.length }));
    assert.deepEqual(race.violations, []);
    if (merges.length === 0) assert.deepEqual(lost, [], 'no grant is lost without a merge');
  }

  it('undo no revocation with all nodes up', async (t) => {
    const [gate] = replicas as readonly [Couchgate];
    await gate.database('races-up', {});
    const race = await run(t, 'races-up', 2);
    await assertRest(t, 'races-up', race);
    assert.ok(race.counts.acknowledged > CHANGES / 2, `${race.counts.acknowledged} > CHANGES / 2`);
  });

  it('undo no revocation with one node stopped, and after it has come back', async (t) => {
    const [gate] = replicas as readonly [Couchgate];
    await gate.database('races-down', {});
    await backend.nodes[2]?.kill();
    const race = await run(t, 'races-down', 1);
    await backend.nodes[2]?.start();
    await assertRest(t, 'races-down', race);
    assert.ok(race.counts.acknowledged > CHANGES / 2, `${race.counts.acknowledged} > CHANGES / 2`);
  });
});
