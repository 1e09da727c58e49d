// H13: names and roles. One name has one owner: a key's, a user's, the server admin's or nobody's; and a role of a user is never read as another one.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { after, before, describe, it } from 'node:test';
import { userOf } from '../../src/identity/couch-accounts.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { ownCouch } from '../support/own-couch.ts';

let gate: Couchgate;
let key: Credentials;
let revoked: Credentials;
let couch: ReturnType<typeof ownCouch>;

before(async () => {
  gate = await startCouchgate();
  couch = ownCouch(gate.backend);
  key = await gate.key();
  revoked = await gate.key();
  await gate.ask('DELETE', `/_api/v2/api_keys/${revoked.name}`, { as: gate.owner });
  await gate.ask('PUT', '/_users', { as: gate.owner });
});
after(async () => {
  await couch.close();
  await gate.close();
});

const idOf = (name: string): string => `org.couchdb.user:${name}`;
const documentOf = (name: string) => ({ name, password: 'pw', roles: [], type: 'user' });
const free = (): string => `free-${randomBytes(4).toString('hex')}`;

async function exists(name: string): Promise<boolean> {
  return (
    (await couch.ask({ method: 'GET', path: `/_users/${encodeURIComponent(idOf(name))}` })).status === 200
  );
}

describe('a user document with the name of somebody else (H13)', () => {
  const taken = (): Readonly<Record<string, string>> => ({
    'an API key': key.name,
    'a revoked API key': revoked.name,
    'the server admin': gate.owner.name,
    'the unauthenticated': 'nobody',
    'nobody at all': '',
  });
  type Write = (name: string) => readonly [string, string, unknown, Record<string, string>?];
  const gzip = { 'content-encoding': 'gzip', 'content-type': 'application/json' };
  const writes: Readonly<Record<string, Write>> = {
    'PUT /_users/{id}': (name) => ['PUT', `/_users/${idOf(name)}`, documentOf(name)],
    'PUT in another spelling': (name) => [
      'PUT',
      `//%5fusers//org%2Ecouchdb.user%3A${name}/`,
      documentOf(name),
    ],
    'PUT of an attachment': (name) => ['PUT', `/_users/${idOf(name)}/att`, 'text'],
    'POST /_users': (name) => ['POST', '/_users', { _id: idOf(name), ...documentOf(name) }],
    'POST with an escaped id': (name) => [
      'POST',
      '/_users',
      JSON.stringify({ _id: idOf(name), ...documentOf(name) }).replace('org.', '\\u006frg.'),
    ],
    'POST with two ids, the last of which counts': (name) => [
      'POST',
      '/_users',
      `{"_id":"${idOf('x')}","_id":"${idOf(name)}","name":"${name}","password":"pw","roles":[],"type":"user"}`,
    ],
    'POST with the name alone': (name) => ['POST', '/_users', documentOf(name)],
    'POST /_users/_bulk_docs': (name) => [
      'POST',
      '/_users/_bulk_docs',
      {
        docs: [
          { _id: idOf(free()), ...documentOf(free()) },
          { _id: idOf(name), ...documentOf(name) },
        ],
        new_edits: true,
      },
    ],
    'POST /_users/_bulk_docs of replicated revisions': (name) => [
      'POST',
      '/_users/_bulk_docs',
      { docs: [{ _id: idOf(name), _rev: '1-abc', ...documentOf(name) }], new_edits: false },
    ],
    'COPY to it': (name) => ['COPY', `/_users/${idOf('somebody')}`, undefined, { destination: idOf(name) }],
    'COPY to it, encoded': (name) => [
      'COPY',
      `/_users/${idOf('somebody')}`,
      undefined,
      { destination: encodeURIComponent(idOf(name)) },
    ],
    'an update function': (name) => ['PUT', `/_users/_design/x/_update/f/${idOf(name)}`, {}],
  };
  for (const [how, write] of Object.entries(writes)) {
    it(`is refused – ${how} – 403, and CouchDB is not asked`, async () => {
      for (const [whose, name] of Object.entries(taken())) {
        gate.recorder.take();
        const [method, path, body, headers] = write(name);
        const answer = await gate.ask(method, path, {
          as: gate.owner,
          body,
          ...(headers === undefined ? {} : { headers }),
        });
        assert.equal(answer.status, 403, `${whose}: ${JSON.stringify(answer.body)}`);
        assert.match((answer.body as { reason: string }).reason, /^A user cannot have the name ".*": /);
        assert.deepEqual(gate.recorder.take(), [], whose);
      }
    });
  }

  it('is refused in a gzipped body – POST /_users – 403', async () => {
    const body = gzipSync(JSON.stringify({ _id: idOf(key.name), ...documentOf(key.name) }));
    const answer = await fetch(`${gate.url}/_users`, {
      method: 'POST',
      headers: { authorization: basic(gate.owner), ...gzip },
      body,
    });
    assert.equal(answer.status, 403);
    assert.equal(await exists(key.name), false);
  });

  it('is made for a free name, whichever way, and what was judged is what CouchDB gets', async () => {
    const ways = [1, 2, 3, 4].map(() => free());
    const [one = '', two = '', three = '', four = ''] = ways;
    await gate.ask('PUT', `/_users/${idOf(one)}`, { as: gate.owner, body: documentOf(one) });
    await gate.ask('POST', '/_users', { as: gate.owner, body: { _id: idOf(two), ...documentOf(two) } });
    const docs = [{ _id: idOf(three), ...documentOf(three) }];
    await gate.ask('POST', '/_users/_bulk_docs', { as: gate.owner, body: { docs } });
    const gzipped = await fetch(`${gate.url}/_users`, {
      method: 'POST',
      headers: { authorization: basic(gate.owner), ...gzip },
      body: gzipSync(JSON.stringify({ _id: idOf(four), ...documentOf(four) })),
    });
    assert.equal(gzipped.status, 201);
    for (const name of ways) {
      assert.equal(await exists(name), true, name);
      assert.equal((await gate.ask('GET', '/_session', { as: { name, password: 'pw' } })).status, 200);
    }
  });

  it('that is there all the same is never asked: the name is the key’s, with the key’s password or none', async () => {
    for (const { name } of [key, revoked]) {
      const path = `/_users/${encodeURIComponent(idOf(name))}`;
      assert.equal((await couch.ask({ method: 'PUT', path, body: documentOf(name) })).status, 201);
      gate.recorder.takeChecks();
      assert.equal((await gate.ask('GET', '/_session', { as: { name, password: 'pw' } })).status, 401);
      // The decoy is checked in its place (H23).
      const checked = gate.recorder.takeChecks().map(({ headers }) => headers.authorization);
      assert.equal(checked.includes(basic({ name, password: 'pw' })), false);
    }
    assert.equal((await gate.ask('GET', '/_session', { as: key })).status, 200);
  });

  it('cannot be written or read by anybody but the owner – 401 and 403', async () => {
    for (const as of [undefined, key]) {
      for (const [method, body] of [
        ['GET', undefined],
        ['PUT', documentOf('x')],
      ] as const) {
        const answer = await gate.ask(method, `/_users/${idOf('x')}`, { as, body });
        assert.equal(answer.status, as === undefined ? 401 : 403);
      }
    }
  });
});

describe('a role of a user (H13)', () => {
  const { member } = markersOf('db');
  const bad = [
    'x,_admin',
    'x, y',
    '_admin',
    '_reader',
    member,
    'couchgate-',
    '',
    ' ',
    'a\tb',
    'a\u0000',
    'ä',
    '_x',
    'a b',
  ];

  it('is dropped where it could be read as another one, and kept otherwise', () => {
    const roles = userOf('alice', [...bad, 'staff', 'a-b.c:d/e', 1, null, ['x']]).roles;
    assert.deepEqual(roles, ['staff', 'a-b.c:d/e']);
  });

  it('never reaches CouchDB nor the caller when it is such a one', async () => {
    const name = free();
    const path = `/_users/${encodeURIComponent(idOf(name))}`;
    // CouchDB's own rule refuses a leading underscore alone.
    const roles = ['x,_admin', 'staff', member, 'a b'];
    const body = { ...documentOf(name), roles };
    assert.equal((await couch.ask({ method: 'PUT', path, body })).status, 201);
    const as = { name, password: 'pw' };
    const session = await gate.ask('GET', '/_session', { as });
    assert.deepEqual((session.body as { userCtx: { roles: string[] } }).userCtx.roles, ['staff']);
    const database = `h13-${randomBytes(4).toString('hex')}`;
    await gate.database(database, { [name]: ['_reader'] });
    gate.recorder.take();
    assert.equal((await gate.ask('GET', `/${database}`, { as })).status, 200);
    const [sent] = gate.recorder.take();
    assert.deepEqual(
      [...(sent?.claims?.roles ?? [])].sort(),
      [markersOf(database).member, '_reader', 'staff'].sort(),
    );
    assert.equal((await gate.ask('GET', '/_membership', { as })).status, 403);
  });
});

describe('the name nobody (H13)', () => {
  it('is nobody’s to sign in with, and its grants are of the unauthenticated alone', async () => {
    const path = `/_users/${encodeURIComponent(idOf('nobody'))}`;
    await couch.ask({ method: 'PUT', path, body: documentOf('nobody') });
    const database = `h13-${randomBytes(4).toString('hex')}`;
    await gate.database(database, { nobody: ['_reader'] });
    assert.equal(
      (await gate.ask('GET', `/${database}`, { as: { name: 'nobody', password: 'pw' } })).status,
      401,
    );
    assert.equal((await gate.ask('GET', `/${database}`)).status, 200);
    assert.equal((await gate.ask('GET', `/${database}`, { as: key })).status, 403);
  });
});
