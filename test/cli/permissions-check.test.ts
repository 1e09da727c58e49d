// `couchgate permissions check` beside a running Couchgate.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { type CouchClient } from '../../src/couch/client.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { ownCouch } from '../support/own-couch.ts';
import { closedAfterSuite } from '../support/started.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

describe('couchgate permissions check', () => {
  let gate: Couchgate;
  let couch: CouchClient;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate());
    couch = await started(ownCouch(gate.backend));
  });

  async function run(args: readonly string[], nodes = gate.backend.urls.join()): Promise<Ran> {
    let [out, error] = ['', ''];
    const code = await runCommand('permissions', args, {
      env: {
        COUCHGATE_CONFIG: gate.configFolder,
        COUCHGATE_COUCHDB_NODES: nodes,
        COUCHGATE_JWT_SECRET: gate.backend.jwtSecretBase64,
        COUCHGATE_JWT_KID: gate.backend.kid,
      },
      stdin: Readable.from([]),
      stdout: { write: (text) => (out += text) },
      stderr: { write: (text) => (error += text) },
    });
    return { code, out, error };
  }

  it('finds nothing where record and object are alike – exit 0', async () => {
    await gate.database('alike', { ann: ['_reader'] });
    await gate.database('fresh');
    assert.deepEqual(await run(['check', 'alike', 'fresh']), {
      code: 0,
      out: '2 databases checked, 0 differ, 0 left\n',
      error: '',
    });
  });

  it('finds and repairs an object that was changed in CouchDB – exit 1, then 0 – what it added is not in force', async () => {
    await gate.database('edited', { ann: ['_reader'] });
    const path = '/edited/_security';
    const { body } = await couch.ask({ method: 'GET', path });
    const object = body as Record<string, unknown>;
    const eve = await gate.key();
    const cloudant = { ...(object['cloudant'] as object), [eve.name]: ['_admin'] };
    await couch.ask({ method: 'PUT', path, body: { ...object, cloudant } });
    const found = await run(['check', 'edited']);
    assert.deepEqual([found.code, found.error], [1, '']);
    assert.match(
      found.out,
      /^edited: edited at 127\.0\.0\.1:\d+.*\n1 databases checked, 1 differ, 1 left\n$/u,
    );
    const asJson = JSON.parse((await run(['check', '--json', 'edited'])).out) as Record<string, unknown>;
    assert.deepEqual([asJson['database'], asJson['drift'], asJson['repaired']], ['edited', 'edited', false]);
    assert.equal((await gate.ask('GET', '/edited', { as: eve })).status, 403);
    const repaired = await run(['check', '--repair', 'edited']);
    assert.deepEqual([repaired.code, repaired.error], [0, '']);
    assert.match(repaired.out, /, repaired\n/u);
    assert.deepEqual((await couch.ask({ method: 'GET', path })).body, object);
    assert.equal((await run(['check', 'edited'])).code, 0);
  });

  it('checks every database without a name', async () => {
    const { code, out } = await run(['check']);
    assert.deepEqual([code, /(\d+) databases checked, 0 differ/u.test(out)], [0, true]);
  });

  it('is invalid usage without `check` and with unknown options – exit 2', async () => {
    for (const args of [[], ['show'], ['check', '--repiar']]) {
      const { code, error } = await run(args);
      assert.equal(code, 2);
      assert.match(error, /Usage: couchgate permissions check/u);
    }
  });

  it('says that CouchDB cannot be reached – exit 3', async () => {
    const { code, error } = await run(['check'], 'http://127.0.0.1:1');
    assert.equal(code, 3);
    assert.match(error, /^couchgate: .*127\.0\.0\.1:1/u);
  });
});
