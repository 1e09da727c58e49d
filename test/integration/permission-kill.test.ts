// A process that is killed in the middle of changes of permissions. Another replica finishes what it left.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { startProgram, temporaryFolder, type Program } from '../support/program.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 3);
/** Databases that the killed process changes at the same time, so that it dies in many steps at once. */
const DATABASES = ['kill-a', 'kill-b', 'kill-c', 'kill-d', 'kill-e', 'kill-f'];

type Grants = Readonly<Record<string, readonly string[]>>;

describe('a process that is killed while it changes permissions', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let gate: Couchgate;
  const folder = temporaryFolder();
  const started = closedAfterSuite();
  const sessionSecret = randomBytes(32);

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    gate = await started(startCouchgate({ backend, sessionSecret }));
    for (const database of DATABASES) await gate.database(database, { old: ['_reader'] });
  });
  after(() => folder.remove());

  const start = (): Program =>
    startProgram({
      COUCHGATE_DATA: join(folder.path, 'data'),
      COUCHGATE_CONFIG: gate.configFolder,
      COUCHGATE_COUCHDB_NODES: backend.urls.toReversed().join(),
      COUCHGATE_JWT_SECRET: backend.jwtSecretBase64,
      COUCHGATE_JWT_KID: backend.kid,
      COUCHGATE_SESSION_SECRET: sessionSecret.toString('base64'),
    });

  const grantsOf = async (database: string): Promise<Grants> => {
    const { status, body } = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    assert.equal(status, 200);
    return (body as { cloudant?: Grants }).cloudant ?? {};
  };

  it(`leaves changes that are finished or undone as a whole – SIGKILL, ${ROUNDS} times`, async (t) => {
    const counts = { acknowledged: 0, unanswered: 0, stands: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      const program = start();
      const url = await program.url;
      const state = new Map<string, { known: string; tried: string | undefined }>();
      let isDead = false;
      const change = async (database: string): Promise<void> => {
        for (let at = 0; !isDead; at += 1) {
          const name = `${database}-${round}-${at}`;
          const before = state.get(database)?.known ?? Object.keys(await grantsOf(database))[0] ?? '';
          state.set(database, { known: before, tried: name });
          // Each change takes the name before away, so two names at once would be a half-done change.
          const answer = await fetch(`${url}/_api/v2/db/${database}/_security`, {
            method: 'PUT',
            headers: { Authorization: basic(gate.owner), 'Content-Type': 'application/json' },
            body: JSON.stringify({ cloudant: { [name]: ['_reader'] } }),
          }).catch(() => undefined);
          if (answer?.status !== 200) return;
          counts.acknowledged += 1;
          state.set(database, { known: name, tried: undefined });
        }
      };
      const changes = DATABASES.map(change);
      await until(() => state.size === DATABASES.length, 'changes run');
      await delay(1500 * Math.random());
      await program.end('SIGKILL');
      isDead = true;
      await Promise.all(changes);
      for (const [database, { known, tried }] of state) {
        const names = Object.keys(await grantsOf(database));
        if (tried !== undefined) counts.unanswered += 1;
        if (names[0] === tried) counts.stands += 1;
        assert.ok(names.length === 1, `${database}: ${names.join()}`);
        assert.ok(names[0] === known || names[0] === tried, `${database}: ${names.join()} after ${known}`);
        const next = `${database}-${round}-next`;
        await gate.grant(database, { [next]: ['_reader'] });
        assert.deepEqual(Object.keys(await grantsOf(database)), [next]);
      }
    }
    t.diagnostic(JSON.stringify(counts));
  });
});
