// What grants mean from end to end: for validate_doc_update functions, for databases that CouchDB guards, for those that were there before,
// and on a second Couchgate of the same cluster.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until, within } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const VALIDATE = `function (doc, old, userCtx) { throw({ forbidden: JSON.stringify([userCtx.name, userCtx.roles]) }); }`;

describe('permissions', () => {
  let couchgate: Couchgate;
  let key: Credentials;
  const user: Credentials = { name: 'permissions-jan', password: 'a wooden spoon' };
  const ask: Couchgate['ask'] = (...request) => couchgate.ask(...request);

  before(async () => {
    couchgate = await startCouchgate();
    key = await couchgate.key();
    const document = { name: user.name, password: user.password, type: 'user', roles: ['cook'] };
    const path = `/_users/org.couchdb.user:${user.name}`;
    assert.equal((await ask('PUT', path, { as: couchgate.owner, body: document })).status, 201);
  });
  after(() => couchgate.close());

  it('shows validate_doc_update the real name and the Cloudant roles of a key – PUT /db/doc – 403', async () => {
    await couchgate.database('p-validate', { [key.name]: ['_reader', '_writer'] });
    const ddoc = { validate_doc_update: VALIDATE };
    assert.equal(
      (await ask('PUT', '/p-validate/_design/v', { as: couchgate.owner, body: ddoc })).status,
      201,
    );
    await until(
      async () => (await ask('PUT', '/p-validate/x', { as: key, body: {} })).status === 403,
      'the function is in force',
    );
    const { body } = await ask('PUT', '/p-validate/y', { as: key, body: {} });
    const [name, roles] = JSON.parse((body as { reason: string }).reason) as [string, string[]];
    assert.equal(name, key.name);
    assert.ok(roles.includes('_reader') && roles.includes('_writer'), roles.join());
    assert.equal(roles.includes('_admin'), false);
  });

  it('is `_admin` to the functions of a database as the owner, and nobody else is – PUT, _bulk_docs, _changes?filter', async () => {
    await couchgate.database('p-admin', { [key.name]: ['_admin'] });
    const isAdmin = (roles: string): string => `${roles}.indexOf('_admin') !== -1`;
    const ddoc = {
      validate_doc_update: `function (doc, old, userCtx) { if (!(${isAdmin('userCtx.roles')})) throw({ forbidden: 'only admins' }); }`,
      filters: { mine: `function (doc, req) { return ${isAdmin('req.userCtx.roles')}; }` },
    };
    const { owner } = couchgate;
    assert.equal((await ask('PUT', '/p-admin/_design/v', { as: owner, body: ddoc })).status, 201);
    await until(
      async () => (await ask('PUT', '/p-admin/x', { as: key, body: {} })).status === 403,
      'the function is in force',
    );
    assert.equal((await ask('PUT', '/p-admin/y', { as: owner, body: {} })).status, 201);
    const { body } = await ask('POST', '/p-admin/_bulk_docs', {
      as: owner,
      body: { docs: [{ _id: 'z' }, { _id: '_design/other' }] },
    });
    assert.deepEqual(
      (body as { readonly ok?: boolean }[]).map(({ ok }) => ok),
      [true, true],
    );
    const seen = async (as: Credentials): Promise<number> => {
      const answer = await ask('GET', '/p-admin/_changes?filter=v/mine', { as });
      return (answer.body as { readonly results: readonly unknown[] }).results.length;
    };
    assert.equal((await seen(owner)) >= 2, true);
    assert.equal(await seen(key), 0);
  });

  it('gives a user the roles that its name has in `cloudant` – GET 200, PUT 403', async () => {
    await couchgate.database('p-user', { [user.name]: ['_reader'] });
    assert.equal((await ask('GET', '/p-user/_all_docs', { as: user })).status, 200);
    assert.equal((await ask('PUT', '/p-user/x', { as: user, body: {} })).status, 403);
  });

  it('leaves a couchdb_auth_only database to CouchDB: members get in by name and by role, others do not', async () => {
    await couchgate.database('p-couch');
    const security = (members: object) =>
      ask('PUT', '/p-couch/_security', { as: couchgate.owner, body: { couchdb_auth_only: true, members } });
    assert.equal((await security({ names: [], roles: ['cook'] })).status, 200);
    await until(
      async () => (await ask('GET', '/p-couch/_all_docs', { as: user })).status === 200,
      'the role lets in',
    );
    assert.equal((await ask('PUT', '/p-couch/x', { as: user, body: {} })).status, 201);
    assert.equal((await ask('GET', '/p-couch/_all_docs', { as: key })).status, 403);
    assert.equal((await ask('GET', '/p-couch/_all_docs')).status, 401);
    assert.equal((await ask('GET', '/p-couch/_all_docs', { as: couchgate.owner })).status, 200);
    assert.equal((await security({ names: ['somebody'], roles: [] })).status, 200);
    await until(
      async () => (await ask('GET', '/p-couch/_all_docs', { as: user })).status === 403,
      'the role lets in no more',
    );
  });

  it('keeps what a client says of members and admins, but not in force, and hides its own markers – GET /db/_security', async () => {
    await couchgate.database('p-kept');
    const given = {
      cloudant: {},
      members: { names: [key.name], roles: [] },
      admins: { names: [key.name], roles: [] },
      note: 'mine',
    };
    assert.equal((await ask('PUT', '/p-kept/_security', { as: couchgate.owner, body: given })).status, 200);
    assert.equal((await ask('GET', '/p-kept/_all_docs', { as: key })).status, 403);
    const { body } = await ask('GET', '/p-kept/_security', { as: couchgate.owner });
    assert.deepEqual(body, { ...given, _id: '_security' });
  });

  it('names the role that is not one – PUT /db/_security – 400, and changes nothing', async () => {
    await couchgate.database('p-bad', { [key.name]: ['_reader'] });
    const { status, body } = await ask('PUT', '/p-bad/_security', {
      as: couchgate.owner,
      body: { cloudant: { x: ['_boss'] } },
    });
    assert.equal(status, 400);
    assert.match((body as { reason: string }).reason, /_boss/u);
    assert.equal((await ask('GET', '/p-bad/_all_docs', { as: key })).status, 200);
  });

  it('lets nobody read where nobody may, and not write', async () => {
    await couchgate.database('p-public', { nobody: ['_reader'] });
    assert.equal((await ask('GET', '/p-public/_all_docs')).status, 200);
    assert.equal((await ask('PUT', '/p-public/x', { body: {} })).status, 401);
    assert.equal(
      (await ask('GET', '/p-public/_all_docs', { as: key })).status,
      403,
      'nobody is no default for others',
    );
  });

  it('opens a database that was there before to the owner alone until somebody grants', async () => {
    const { backend } = couchgate;
    const direct = (method: string, path: string, body?: object) =>
      fetch(`${backend.urls[0] ?? ''}${path}`, {
        method,
        headers: { Authorization: basic(backend.owner), 'Content-Type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }).then((answer) => answer.arrayBuffer());
    await direct('PUT', '/p-old');
    await direct('PUT', '/p-old/_security', {
      members: { names: [], roles: [] },
      admins: { names: [], roles: [] },
    });
    assert.equal((await ask('GET', '/p-old/_all_docs', { as: key })).status, 403);
    assert.equal((await ask('GET', '/p-old/_all_docs')).status, 401);
    assert.equal((await ask('PUT', '/p-old/x', { as: couchgate.owner, body: {} })).status, 201);
    await couchgate.grant('p-old', { [key.name]: ['_reader'] });
    assert.equal((await ask('GET', '/p-old/x', { as: key })).status, 200);
  });

  it('forgets the grants of a database that was deleted and made again', async () => {
    await couchgate.database('p-again', { [key.name]: ['_reader'] });
    assert.equal((await ask('GET', '/p-again', { as: key })).status, 200);
    assert.equal((await ask('DELETE', '/p-again', { as: couchgate.owner })).status, 200);
    assert.equal((await ask('GET', '/p-again', { as: key })).status, 404);
    await couchgate.database('p-again');
    assert.equal((await ask('GET', '/p-again', { as: key })).status, 403);
  });
});

describe('two Couchgates on one cluster', () => {
  let backend: Backend;
  let first: Couchgate;
  let second: Couchgate;
  let key: Credentials;
  const DATABASE = 'p-two';
  /** The stated bound, with room for a machine that is busy with other tests. */

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    const sessionSecret = randomBytes(32);
    first = await started(startCouchgate({ backend, sessionSecret }));
    second = await started(startCouchgate({ backend, sessionSecret }));
    key = await first.key();
    await first.database(DATABASE, { [key.name]: ['_reader'] });
  });

  /** An open continuous feed on the second one; resolves with how it ended. */
  async function openFeed(): Promise<{ readonly ended: Promise<void> }> {
    const path = `/${DATABASE}/_changes?feed=continuous&heartbeat=1000`;
    const answer = await fetch(second.url + path, { headers: { Authorization: basic(key) } });
    assert.equal(answer.status, 200);
    const reader = answer.body?.getReader();
    const ended = (async () => {
      while (reader !== undefined && !(await reader.read()).done);
    })().catch(() => undefined);
    return { ended };
  }

  async function measured(
    t: { diagnostic(text: string): void },
    what: string,
    happened: Promise<unknown>,
  ): Promise<void> {
    const startedAt = performance.now();
    await within(happened, what);
    const tookMs = Math.round(performance.now() - startedAt);
    t.diagnostic(`${what} after ${tookMs} ms`);
  }

  const isRefused = (status: number) =>
    until(
      async () => (await second.ask('GET', `/${DATABASE}/_all_docs`, { as: key })).status === status,
      `${status}`,
    );

  it('agree on a new key and its grant – GET on the second – 200', async () => {
    await isRefused(200);
  });

  it('agree on a removed grant: the second refuses and ends the open feed – 403', async (t) => {
    const feed = await openFeed();
    await first.grant(DATABASE, {});
    assert.equal(
      (await first.ask('GET', `/${DATABASE}/_all_docs`, { as: key })).status,
      403,
      'at once where it was done',
    );
    await measured(t, 'the second refused', isRefused(403));
    await measured(t, 'the feed on the second ended', feed.ended);
  });

  it('agree on a revoked key: the second refuses and ends the open feed – 401', async (t) => {
    await first.grant(DATABASE, { [key.name]: ['_reader'] });
    await isRefused(200);
    const feed = await openFeed();
    assert.equal(
      (await first.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: first.owner })).status,
      200,
    );
    assert.equal(
      (await first.ask('GET', `/${DATABASE}/_all_docs`, { as: key })).status,
      401,
      'at once where it was done',
    );
    await measured(t, 'the second refused', isRefused(401));
    await measured(t, 'the feed on the second ended', feed.ended);
  });
});
