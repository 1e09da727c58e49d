// H17: CouchDB decides about a feed once, when it begins. Couchgate ends it when its permission ends: in this
// process, on every other replica, and without an invalidation.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const ALLOWED = { 'see a change': ['_reader'], replicate: ['_replicator'] } as const;
let backend: Backend;
let here: Couchgate;
let there: Couchgate;

const started = closedAfterSuite();
before(async () => {
  backend = await started(startBackend({ nodes: 3 }));
  const sessionSecret = randomBytes(32);
  here = await started(startCouchgate({ backend, sessionSecret }));
  there = await started(startCouchgate({ backend, sessionSecret }));
});

interface Feed {
  /** What came so far. */
  readonly received: string;
  readonly over: boolean;
  leave(): void;
}

async function openFeed(
  at: Couchgate,
  database: string,
  headers: Record<string, string>,
  feed = 'continuous',
): Promise<Feed> {
  const stop = new AbortController();
  const path = `/${database}/_changes?feed=${feed}&heartbeat=100&since=now`;
  const answer = await fetch(at.url + path, { headers, signal: stop.signal });
  assert.equal(answer.status, 200, 'the feed begins');
  const state = { received: '', over: false, leave: () => stop.abort() };
  const read = async (): Promise<void> => {
    const text = new TextDecoder();
    for await (const chunk of answer.body ?? [])
      state.received += text.decode(chunk as Uint8Array, { stream: true });
  };
  read()
    .catch(() => undefined)
    .finally(() => (state.over = true));
  return state;
}

const newName = (): string => `h17-${randomBytes(4).toString('hex')}`;
const asKey = (key: Credentials): Record<string, string> => ({ authorization: basic(key) });

async function cookieFor(key: Credentials): Promise<string> {
  const answer = await here.ask('POST', '/_session', { body: { name: key.name, password: key.password } });
  assert.equal(answer.status, 200);
  return answer.headers.get('set-cookie')?.split(';')[0] ?? '';
}

async function newUser(): Promise<Credentials> {
  const user = { name: newName(), password: 'pw' };
  const body = { ...user, type: 'user', roles: [] };
  await here.ask('PUT', '/_users', { as: here.owner });
  const answer = await here.ask('PUT', `/_users/org.couchdb.user:${user.name}`, { as: here.owner, body });
  assert.equal(answer.status, 201);
  return user;
}

/** Opens a feed on both replicas, ends what permitted it on the first, and waits for both to be over. A feed that is still permitted goes on. */
async function endsEverywhere(
  database: string,
  headers: Record<string, string>,
  revoke: () => Promise<unknown>,
): Promise<void> {
  const witness = await here.key();
  await here.ask('PUT', `/_api/v2/db/${database}/_security`, {
    as: here.owner,
    body: {
      cloudant: {
        ...(
          (await here.ask('GET', `/${database}/_security`, { as: here.owner })).body as { cloudant: object }
        ).cloudant,
        [witness.name]: ['_reader'],
      },
    },
  });
  // The grant was made here; there it holds as soon as the news has come.
  await until(
    async () => (await there.ask('GET', `/${database}`, { as: witness })).status === 200,
    'the witness is permitted there',
  );
  const permitted = await openFeed(there, database, asKey(witness));
  const feeds = [await openFeed(here, database, headers), await openFeed(there, database, headers)];
  await until(() => feeds.every(({ received }) => received.includes('\n')), 'both feeds are alive');
  await revoke();
  await until(() => feeds.every(({ over }) => over), 'both feeds are over');
  const seen = permitted.received.length;
  await until(() => permitted.received.length > seen, 'the feed of somebody else goes on');
  assert.equal(permitted.over, false);
  permitted.leave();
}

describe('an open feed (H17)', () => {
  for (const [what, roles] of Object.entries(ALLOWED)) {
    it(`ends when the right to ${what} is taken away – PUT /db/_security`, async () => {
      const key = await here.key();
      const database = newName();
      await here.database(database, { [key.name]: roles });
      await endsEverywhere(database, asKey(key), async () => {
        const { body } = await here.ask('GET', `/${database}/_security`, { as: here.owner });
        const { cloudant } = body as { cloudant: Record<string, readonly string[]> };
        await here.grant(database, { ...cloudant, [key.name]: ['_writer'] });
      });
    });
  }

  it('ends when callers without credentials lose _reader – PUT /db/_security', async () => {
    const database = newName();
    await here.database(database, { nobody: ['_reader'] });
    await endsEverywhere(database, {}, async () => {
      const { body } = await here.ask('GET', `/${database}/_security`, { as: here.owner });
      const { cloudant } = body as { cloudant: Record<string, readonly string[]> };
      await here.grant(database, { ...cloudant, nobody: [] });
    });
  });

  it('ends when its key is revoked – DELETE /_api/v2/api_keys/{key}', async () => {
    const key = await here.key();
    const database = newName();
    await here.database(database, { [key.name]: ['_reader'] });
    await endsEverywhere(database, asKey(key), () =>
      here.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: here.owner }),
    );
  });

  it('ends when its key expires, which no invalidation reports – PATCH /_api/v2/api_keys/{key}', async () => {
    const key = await here.key();
    const database = newName();
    await here.database(database, { [key.name]: ['_reader'] });
    await endsEverywhere(database, asKey(key), () =>
      here.ask('PATCH', `/_api/v2/api_keys/${key.name}`, {
        as: here.owner,
        body: { expires_at: new Date(Date.now() + 1500).toISOString() },
      }),
    );
  });

  it('ends with its session – DELETE /_session', async () => {
    const key = await here.key();
    const database = newName();
    await here.database(database, { [key.name]: ['_reader'] });
    const cookie = await cookieFor(key);
    const basicFeed = await openFeed(there, database, asKey(key));
    await endsEverywhere(database, { cookie }, () =>
      here.ask('DELETE', '/_session', { headers: { cookie } }),
    );
    assert.equal(basicFeed.over, false, 'one of the same key that was opened without the session goes on');
    basicFeed.leave();
  });

  it('ends when its user changes – PUT and DELETE /_users/{id}', async () => {
    const user = await newUser();
    const path = `/_users/org.couchdb.user:${user.name}`;
    const database = newName();
    await here.database(database, { [user.name]: ['_reader'] });
    const document = async () => (await here.ask('GET', path, { as: here.owner })).body as { _rev: string };
    await endsEverywhere(database, asKey(user), async () => {
      const body = { ...(await document()), password: 'another' };
      assert.equal((await here.ask('PUT', path, { as: here.owner, body })).status, 201);
    });
    await endsEverywhere(database, asKey({ ...user, password: 'another' }), async () => {
      const { _rev } = await document();
      assert.equal((await here.ask('DELETE', `${path}?rev=${_rev}`, { as: here.owner })).status, 200);
    });
  });

  it('ends when CouchDB is given the decision, and when its own lists change (couchdb_auth_only)', async () => {
    const user = await newUser();
    const database = newName();
    await here.database(database);
    const put = (members: object) =>
      here.ask('PUT', `/${database}/_security`, {
        as: here.owner,
        body: { couchdb_auth_only: true, members },
      });
    await put({ names: [user.name] });
    const feeds = await Promise.all([here, there].map((at) => openFeed(at, database, asKey(user))));
    await put({ names: ['somebody-else'] });
    await until(() => feeds.every(({ over }) => over), 'both feeds are over');
    assert.equal((await here.ask('GET', `/${database}`, { as: user })).status, 403);
  });

  it('ends when its database is deleted, also a longpoll', async () => {
    const key = await here.key();
    const database = newName();
    await here.database(database, { [key.name]: ['_reader'] });
    const feeds = [
      await openFeed(here, database, asKey(key)),
      await openFeed(there, database, asKey(key), 'longpoll'),
      await openFeed(there, database, asKey(key), 'eventsource'),
    ];
    await here.ask('DELETE', `/${database}`, { as: here.owner });
    await until(() => feeds.every(({ over }) => over), 'all feeds are over');
  });

  it('has `ended: revoked` in its line of the access log – PUT /db/_security', async () => {
    const key = await here.key();
    const database = newName();
    await here.database(database, { [key.name]: ['_reader'] });
    const id = newName();
    await openFeed(here, database, { ...asKey(key), 'x-couch-request-id': id });
    await here.grant(database, {});
    const lines = async () => (await here.accessLog()).filter((line) => line['id'] === id);
    await until(async () => (await lines()).length === 1, 'the feed has its line');
    assert.deepEqual(
      (await lines()).map(({ ended }) => ended),
      ['revoked'],
    );
  });
});
