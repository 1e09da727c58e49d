// The main job from end to end: a database, a key, a grant; what the key may do, what it may not, and what CouchDB is told of it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { markersOf } from '../support/markers.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

const DATABASE = 'roles';

describe('a key on one database', () => {
  let backend: Backend;
  let couchgate: Couchgate;
  let key: Credentials;
  let written = 0;
  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    couchgate = await started(startCouchgate({ backend }));
    key = await couchgate.key();
    await couchgate.database(DATABASE);
    await couchgate.ask('PUT', `/${DATABASE}/apple`, { as: couchgate.owner, body: { kind: 'fruit' } });
  });

  const get = (as?: Credentials) => couchgate.ask('GET', `/${DATABASE}/apple`, { as });
  const put = (as?: Credentials) =>
    couchgate.ask('PUT', `/${DATABASE}/new-${(written += 1)}`, { as, body: {} });

  /** Grants `roles`, then shows what reading and writing are answered. */
  const table: readonly (readonly [readonly string[] | undefined, number, number])[] = [
    [undefined, 403, 403],
    [['_reader'], 200, 403],
    [['_writer'], 403, 201],
    [['_reader', '_writer'], 200, 201],
    [['_admin'], 200, 201],
    [['_design'], 403, 403],
    [[], 403, 403],
  ];
  for (const [roles, read, write] of table) {
    const held =
      roles === undefined ? 'no grant' : roles.length === 0 ? 'its grants removed' : roles.join(' and ');
    it(`answers a key with ${held} – GET ${read}, PUT ${write}`, async () => {
      if (roles !== undefined)
        await couchgate.grant(DATABASE, roles.length === 0 ? {} : { [key.name]: roles });
      assert.equal((await get(key)).status, read);
      assert.equal((await put(key)).status, write);
    });
  }

  it('answers nobody – GET 401, PUT 401, CouchDB is not called', async () => {
    couchgate.recorder.take();
    assert.equal((await get()).status, 401);
    assert.equal((await put()).status, 401);
    assert.deepEqual(couchgate.recorder.take(), []);
  });

  it('names the role that is missing, as Cloudant does', async () => {
    await couchgate.grant(DATABASE, { [key.name]: ['_reader'] });
    assert.deepEqual((await put(key)).body, {
      error: 'forbidden',
      reason: '_writer access is required for this request',
    });
    assert.deepEqual((await put()).body, {
      error: 'unauthorized',
      reason: '_writer access is required for this request',
    });
  });
});

describe('what CouchDB is told of a caller', () => {
  let couchgate: Couchgate;
  let key: Credentials;
  before(async () => {
    couchgate = await startCouchgate();
    key = await couchgate.key();
    await couchgate.database(DATABASE, {
      [key.name]: ['_reader', '_writer', '_design'],
      nobody: ['_reader'],
    });
  });
  after(() => couchgate.close());

  const { member, dbadmin } = markersOf(DATABASE);
  const cloudant = ['_reader', '_writer', '_design'];
  const table: readonly (readonly [
    string,
    string,
    'key' | 'owner' | 'nobody',
    readonly string[],
    readonly string[],
  ])[] = [
    ['GET', '/roles/_all_docs', 'key', [member, ...cloudant], [dbadmin, '_admin']],
    ['PUT', '/roles/pear', 'key', [member, ...cloudant], [dbadmin, '_admin']],
    ['PUT', '/roles/_design/d', 'key', [dbadmin, ...cloudant], ['_admin']],
    ['GET', '/roles/_all_docs', 'nobody', [member, '_reader'], [dbadmin, '_admin']],
    ['GET', '/roles/_all_docs', 'owner', [member], ['_admin']],
    ['GET', '/_membership', 'owner', ['_admin'], [member, dbadmin]],
  ];
  for (const [method, path, who, sent, kept] of table) {
    it(`concedes the least privilege – ${method} ${path} as ${who} – ${sent[0] ?? ''}`, async () => {
      couchgate.recorder.take();
      const as = who === 'key' ? key : who === 'owner' ? couchgate.owner : undefined;
      const answer = await couchgate.ask(method, path, { as, ...(method === 'PUT' ? { body: {} } : {}) });
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
      const [seen] = couchgate.recorder.take();
      assert.equal(seen?.url, path);
      // CouchDB knows the public by no name, and so do validate_doc_update functions.
      assert.equal(seen.claims?.sub, as?.name ?? null);
      for (const role of sent)
        assert.ok(seen.claims.roles.includes(role), `${role} is missing: ${seen.claims.roles.join()}`);
      for (const role of kept) assert.ok(!seen.claims.roles.includes(role), `${role} is too much`);
      assert.ok(seen.claims.exp * 1000 - Date.now() <= 61_000, 'the token is short-lived');
    });
  }
});
