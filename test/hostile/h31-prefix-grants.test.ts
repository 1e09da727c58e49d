// H31: a prefix grant reaches databases that nobody has looked at. It gives nothing outside its prefix, nothing where
// CouchDB decides, nothing after its revocation, and creates no more databases than it says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import {
  basic,
  startCouchgate,
  type Answer,
  type Couchgate,
  type Credentials,
} from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

/** Databases that a grant permits; the gate has few, a measurement 1 000. */
const CREATED_DATABASES = Number(process.env['CREATED_DATABASES'] ?? 5);

describe('H31 prefix grants', () => {
  let backend: Backend;
  let first: Couchgate;
  let second: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    const sessionSecret = randomBytes(32);
    const urlOf = (at: number): string => backend.urls[at] ?? backend.urls[0] ?? '';
    first = await started(startCouchgate({ backend: { ...backend, urls: [urlOf(0)] }, sessionSecret }));
    second = await started(startCouchgate({ backend: { ...backend, urls: [urlOf(1)] }, sessionSecret }));
    key = await first.key();
  });

  const newPrefix = (): string => `h31${randomBytes(4).toString('hex')}-`;

  const put = (gate: Couchgate, id: string, body: object): Promise<Answer> =>
    gate.ask('PUT', `/_api/v2/prefix_grants/${id}`, { as: gate.owner, body });

  async function grant(id: string, body: object, principal = key.name): Promise<void> {
    const { status, body: answer } = await put(first, id, { principal, roles: [], ...body });
    assert.ok(status === 200 || status === 201, JSON.stringify(answer));
    for (const gate of [first, second])
      await until(async () => {
        const found = await gate.ask('GET', `/_api/v2/prefix_grants/${id}`, { as: gate.owner });
        return found.status === 200;
      }, 'every replica has the grant');
  }

  const statusOf = async (gate: Couchgate, method: string, path: string, body?: unknown): Promise<number> =>
    (await gate.ask(method, path, { as: key, ...(body === undefined ? {} : { body }) })).status;

  it('opens databases of the prefix that nobody has set permissions of, and no other – GET /db', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}reader`, { databases: `${prefix}*`, roles: ['_reader'] });
    await first.database(`${prefix}a`);
    await first.database(`x-${prefix}a`);
    await first.database(prefix.slice(0, -1));
    assert.equal(await statusOf(first, 'GET', `/${prefix}a`), 200);
    assert.equal(await statusOf(second, 'GET', `/${prefix}a/_all_docs`), 200);
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/doc`, {}), 403);
    assert.equal(await statusOf(first, 'GET', `/x-${prefix}a`), 403);
    assert.equal(await statusOf(first, 'GET', `/${prefix.slice(0, -1)}`), 403);
    assert.equal(await statusOf(first, 'GET', `/${prefix}missing`), 404);
    // The name is compared decoded, as CouchDB reads it.
    assert.equal(await statusOf(first, 'GET', `/%68${prefix.slice(1)}a`), 200);
    assert.equal((await first.ask('GET', `/${prefix}a`)).status, 401, 'nobody has no prefix grant');
  });

  it('reaches CouchDB with the markers and with no more than its roles – GET /db/_all_docs', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}rw`, { databases: `${prefix}*`, roles: ['_reader', '_writer'] });
    await first.database(`${prefix}a`);
    first.recorder.takeEverything();
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/doc`, {}), 201);
    const seen = first.recorder.takeEverything();
    const marked = seen.findIndex(({ method, url }) => method === 'PUT' && url === `/${prefix}a/_security`);
    const written = seen.findIndex(
      ({ method, url }) => method === 'PUT' && url.startsWith(`/${prefix}a/doc`),
    );
    assert.ok(marked !== -1 && marked < written, 'the markers are written before the request is forwarded');
    const roles = seen[written]?.claims?.roles ?? [];
    assert.ok(!roles.includes('_admin') && roles.includes('_writer'), roles.join());
    // A second request writes them no more, and the object shows no grant that a client would put back.
    assert.equal(await statusOf(first, 'GET', `/${prefix}a/doc`), 200);
    assert.equal(
      first.recorder.takeEverything().some(({ method }) => method === 'PUT'),
      false,
    );
    const security = await first.ask('GET', `/${prefix}a/_security`, { as: first.owner });
    assert.equal((security.body as { cloudant?: unknown }).cloudant, undefined);
    assert.equal(security.headers.get('x-couchgate-prefix-grants'), '1');
    // A design document needs `_design`.
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/_design/x`, {}), 403);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a/_security`), 403);
  });

  it('adds to the roles of _security, and survives their loss – PUT /db/_security', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}r`, { databases: `${prefix}*`, roles: ['_reader'] });
    await first.database(`${prefix}a`, { [key.name]: ['_writer'] });
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/doc`, {}), 201);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a/doc`), 200);
    await first.grant(`${prefix}a`, {});
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/other`, {}), 403);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a/doc`), 200);
  });

  it('gives nothing where CouchDB decides – couchdb_auth_only', async () => {
    const prefix = newPrefix();
    const roles = ['_reader', '_admin', '_security'];
    await grant(`${prefix}all`, {
      databases: `${prefix}*`,
      roles,
      create: true,
      delete: true,
      dangerous: true,
    });
    await first.database(`${prefix}a`);
    const body = {
      couchdb_auth_only: true,
      members: { names: ['somebody'] },
      admins: { names: ['somebody'] },
    };
    const set = await first.ask('PUT', `/${prefix}a/_security`, { as: first.owner, body });
    assert.equal(set.status, 200);
    for (const gate of [first, second])
      await until(async () => (await statusOf(gate, 'GET', `/${prefix}a/_all_docs`)) === 403);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a/_security`), 403);
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/_security`, { cloudant: {} }), 403);
    assert.equal(await statusOf(first, 'DELETE', `/${prefix}a`), 403);
    const { body: listed } = await first.ask('GET', '/_all_dbs', { as: key });
    assert.equal((listed as string[]).includes(`${prefix}a`), false);
  });

  it('is refused with every problem named – PUT /_api/v2/prefix_grants/{id} – 400', async () => {
    const { status, body } = await put(first, 'x'.repeat(65), {
      principal: 'nobody',
      databases: '_us*',
      roles: ['_admin', '_root', '_db_updates'],
      create: 'yes',
      max_databases: 0,
      q: 8,
    });
    assert.equal(status, 400);
    const { reason } = body as { reason: string };
    for (const problem of ['id', 'nobody', '"_us"', '_root', '_db_updates', 'dangerous', 'create', '"q"'])
      assert.ok(reason.includes(problem), `${problem} in ${reason}`);
    const ways: readonly [databases: unknown, problem: string][] = [
      ['ab*', 'characters before'],
      ['userdb-', 'one `*` at its end'],
      ['user*db*', 'one `*` at its end'],
      ['**', 'one `*` at its end'],
      ['couchgate*', 'a database of Couchgate'],
      ['couchgate_hist*', 'a database of Couchgate'],
      ['cou*', 'a database of Couchgate'],
      ['x/_users*', 'no system database'],
      ['Userdb-*', 'no prefix of an ordinary database'],
      ['userdb%2F*', 'no prefix of an ordinary database'],
      [['userdb-*'], 'one `*` at its end'],
    ];
    for (const [databases, problem] of ways) {
      const answer = await put(first, 'h31-bad', { principal: key.name, databases, roles: ['_reader'] });
      const { reason: said = '' } = answer.body as { reason?: string };
      assert.equal(answer.status, 400, String(databases));
      assert.ok(said.includes(problem), `${JSON.stringify(databases)}: ${said}`);
    }
    const nothing = await put(first, 'h31-bad', { principal: key.name, databases: 'userdb-*', roles: [] });
    assert.match((nothing.body as { reason: string }).reason, /gives nothing/);
    assert.equal((await first.ask('GET', '/_api/v2/prefix_grants/h31-bad', { as: first.owner })).status, 404);
  });

  it('and patterns of adopt exclude each other, in either order – PUT /_api/v2/prefix_grants/{id}', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}older`, { databases: `${prefix}*`, roles: ['_reader'] });
    await first.database(`${prefix}a`);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a`), 200);
    const settings = { adopt: [`${prefix}adopted*`, 'h31-name'] };
    const adopting = await started(startCouchgate({ backend, settings }));
    const refused = await put(adopting, 'h31-over', {
      principal: key.name,
      databases: 'h31-na*',
      roles: ['_reader'],
    });
    assert.equal(refused.status, 400);
    assert.match((refused.body as { reason: string }).reason, /overlaps "h31-name" of the setting `adopt`/);
    await until(
      async () => (await statusOf(adopting, 'GET', `/${prefix}a`)) === 403,
      'the grant is suspended',
    );
    const found = await adopting.ask('GET', `/_api/v2/prefix_grants/${prefix}older`, { as: adopting.owner });
    assert.equal((found.body as { in_force?: boolean }).in_force, false);
    assert.equal(
      adopting.log.lines.some(({ message }) => message === 'a prefix grant is not in force'),
      true,
    );
  });

  it('ends feeds at once, and requests on the other replica – DELETE /_api/v2/prefix_grants/{id}', async () => {
    const prefix = newPrefix();
    const id = `${prefix}feed`;
    await grant(id, { databases: `${prefix}*`, roles: ['_reader'] });
    await first.database(`${prefix}a`);
    const ends = await Promise.all(
      [first, second].map(async (gate) => {
        await until(async () => (await statusOf(gate, 'GET', `/${prefix}a`)) === 200);
        return openFeed(gate, `/${prefix}a/_changes?feed=continuous&heartbeat=500`, key);
      }),
    );
    const gone = await first.ask('DELETE', `/_api/v2/prefix_grants/${id}`, { as: first.owner });
    assert.equal(gone.status, 200);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a`), 403, 'at the answer on this replica');
    await Promise.all(ends.map(({ ended }) => ended));
    await until(async () => (await statusOf(second, 'GET', `/${prefix}a`)) === 403);
    const again = await first.ask('DELETE', `/_api/v2/prefix_grants/${id}`, { as: first.owner });
    assert.equal(again.status, 404);
    // Lines are written in batches.
    await until(async () =>
      (await first.accessLog()).some((entry) => entry['operation'] === 'prefix-grant-revoke'),
    );
  });

  it('lists what it opens, and no more – GET /_all_dbs', async () => {
    const prefix = newPrefix();
    const own = await first.key();
    await grant(`${prefix}list`, { databases: `${prefix}*`, roles: ['_reader'] }, own.name);
    for (const name of ['a', 'b']) await first.database(prefix + name);
    await first.database(`other-${prefix}`, { [own.name]: ['_reader'] });
    await first.ask('DELETE', `/${prefix}b`, { as: first.owner });
    const { status, body } = await first.ask('GET', '/_all_dbs', { as: own });
    assert.deepEqual([status, body], [200, [`${prefix}a`, `other-${prefix}`].sort()]);
    const info = await first.ask('GET', '/_dbs_info', { as: own });
    assert.deepEqual(
      (info.body as { key: string }[]).map((row) => row.key),
      [`${prefix}a`, `other-${prefix}`].sort(),
    );
    const { body: others } = await first.ask('GET', '/_all_dbs', { as: await first.key() });
    assert.deepEqual(others, []);
  });

  it('creates within its prefix, with partitioned and nothing else – PUT /db', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}create`, { databases: `${prefix}*`, roles: ['_reader'], create: true });
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a`), 201);
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a`), 412);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a`), 200);
    // The embedded node has no partitions.
    const partitioned = await statusOf(first, 'PUT', `/${prefix}b?partitioned=true`);
    assert.equal(partitioned, backend.kind === 'embedded' ? 501 : 201);
    const queries = ['q=8', 'n=1', 'partitioned=true&q=8', 'partitioned=true;q=8', 'partitioned=x', 'Q=8'];
    first.recorder.takeEverything();
    for (const query of [...queries, 'partitioned=true&partitioned=false', 'engine=x', '%71=8'])
      assert.equal(await statusOf(first, 'PUT', `/${prefix}c?${query}`), 403, query);
    const seen = first.recorder.takeEverything().filter(({ method }) => method === 'PUT');
    assert.deepEqual(seen, [], 'CouchDB is not asked');
    assert.equal(await statusOf(first, 'PUT', `/x${prefix}`), 403);
    assert.equal(await statusOf(first, 'PUT', `/${prefix}%2F_users`), 403);
    assert.equal(await statusOf(first, 'DELETE', `/${prefix}a`), 403, 'create is not delete');
    const owned = await first.ask('GET', `/${prefix}a/_security`, { as: first.owner });
    assert.equal((owned.body as { cloudant?: unknown }).cloudant, undefined, 'it gets no grants');
  });

  it('is named where it would permit a creation – PUT /db – 403', async () => {
    const database = newPrefix();
    await first.database(database, { [key.name]: ['_admin'] });
    assert.equal(await statusOf(first, 'DELETE', `/${database}`), 200);
    const { status, body } = await first.ask('PUT', `/${database}`, { as: key });
    assert.equal(status, 403);
    const { reason } = body as { reason: string };
    assert.match(
      reason,
      /^server_admin access is required for this request, or a prefix grant with `create`/,
    );
  });

  it('deletes within its prefix – DELETE /db', async () => {
    const prefix = newPrefix();
    await grant(`${prefix}delete`, { databases: `${prefix}*`, delete: true });
    await first.database(`${prefix}a`);
    await first.database(`x${prefix}a`);
    assert.equal(await statusOf(first, 'GET', `/${prefix}a`), 403);
    assert.equal(await statusOf(first, 'DELETE', `/x${prefix}a`), 403);
    assert.equal(await statusOf(first, 'DELETE', `/${prefix}a`), 200);
    assert.equal(await statusOf(first, 'DELETE', `/${prefix}a`), 404);
  });

  it('never creates more than max_databases, also through two replicas at once – PUT /db', async () => {
    const prefix = newPrefix();
    const max = CREATED_DATABASES;
    await grant(`${prefix}max`, { databases: `${prefix}*`, create: true, max_databases: max });
    await first.database(`${prefix}owners`);
    const statuses: number[] = [];
    // A cluster cannot create a thousand databases at once.
    for (let from = 0; from < max + 7; from += 12) {
      const names = Array.from({ length: Math.min(12, max + 7 - from) }, (_, at) => `${prefix}${from + at}`);
      const answers = await Promise.all(
        names.map((name, at) => (at % 2 === 0 ? first : second).ask('PUT', `/${name}`, { as: key })),
      );
      statuses.push(...answers.map(({ status }) => status));
    }
    const { body } = await first.ask('GET', `/_all_dbs?startkey="${prefix}"&endkey="${prefix}\ufff0"`, {
      as: first.owner,
    });
    assert.ok((body as string[]).length <= max, `${JSON.stringify(body)} ${statuses.join()}`);
    assert.ok(
      statuses.every((status) => [201, 202, 403, 503].includes(status)),
      statuses.join(),
    );
    // What collided may be repeated.
    for (let at = 0, isFull = false; at < max + 25 && !isFull; at += 1) {
      const { status, body: refusal } = await first.ask('PUT', `/${prefix}again${at}`, { as: key });
      isFull = status === 403 && /max_databases/.test(JSON.stringify(refusal));
    }
    const full = await first.ask('PUT', `/${prefix}last`, { as: key });
    assert.equal(full.status, 403);
    assert.match((full.body as { reason: string }).reason, /max_databases/);
    const { body: after } = await first.ask(
      'GET',
      `/_all_dbs?startkey="${prefix}"&endkey="${prefix}\ufff0"`,
      {
        as: first.owner,
      },
    );
    assert.equal((after as string[]).length, max);
  });

  it('with _security confirmed may change permissions, until it is revoked – PUT /db/_security', async () => {
    const prefix = newPrefix();
    const id = `${prefix}security`;
    const body = { principal: key.name, databases: `${prefix}*`, roles: ['_security'] };
    assert.equal((await put(first, id, body)).status, 400);
    await grant(id, { ...body, dangerous: true });
    await first.database(`${prefix}a`);
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/_security`, { cloudant: {} }), 200);
    await first.ask('DELETE', `/_api/v2/prefix_grants/${id}`, { as: first.owner });
    assert.equal(await statusOf(first, 'PUT', `/${prefix}a/_security`, { cloudant: {} }), 403);
  });

  it('is written by the owner only – /_api/v2/prefix_grants', async () => {
    const body = { principal: key.name, databases: 'h31-*', roles: ['_reader'] };
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/h31-x'],
      ['PUT', '/h31-x'],
      ['DELETE', '/h31-x'],
    ] as const)
      for (const [as, status] of [
        [key, 403],
        [undefined, 401],
      ] as const) {
        const options = { as, ...(method === 'PUT' ? { body } : {}) };
        const answer = await first.ask(method, `/_api/v2/prefix_grants${path}`, options);
        assert.equal(answer.status, status, `${method} ${path}`);
      }
  });
});

/** Opens a feed; `ended` resolves when the gate ends it. */
async function openFeed(gate: Couchgate, path: string, as: Credentials): Promise<{ ended: Promise<void> }> {
  const req = http.get(gate.url + path, { headers: { authorization: basic(as) } });
  const res = await new Promise<http.IncomingMessage>((resolve, reject) => {
    req.once('response', resolve);
    req.once('error', reject);
  });
  assert.equal(res.statusCode, 200);
  res.resume();
  const ended = new Promise<void>((resolve) => {
    res.once('close', () => resolve());
    res.once('error', () => resolve());
  });
  return { ended };
}
