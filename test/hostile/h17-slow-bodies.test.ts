// H17: what a request asks for is decided when its head has come, and done when its body has. Whoever sends all but the last byte would keep a right
// that is taken away in between: a revoked key could still make grants, days later.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until, within } from '../support/until.ts';

let gate: Couchgate;
before(async () => {
  gate = await startCouchgate();
});
after(() => gate.close());

const newName = (): string => `h17-${randomBytes(4).toString('hex')}`;

interface Unfinished {
  readonly client: RawClient;
  /** Sends the last byte; resolves with the status, or `cut`. */
  finish(): Promise<string>;
}

/** Sends all of a request but its last byte. */
async function begin(line: string, authorization: string, body: unknown, type = 'json'): Promise<Unfinished> {
  const client = await connectRaw(Number(new URL(gate.url).port));
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const media = `Content-Type: application/${type === 'form' ? 'x-www-form-urlencoded' : type}`;
  const length = `Content-Length: ${text.length}`;
  const { revocationWatch } = gate.running.services;
  const before = revocationWatch.count;
  client.send(head(`${line} HTTP/1.1`, 'Host: x', authorization, media, length) + text.slice(0, -1));
  await until(() => revocationWatch.count > before, 'the request is watched');
  return {
    client,
    async finish() {
      client.send(text.slice(-1));
      await until(() => client.closed || client.received.includes('HTTP/1.1 '), 'an answer, or the end');
      const status = /HTTP\/1\.1 (\d+)/.exec(client.received)?.[1] ?? 'cut';
      client.socket.destroy();
      return status;
    },
  };
}

const asKey = (key: Credentials): string => `Authorization: ${basic(key)}`;

/** Each of these would change something if it were done. */
const WRITES: readonly (readonly [line: string, body: unknown])[] = [
  ['PUT /{db}/doc', { a: 1 }],
  ['POST /{db}', { _id: 'doc', a: 1 }],
  ['POST /{db}/_bulk_docs', { docs: [{ _id: 'doc' }] }],
  ['PUT /{db}/doc/attachment', '"text"'],
  ['PUT /{db}/_design/doc', { views: {} }],
  ['PUT /{db}/_security', { cloudant: { nobody: ['_admin'] } }],
];

describe('a body that has not all come (H17)', () => {
  for (const [pattern, body] of WRITES) {
    it(`is cut when its key is revoked – ${pattern}`, async () => {
      const [key, witness] = [await gate.key(), await gate.key()];
      const database = newName();
      await gate.database(database, { [key.name]: ['_admin'], [witness.name]: ['_writer'] });
      const line = pattern.replace('{db}', database);
      const unfinished = await begin(line, asKey(key), body);
      const permitted = await begin(`PUT /${database}/other`, asKey(witness), {});
      await gate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: gate.owner });
      await until(() => unfinished.client.closed, 'the connection is cut');
      assert.equal(unfinished.client.received, '');
      assert.equal(await permitted.finish(), '201', 'somebody else’s goes on');
      for (const path of ['doc', '_design/doc'])
        assert.equal((await gate.ask('GET', `/${database}/${path}`, { as: gate.owner })).status, 404);
      assert.equal((await gate.ask('GET', `/${database}/other`)).status, 401, 'nobody got a grant');
    });
  }

  it('is cut when the grant is taken away – PUT /db/doc, POST /db', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_writer'] });
    const streamed = await begin(`PUT /${database}/a`, asKey(key), {});
    const inspected = await begin(`POST /${database}`, asKey(key), { _id: 'b' });
    await gate.grant(database, { [key.name]: ['_reader'] });
    await until(() => streamed.client.closed && inspected.client.closed, 'both are cut');
    const { body } = await gate.ask('GET', `/${database}/_all_docs`, { as: key });
    assert.deepEqual((body as { rows: unknown }).rows, []);
  });

  it('is cut when its session ends – DELETE /_session', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_writer'] });
    const login = await gate.ask('POST', '/_session', { body: key });
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    const unfinished = await begin(`PUT /${database}/a`, `Cookie: ${cookie}`, {});
    await gate.ask('DELETE', '/_session', { headers: { cookie } });
    await until(() => unfinished.client.closed, 'the connection is cut');
  });

  it('is not cut by looks at it while it is permitted: forms name their database at their end – POST /api/set_permissions', async () => {
    const [key, other] = [await gate.key(), await gate.key()];
    const database = newName();
    await gate.database(database, { [key.name]: ['_security', '_writer'] });
    const form = `database=${database}&username=${other.name}&roles=_reader`;
    const setting = await begin('POST /api/set_permissions', asKey(key), form, 'form');
    const writing = await begin(`POST /${database}/_bulk_docs`, asKey(key), { docs: [] });
    await wait(2500);
    assert.equal(await writing.finish(), '201');
    assert.equal(await setting.finish(), '200');
    assert.equal((await gate.ask('GET', `/${database}`, { as: other })).status, 200);
  });

  it('is cut when its key is revoked before the form has named a database – POST /api/set_permissions', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_security'] });
    const form = `database=${database}&username=nobody&roles=_admin`;
    const unfinished = await begin('POST /api/set_permissions', asKey(key), form, 'form');
    await gate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: gate.owner });
    await until(() => unfinished.client.closed, 'the connection is cut');
    assert.equal((await gate.ask('GET', `/${database}`)).status, 401);
  });
});

describe('what runs on the old password of a rotated key (H17)', () => {
  it('ends with it, and what runs on the new one goes on – POST /_api/v2/api_keys/{key}/rotate', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_reader', '_writer'] });
    const feed = (as: Credentials): Promise<Response> =>
      fetch(`${gate.url}/${database}/_changes?feed=continuous&heartbeat=100&since=now`, {
        headers: { authorization: basic(as) },
      });
    const old = await feed(key);
    const unfinished = await begin(`PUT /${database}/a`, asKey(key), {});
    const rotated = await gate.ask('POST', `/_api/v2/api_keys/${key.name}/rotate`, {
      as: gate.owner,
      body: { overlap_seconds: 0 },
    });
    const { password } = rotated.body as { password: string };
    const current = await feed({ name: key.name, password });
    const end = old.text().then(
      () => 'complete',
      () => 'broken off',
    );
    assert.equal(await within(end, 'the end of the old feed'), 'broken off');
    await until(() => unfinished.client.closed, 'the connection is cut');
    await wait(1500);
    const reader = current.body?.getReader();
    assert.equal((await reader?.read())?.done, false);
    await reader?.cancel();
  });
});
