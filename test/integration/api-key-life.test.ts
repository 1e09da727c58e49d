// The life of an API key through the whole of Couchgate: made, granted, used, looked at, rotated, revoked; by whom, and with what left in the logs.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import {
  basic,
  startCouchgate,
  type AskOptions,
  type Couchgate,
  type Credentials,
} from '../support/couchgate.ts';
import { until } from '../support/until.ts';

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

describe('an API key', () => {
  let couchgate: Couchgate;
  let owner: Credentials;
  /** Every password that was ever handed out here. */
  const passwords: string[] = [];

  before(async () => {
    couchgate = await startCouchgate();
    owner = couchgate.owner;
    passwords.push(owner.password);
    await couchgate.database('life');
  });
  after(() => couchgate.close());

  const status = async (method: string, path: string, options: AskOptions = {}): Promise<number> =>
    (await couchgate.ask(method, path, options)).status;

  async function newKey(body?: unknown): Promise<Credentials> {
    const made = await couchgate.ask('POST', '/_api/v2/api_keys', { as: owner, body });
    assert.equal(made.status, 201);
    const { key, password } = made.body as { key: string; password: string };
    passwords.push(password);
    return { name: key, password };
  }

  it('has no permission until it is granted one, and those it is granted then', async () => {
    const key = await newKey();
    assert.equal(await status('GET', '/life', { as: key }), 403);
    await couchgate.grant('life', { [key.name]: ['_reader'] });
    assert.equal(await status('GET', '/life', { as: key }), 200);
    assert.equal(await status('PUT', '/life/doc', { as: key, body: {} }), 403);
    assert.equal(await status('GET', '/life', { as: { ...key, password: 'x' } }), 401);
  });

  for (const [method, path] of [
    ['POST', '/_api/v2/api_keys'],
    ['GET', '/_api/v2/api_keys'],
    ['GET', '/_api/v2/api_keys/babebibobubadedidodudafe'],
    ['PATCH', '/_api/v2/api_keys/babebibobubadedidodudafe'],
    ['DELETE', '/_api/v2/api_keys/babebibobubadedidodudafe'],
    ['POST', '/_api/v2/api_keys/babebibobubadedidodudafe/rotate'],
    ['POST', '/api/generate_api_key'],
  ] as const) {
    it(`is the owner's business alone – ${method} ${path} – 401 for nobody, 403 for a key with every role, CouchDB is not called`, async () => {
      const key = await newKey();
      await couchgate.grant('life', { [key.name]: ['_admin'] });
      couchgate.recorder.take();
      assert.equal(await status(method, path), 401);
      assert.equal(await status(method, path, { as: key }), 403);
      assert.deepEqual(couchgate.recorder.take(), []);
    });
  }

  it('is shown with what its owner should know of it, never with a secret', async () => {
    const key = await newKey({ label: 'sensor', expires_at: '2040-01-01T00:00:00Z' });
    const path = `/_api/v2/api_keys/${key.name}`;
    const { body } = await couchgate.ask('GET', path, { as: owner });
    const { created_at: createdAt, ...rest } = body as Record<string, unknown>;
    assert.equal(Math.abs(Date.parse(String(createdAt)) - Date.now()) < 60_000, true);
    assert.deepEqual(rest, {
      key: key.name,
      label: 'sensor',
      created_by: owner.name,
      expires_at: '2040-01-01T00:00:00.000Z',
      last_used: null,
    });
    const list = await couchgate.ask('GET', '/_api/v2/api_keys', { as: owner });
    assert.equal(
      (list.body as { api_keys: { key: string }[] }).api_keys.some((each) => each.key === key.name),
      true,
    );
    assert.doesNotMatch(JSON.stringify([body, list.body]), /password|digest|salt/);
    const changed = await couchgate.ask('PATCH', path, {
      as: owner,
      body: { expires_at: '2020-01-01T00:00:00Z' },
    });
    assert.equal(changed.status, 200);
    assert.equal(await status('GET', '/life', { as: key }), 401);
  });

  it('has two passwords after a rotation, and its session lives by the one it was begun with', async () => {
    const key = await newKey();
    await couchgate.grant('life', { [key.name]: ['_reader'] });
    const login = await couchgate.ask('POST', '/_session', { body: key });
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const path = `/_api/v2/api_keys/${key.name}/rotate`;
    const first = await couchgate.ask('POST', path, { as: owner });
    const { password } = first.body as { password: string };
    passwords.push(password);
    for (const each of [key.password, password])
      assert.equal(await status('GET', '/life', { as: { ...key, password: each } }), 200);
    const second = await couchgate.ask('POST', path, { as: owner, body: { overlap_seconds: 0 } });
    passwords.push((second.body as { password: string }).password);
    for (const each of [key.password, password])
      assert.equal(await status('GET', '/life', { as: { ...key, password: each } }), 401);
    assert.notEqual(await status('GET', '/life', { headers: { cookie } }), 200);
  });

  it('ends at once when it is revoked: its password, its session, its open feed', async () => {
    const key = await newKey();
    await couchgate.grant('life', { [key.name]: ['_reader'] });
    const login = await couchgate.ask('POST', '/_session', { body: key });
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    assert.equal(await status('GET', '/life', { headers: { cookie } }), 200);
    const feed = await fetch(`${couchgate.url}/life/_changes?feed=continuous&heartbeat=100`, {
      headers: { cookie },
    });
    const reader = feed.body?.getReader();
    await reader?.read();
    assert.deepEqual((await couchgate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: owner })).body, {
      ok: true,
      granted_on: ['life'],
    });
    assert.equal(await status('GET', '/life', { as: key }), 401);
    assert.notEqual(await status('GET', '/life', { headers: { cookie } }), 200);
    assert.equal(await status('GET', `/_api/v2/api_keys/${key.name}`, { as: owner }), 404);
    const ended = (async () => {
      for (let part = await reader?.read(); part?.done === false; part = await reader?.read());
    })();
    await ended.catch(() => undefined);
  });

  it('keeps its name when it is revoked – PUT /_users/org.couchdb.user:{key} – 403', async () => {
    const key = await newKey();
    await couchgate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: owner });
    const body = { name: key.name, type: 'user', roles: [], password: 'another' };
    const refused = await couchgate.ask('PUT', `/_users/org.couchdb.user:${key.name}`, { as: owner, body });
    assert.ok(refused.status >= 400 && refused.status < 500, JSON.stringify(refused.body));
  });

  it('is made and granted the deprecated way – POST /api/generate_api_key, POST /api/set_permissions', async () => {
    const made = await couchgate.ask('POST', '/api/generate_api_key', { as: owner });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get('deprecation'), '@1795305600');
    const { key, password } = made.body as { key: string; password: string };
    passwords.push(password);
    const as = { name: key, password };
    const form = `database=life&username=${key}&roles=_reader&roles=_writer`;
    const setPermissions = (body: string, by?: Credentials): Promise<number> =>
      status('POST', '/api/set_permissions', { as: by, body, headers: FORM });
    assert.equal(await setPermissions(form), 401);
    assert.equal(await setPermissions(form, as), 403);
    assert.equal(await setPermissions(form, owner), 200);
    assert.equal(await status('PUT', '/life/legacy', { as, body: {} }), 201);
    const other = await newKey();
    await couchgate.database('life-other', { [other.name]: ['_admin'] });
    // The grants of the database in the body decide, not those of any other.
    assert.equal(await setPermissions(`database=life&username=${other.name}&roles=_admin`, other), 403);
    assert.equal(await setPermissions(`database=life-other&username=${key}&roles=_reader`, other), 200);
    assert.equal(await status('GET', '/life-other', { as }), 200);
    assert.equal(
      await setPermissions(`database=${owner.name}%2Flife-other&username=${key}&roles=_writer`, owner),
      200,
    );
    assert.equal(await status('GET', '/life-other/_all_docs', { as }), 403);
    for (const closed of ['couchgate', `${owner.name}/couchgate`, '_users', `${owner.name}/_users`]) {
      assert.ok(
        (await setPermissions(
          `database=${encodeURIComponent(closed)}&username=${key}&roles=_reader`,
          owner,
        )) >= 400,
        closed,
      );
    }
  });

  it('is granted and revoked where others have roles that nobody can put', async () => {
    const [key, second] = [await newKey(), await newKey()];
    // Written past Couchgate, as by a program that copies the objects of another server.
    const cloudant = { [key.name]: ['_reader'], other: ['_writer', '_future'], third: '_reader' };
    const headers = { authorization: basic(owner), 'content-type': 'application/json' };
    for (const [path, body] of [
      ['/foreign', undefined],
      ['/foreign/_security', { cloudant }],
    ] as const) {
      const init = { method: 'PUT', headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
      const made = await fetch(`${couchgate.backend.urls[0] ?? ''}${path}`, init);
      assert.equal(made.ok, true, await made.text());
    }
    const set = (name: string, role: string): Promise<number> => {
      const body = `database=foreign&username=${name}&roles=${role}`;
      return status('POST', '/api/set_permissions', { as: owner, body, headers: FORM });
    };
    assert.equal(await set(second.name, '_future'), 400);
    assert.equal(await set(second.name, '_reader'), 200);
    const made = await newKey({ grants: { foreign: ['_writer'] } });
    const path = `/_api/v2/api_keys/${key.name}?remove_grants=true`;
    const { body } = await couchgate.ask('DELETE', path, { as: owner });
    assert.deepEqual((body as { grants_removed_on: unknown }).grants_removed_on, ['foreign']);
    const { body: left } = await couchgate.ask('GET', '/foreign/_security', { as: owner });
    // A role without meaning grants nothing, and must not begin to when a later version knows it.
    assert.deepEqual((left as { cloudant: unknown }).cloudant, {
      other: ['_writer'],
      [second.name]: ['_reader'],
      [made.name]: ['_writer'],
    });
  });

  it('is stored where no client gets, the owner neither', async () => {
    for (const path of [
      '/couchgate',
      '/couchgate/_all_docs',
      '/%63ouchgate/_all_docs',
      '/_api/v2/db/couchgate/_security',
    ]) {
      assert.equal(await status('GET', path), 401, path);
      assert.ok([403, 404].includes(await status('GET', path, { as: owner })), path);
    }
  });

  it('leaves what was changed in the access log, and no password in any log', async () => {
    const key = await newKey({ label: 'logged' });
    await couchgate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: owner });
    const lines = (): Promise<string> => couchgate.accessLog().then((log) => JSON.stringify(log));
    await until(async () => (await lines()).includes('revoke'));
    const text = await lines();
    assert.match(text, /"action":"create"/);
    assert.equal(text.includes(key.name) && text.includes('logged'), true);
    const everything = text + inspect(couchgate.log, { depth: Infinity }) + (await couchgate.backend.log());
    for (const password of passwords) assert.equal(everything.includes(password), false);
  });
});
