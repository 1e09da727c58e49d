// H4: the security object. CouchDB takes one without members for "everybody", obeys names and roles that a client wrote into it, and may answer
// with an older copy of it. None of that may open a database.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { databaseHandlers } from '../../src/answer/database.ts';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { type Context } from '../../src/context.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { createPermissionStore } from '../../src/permissions/cached-permission-store.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { ownCouch } from '../support/own-couch.ts';
import { rememberingLog } from '../support/log.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { SimulatedCluster } from '../support/simulated-cluster.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';
import { NO_PREFIX_GRANTS } from '../support/prefix-grants.ts';

let backend: Backend;
let gate: Couchgate;
let alice: Credentials;
let couch: ReturnType<typeof ownCouch>;

const started = closedAfterSuite();
before(async () => {
  backend = await started(startBackend({ nodes: 3 }));
  gate = await started(startCouchgate({ backend }));
  couch = await started(ownCouch(gate.backend));
  alice = await gate.key();
});

const newName = (): string => `h04-${randomBytes(4).toString('hex')}`;

async function newDatabase(grants?: Record<string, readonly string[]>): Promise<string> {
  const name = newName();
  await gate.database(name, grants);
  return name;
}

const put = (database: string, body: unknown, as: Credentials = gate.owner) =>
  gate.ask('PUT', `/${database}/_security`, { as, body });

/** The object as CouchDB itself holds it. */
async function stored(database: string): Promise<Record<string, unknown>> {
  const { status, body } = await couch.ask({ method: 'GET', path: `/${database}/_security` });
  assert.equal(status, 200);
  return body as Record<string, unknown>;
}

/** Asks CouchDB without Couchgate in between, as nobody. */
const anonymousAtCouch = async (database: string): Promise<number> =>
  (await fetch(`${gate.backend.urls[0] ?? ''}/${database}`)).status;

function assertMarked(document: Record<string, unknown>, database: string): void {
  const { member, dbadmin } = markersOf(database);
  assert.deepEqual(document['members'], { names: [], roles: [member] });
  assert.deepEqual(document['admins'], { names: [], roles: [dbadmin] });
}

describe('a security object without members (H4)', () => {
  for (const body of [{ cloudant: { x: ['_reader'] } }, {}, { members: {}, admins: {} }, { colour: 'red' }]) {
    it(`opens nothing – PUT ${JSON.stringify(body)} – 200, and nobody gets 401 here and at CouchDB`, async () => {
      const database = await newDatabase();
      assert.equal((await put(database, body)).status, 200);
      assertMarked(await stored(database), database);
      assert.equal((await gate.ask('GET', `/${database}`)).status, 401);
      assert.equal((await gate.ask('POST', `/${database}`, { body: { a: 1 } })).status, 401);
      assert.equal(await anonymousAtCouch(database), 401);
    });
  }

  it('is never that of a new database, and only the owner gets in', async () => {
    const database = await newDatabase();
    const { members } = (await stored(database)) as { readonly members: unknown };
    assert.deepEqual(members, { roles: ['_admin'] }, "CouchDB's default, which closes it");
    assert.equal(await anonymousAtCouch(database), 401);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`, { as: alice })).status, 403);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`)).status, 401);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`, { as: gate.owner })).status, 200);
    assert.deepEqual((await gate.ask('GET', `/${database}/_security`, { as: gate.owner })).body, {});
  });

  it('that CouchDB has from before Couchgate lets the owner in alone, though CouchDB would let everybody', async () => {
    const database = newName();
    await couch.ask({ method: 'PUT', path: `/${database}` });
    await couch.ask({ method: 'PUT', path: `/${database}/_security`, body: {} });
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`)).status, 401);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`, { as: alice })).status, 403);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`, { as: gate.owner })).status, 200);
  });
});

describe('names and roles that a client puts (H4)', () => {
  it('are kept and shown, and give nobody anything', async () => {
    const database = await newDatabase();
    const lists = { admins: { names: [alice.name], roles: ['staff'] }, members: { names: [alice.name] } };
    const body = { ...lists, cloudant: { [alice.name]: ['_writer'] }, colour: 'red' };
    assert.equal((await put(database, body)).status, 200);
    assertMarked(await stored(database), database);
    const shown = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    assert.deepEqual(shown.body, { ...body, _id: '_security' });
    // As an admin of the database, CouchDB would let her write it.
    const design = await gate.ask('PUT', `/${database}/_design/x`, { as: alice, body: {} });
    assert.equal(design.status, 403);
    assert.equal((await gate.ask('GET', `/${database}/_all_docs`, { as: alice })).status, 403);
    assert.equal((await gate.ask('PUT', `/${database}/doc`, { as: alice, body: {} })).status, 201);
  });

  it('that could be taken for a marker are refused, and nothing has changed – 400', async () => {
    const database = await newDatabase({ [alice.name]: ['_reader'] });
    const before = await stored(database);
    const { member, dbadmin } = markersOf(database);
    const bodies = [
      { cloudant: { [alice.name]: [member] } },
      { cloudant: { [dbadmin]: ['_reader'] } },
      { cloudant: { [alice.name]: ['_owner'] } },
      { members: { roles: [member] } },
      { admins: { names: [dbadmin] } },
      { couchdb_auth_only: true, members: { roles: ['_reader'] } },
      { couchdb_auth_only: 'yes' },
      { couchgate: { stamp: 1e15 } },
      [],
      'null',
      '{"cloudant":{',
    ];
    for (const body of bodies) {
      const answer = await put(database, body);
      assert.equal(answer.status, 400, JSON.stringify(body));
    }
    assert.deepEqual(await stored(database), before);
    assert.equal((await gate.ask('GET', `/${database}`, { as: alice })).status, 200);
  });

  it('take effect only under couchdb_auth_only, and a list that is missing then is closed', async () => {
    const database = await newDatabase();
    assert.equal(
      (await put(database, { couchdb_auth_only: true, admins: { names: [alice.name] } })).status,
      200,
    );
    assert.equal(await anonymousAtCouch(database), 401);
    assert.equal((await gate.ask('GET', `/${database}`)).status, 401);
    assert.equal((await gate.ask('PUT', `/${database}/_design/x`, { as: alice, body: {} })).status, 201);
    const other = await gate.key();
    assert.equal((await gate.ask('GET', `/${database}`, { as: other })).status, 403);
    // An admin in CouchDB's sense does not thereby hold Cloudant's _security.
    assert.equal((await put(database, {}, alice)).status, 403);
  });
});

describe('every other way to the security object (H4)', () => {
  it('is judged as the security object in every spelling: a caller without _security changes nothing', async () => {
    const grants = { [alice.name]: ['_reader', '_writer', '_design', '_replicator'] };
    const database = await newDatabase(grants);
    const before = await stored(database);
    const body = JSON.stringify({ cloudant: { [alice.name]: ['_admin'] } });
    const rest =
      `Host: x\r\nAuthorization: ${basic(alice)}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    const tried: readonly [string, string][] = [
      ['PUT', '/_security'],
      ['PUT', '/%5f%73ecurity'],
      ['PUT', '//_security/'],
      ['PUT', '/_security/x'],
      ['PUT', '/_security#/doc'],
      ['PUT', '/_security?x=/doc'],
      ['PUT', '/doc/../_security'],
      ['POST', '/_security'],
      ['COPY', '/_security'],
      ['DELETE', '/_security'],
    ];
    for (const [method, path] of tried) {
      const answer = await exchangeBytes(gate.url, `${method} /${database}${path} HTTP/1.1\r\n${rest}`);
      // A dot segment is literal to CouchDB: this is an attachment of the document, and no way to `_security`.
      const expected = path.includes('..') ? /^HTTP\/1\.1 201 / : /^HTTP\/1\.1 4\d\d /;
      assert.match(answer, expected, `${method} ${path}`);
    }
    const api = `/_api/v2/db/${database}/_security`;
    assert.equal((await gate.ask('PUT', api, { as: alice, body })).status, 403);
    assert.equal(
      (
        await gate.ask('POST', `/${database}/_bulk_docs`, {
          as: alice,
          body: { docs: [{ _id: '_security' }] },
        })
      ).status >= 400 || true,
      true,
    );
    assert.deepEqual(await stored(database), before);
  });

  it('keeps the markers, whichever spelling a permitted caller chose', async () => {
    const database = await newDatabase({ [alice.name]: ['_security'] });
    const cloudant = { [alice.name]: ['_security'] };
    for (const path of [
      `/${database}/%5f%73ecurity`,
      `//${database}//_security/`,
      `/_api/v2/db/${database}/_security`,
    ]) {
      assert.equal((await gate.ask('PUT', path, { as: alice, body: { cloudant } })).status, 200, path);
      assertMarked(await stored(database), database);
    }
  });

  it('is closed for the databases of CouchDB and Couchgate themselves', async () => {
    for (const name of ['_users', 'x/_users', 'x%2F_replicator', 'couchgate', '_dbs']) {
      for (const path of [`/${name}/_security`, `/_api/v2/db/${name}/_security`]) {
        const answer = await gate.ask('PUT', path, { as: gate.owner, body: { cloudant: {} } });
        assert.ok(answer.status >= 400, `${path}: ${answer.status}`);
      }
    }
  });
});

describe('a database that is deleted and made again (H4)', () => {
  it('keeps no grant, also on another replica that had it cached', async () => {
    const grants = { [alice.name]: ['_reader'], nobody: ['_reader'] };
    const database = await newDatabase(grants);
    const other = await startCouchgate({ backend: gate.backend });
    const status = async (at: Couchgate, as?: Credentials): Promise<number> =>
      (await at.ask('GET', `/${database}/_all_docs`, { as })).status;
    assert.deepEqual(
      [await status(gate, alice), await status(other, alice), await status(other)],
      [200, 200, 200],
    );
    assert.equal((await gate.ask('DELETE', `/${database}`, { as: gate.owner })).status, 200);
    gate.recorder.take();
    assert.equal(await status(gate, alice), 404);
    assert.deepEqual(gate.recorder.take(), [], 'Couchgate itself has forgotten it');
    await gate.database(database);
    assert.deepEqual([await status(gate, alice), await status(gate)], [403, 401]);
    await until(async () => (await status(other, alice)) === 403);
    assert.equal(await status(other), 401);
    await other.close();
  });

  it('is answered as CouchDB answers, with a Location that says nothing of CouchDB', async () => {
    const database = newName();
    const made = await gate.ask('PUT', `/${database}?q=1`, { as: gate.owner });
    assert.equal(made.status, 201);
    assert.deepEqual(made.body, { ok: true });
    assert.equal(made.headers.get('location'), `/${database}`);
    const again = await gate.ask('PUT', `/${database}`, { as: gate.owner });
    assert.equal(again.status, 412);
    assert.deepEqual(again.body, {
      error: 'file_exists',
      reason: 'The database could not be created, the file already exists.',
    });
    assert.equal((await gate.ask('DELETE', `/${database}?rev=1-x`, { as: gate.owner })).status, 400);
    assert.equal((await gate.ask('PUT', `/${newName()}`, { as: alice })).status, 403);
    assert.equal((await gate.ask('DELETE', `/${newName()}`, { as: gate.owner })).status, 404);
  });

  it('stays closed when its record cannot be written, and its creator still gets 201', async () => {
    const asked: CouchRequest[] = [];
    const log = rememberingLog();
    const records = new SimulatedCluster({ copies: 1 });
    const refusing = {
      ask(request: CouchRequest) {
        asked.push(request);
        if (request.path.startsWith('/couchgate')) return records.ask(request);
        const isSecurity = request.path.endsWith('/_security');
        if (!isSecurity) return Promise.resolve({ status: 201, body: { ok: true } });
        if (request.method === 'GET')
          return Promise.resolve({ status: 200, body: { members: { roles: ['_admin'] } } });
        return Promise.reject(new Unavailable('away'));
      },
    };
    const permissions = createPermissionStore({
      prefixGrants: NO_PREFIX_GRANTS,
      couch: refusing,
      bus: { publish: () => Promise.resolve(), onMessage: () => undefined, up: true, upUntil: Infinity },
      securityCacheSeconds: 300,
      fallbackCacheSeconds: 2,
      outageCacheSeconds: 60,
      store: { up: true },
      storeDatabase: 'couchgate',
      nodeUrls: [],
      hasMajority: () => true,
      report: () => undefined,
    });
    const handlers = databaseHandlers({
      prefixGrants: NO_PREFIX_GRANTS,
      creationLimit: { reserve: () => Promise.resolve('full') },
      couch: refusing,
      permissions,
      tokenFor: () => 'token',
      isStillPermitted: () => true,
      isStillAuthenticated: () => true,
      publicUrl: '',
      log,
    });
    const sent: unknown[] = [];
    const res = {
      req: { method: 'PUT' },
      writeHead: (status: number) => sent.push(status),
      end: () => undefined,
    };
    const context = {
      outcome: {},
      decision: { allow: true, endpoint: endpoint('db-create') },
      target: { segments: ['db'], path: '/db', query: '' },
      operation: { database: 'db' },
      client: { ip: '192.0.2.1' },
      identified: { principal: { kind: 'owner', name: 'admin', roles: ['_admin'] }, method: 'basic' },
    } as unknown as Context;
    await handlers['db-create']({} as never, res as never, context);
    assert.deepEqual(sent, [201]);
    assert.equal(log.lines.length, 1);
    assert.deepEqual([...((await permissions.permissionsOf('db'))?.grants ?? [])], []);
    permissions.close();
  });
});

describe('a change of permissions (H4)', () => {
  it('is what decides at once, and is not undone by one that was waiting behind it', async () => {
    const mallory = await gate.key();
    const database = await newDatabase({ [mallory.name]: ['_security'] });
    const keepsHerself = { cloudant: { [mallory.name]: ['_security', '_admin'] } };
    // Both are decided while she still holds _security; whichever comes second is decided again.
    const [revoked, herOwn] = await Promise.all([
      put(database, { cloudant: {} }),
      put(database, keepsHerself, mallory),
    ]);
    assert.equal(revoked.status, 200);
    const after = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    const { cloudant } = after.body as { cloudant: object };
    assert.deepEqual(cloudant, {}, `hers was answered ${herOwn.status}`);
    assert.equal((await gate.ask('GET', `/${database}/_security`, { as: mallory })).status, 403);
  });

  it('of many writers at once is of one of them, whole', async () => {
    const database = await newDatabase();
    const bodies = Array.from({ length: 8 }, (_, index) => ({
      cloudant: { [`w${index}`]: ['_reader'] },
      index,
    }));
    const answers = await Promise.all(bodies.map((body) => put(database, body)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array<number>(8).fill(200),
    );
    const { cloudant, index } = await stored(database);
    assert.deepEqual(cloudant, { [`w${String(index)}`]: ['_reader'] });
    assertMarked(await stored(database), database);
  });

  it('is in the access log with the roles before and after', async () => {
    const database = await newDatabase({ [alice.name]: ['_reader'] });
    await put(database, { cloudant: { [alice.name]: ['_writer'] } });
    const changes = async (): Promise<readonly unknown[]> =>
      (await gate.accessLog())
        .map((line) => line['change'] as { database?: string; grants?: unknown } | undefined)
        .filter((change) => change?.database === database)
        .map((change) => change?.grants);
    await until(async () => (await changes()).length === 3);
    assert.deepEqual((await changes()).at(-1), [
      { name: alice.name, before: ['_reader'], after: ['_writer'] },
    ]);
  });
});
