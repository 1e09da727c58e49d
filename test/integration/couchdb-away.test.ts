// CouchDB goes away and comes back: what needs it is 503 with Retry-After and never a refusal, what memory
// can decide is decided as before for `outage_cache_seconds`, and nothing has to be restarted. The clock that
// says how old a memory is, is moved by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it, mock } from 'node:test';
import { startBackend, type Backend } from '../support/backend.ts';
import { startCouchgate, type Answer, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const OUTAGE_SECONDS = 60;
/** Longer than anything is kept with the default settings: what the preparation left in memory decides nothing. */
const FORGOTTEN_SECONDS = 400;
/** Longer than the time of an outage, shorter than permissions are kept: their age must not shorten it. */
const OLD_SECONDS = 200;

const clock = { skewMs: 0 };
const realNow = Date.now;
mock.method(Date, 'now', () => realNow() + clock.skewMs);
const pass = (seconds: number): void => {
  clock.skewMs += seconds * 1000;
};

type Caller = 'nobody' | 'owner' | 'key' | 'user' | 'key’s cookie' | 'user’s cookie';

interface Row {
  readonly as: Caller;
  readonly request: string;
  /** Credentials to log in with, or the body itself. */
  readonly body?: 'key' | 'user' | object;
  /** With CouchDB there. */
  readonly usual: number;
}

interface ColdRow {
  readonly what: string;
  readonly request: string;
  readonly as?: () => Credentials;
  readonly body?: () => unknown;
  /** Once CouchDB can be asked. */
  readonly later: number;
}

const user: Credentials = { name: 'away-jan', password: 'a wooden spoon' };
const stranger: Credentials = { name: 'away-eva', password: 'another spoon' };
let key: Credentials;
let spare: Credentials;
const wrong = ({ name, password }: Credentials): Credentials => ({ name, password: `${password}!` });

/** What memory decides: refusals, and what Couchgate answers itself. */
const DECIDED: readonly Row[] = [
  { as: 'key', request: 'PUT /away-mine/new', body: {}, usual: 403 },
  { as: 'key', request: 'DELETE /away-mine', usual: 403 },
  { as: 'key', request: 'GET /away-closed/doc', usual: 403 },
  { as: 'key', request: 'GET /_membership', usual: 403 },
  { as: 'key', request: 'GET /_session', usual: 200 },
  { as: 'user', request: 'PUT /away-mine/new', body: {}, usual: 403 },
  { as: 'user', request: 'GET /away-closed/doc', usual: 403 },
  { as: 'user', request: 'GET /_session', usual: 200 },
  { as: 'owner', request: 'GET /_session', usual: 200 },
  { as: 'key’s cookie', request: 'PUT /away-mine/new', body: {}, usual: 403 },
  { as: 'key’s cookie', request: 'GET /_session', usual: 200 },
  { as: 'user’s cookie', request: 'PUT /away-mine/new', body: {}, usual: 403 },
  { as: 'user’s cookie', request: 'GET /_session', usual: 200 },
  { as: 'nobody', request: 'GET /away-mine/doc', usual: 401 },
  { as: 'nobody', request: 'GET /away-closed/doc', usual: 401 },
  { as: 'nobody', request: 'PUT /away-open/new', body: {}, usual: 401 },
  { as: 'nobody', request: 'POST /_session', body: 'key', usual: 200 },
  { as: 'nobody', request: 'POST /_session', body: 'user', usual: 200 },
];

/** What memory permits, and CouchDB has to answer. */
const FORWARDED: readonly Row[] = [
  { as: 'key', request: 'GET /away-mine/doc', usual: 200 },
  { as: 'key', request: 'GET /away-mine/_all_docs', usual: 200 },
  { as: 'key', request: 'GET /away-mine/_changes', usual: 200 },
  { as: 'key', request: 'POST /away-mine/_find', body: { selector: {} }, usual: 200 },
  { as: 'user', request: 'GET /away-mine/doc', usual: 200 },
  { as: 'owner', request: 'GET /away-mine/doc', usual: 200 },
  { as: 'owner', request: 'GET /_all_dbs', usual: 200 },
  { as: 'key’s cookie', request: 'GET /away-mine/doc', usual: 200 },
  { as: 'user’s cookie', request: 'GET /away-mine/doc', usual: 200 },
  { as: 'nobody', request: 'GET /away-open/doc', usual: 200 },
  { as: 'nobody', request: 'GET /', usual: 200 },
  { as: 'nobody', request: 'GET /_up', usual: 200 },
];

/** What nothing in memory can decide: names, passwords and databases that were not asked for before. */
const COLD: readonly ColdRow[] = [
  { what: 'a new user', request: 'GET /_session', as: () => stranger, later: 200 },
  { what: 'a new user', request: 'PUT /away-mine/new', as: () => stranger, body: () => ({}), later: 403 },
  {
    what: 'a new user with a wrong password',
    request: 'GET /_session',
    as: () => wrong(stranger),
    later: 401,
  },
  {
    what: 'a name that nobody has',
    request: 'GET /_session',
    as: () => ({ name: 'away-none', password: 'x' }),
    later: 401,
  },
  {
    what: 'a name like a key’s that nobody has',
    request: 'GET /_session',
    as: () => ({ name: 'a'.repeat(24), password: 'x' }),
    later: 401,
  },
  { what: 'a known user with another password', request: 'GET /_session', as: () => wrong(user), later: 401 },
  { what: 'a known key with another password', request: 'GET /_session', as: () => wrong(key), later: 401 },
  {
    what: 'a key on a new database',
    request: 'PUT /away-cold/new',
    as: () => key,
    body: () => ({}),
    later: 403,
  },
  { what: 'nobody on a new database', request: 'PUT /away-cold/new', body: () => ({}), later: 401 },
  { what: 'a key on a database that is not there', request: 'GET /away-none/doc', as: () => key, later: 404 },
  { what: 'a login of a new user', request: 'POST /_session', body: () => stranger, later: 200 },
  {
    what: 'a login with a wrong password',
    request: 'POST /_session',
    body: () => wrong(stranger),
    later: 401,
  },
  {
    what: 'a login with another password of a key',
    request: 'POST /_session',
    body: () => wrong(key),
    later: 401,
  },
];

/** What the owner may change, in an order in which all of it can be done. */
const CHANGES: readonly { readonly request: string; readonly body?: unknown; readonly later: number }[] = [
  { request: 'POST /_api/v2/api_keys', body: { label: 'half made' }, later: 201 },
  { request: 'PATCH /_api/v2/api_keys/{spare}', body: { label: 'half changed' }, later: 200 },
  { request: 'POST /_api/v2/api_keys/{spare}/rotate', body: { overlap_seconds: 0 }, later: 200 },
  { request: 'DELETE /_api/v2/api_keys/{spare}', later: 200 },
  { request: 'PUT /away-spare/_security', body: { cloudant: { nobody: ['_reader'] } }, later: 200 },
  { request: 'PUT /_api/v2/db/away-spare/_security', body: { cloudant: { nobody: ['_admin'] } }, later: 200 },
  { request: 'DELETE /away-spare', later: 200 },
  { request: 'PUT /away-new', later: 201 },
  {
    request: 'PUT /_users/org.couchdb.user:away-new',
    body: { name: 'away-new', password: 'x', type: 'user', roles: [] },
    later: 201,
  },
];

const nameOf = ({ as, request, body }: Row): string =>
  `${request}${typeof body === 'string' ? ` for a ${body}` : ''} as ${as}`;

function assertUnavailable({ status, headers, body }: Answer): void {
  assert.equal(status, 503, JSON.stringify(body));
  assert.equal(headers.get('content-type'), 'application/json');
  const { error, reason, ...others } = body as Readonly<Record<string, unknown>>;
  assert.deepEqual([error, typeof reason, others], ['service_unavailable', 'string', {}]);
  assert.match(headers.get('retry-after') ?? 'no Retry-After', /^[1-9]\d*$/);
  assert.doesNotMatch(headers.get('set-cookie') ?? '', /AuthSession=;/, 'a session is not taken away');
}

describe('while CouchDB is away', () => {
  const sessionSecret = randomBytes(32);
  const settings = { healthIntervalMs: 100, outageCacheSeconds: OUTAGE_SECONDS };
  const cookies: Partial<Record<Caller, string>> = {};
  const usual = new Map<Row, unknown>();
  let backend: Backend;
  let couchgate: Couchgate;
  let stateBefore: unknown;

  function send({ as, request, body }: Row, at = couchgate): Promise<Answer> {
    const [method = '', path = ''] = request.split(' ');
    const credentials = as === 'owner' ? at.owner : as === 'key' ? key : as === 'user' ? user : undefined;
    const cookie = cookies[as];
    return at.ask(method, path, {
      as: credentials,
      body: body === 'key' ? key : body === 'user' ? user : body,
      ...(cookie === undefined ? {} : { headers: { Cookie: cookie } }),
    });
  }
  function sendCold({ request, as, body }: ColdRow): Promise<Answer> {
    const [method = '', path = ''] = request.split(' ');
    return couchgate.ask(method, path, { as: as?.(), body: body?.() });
  }
  function change({ request, body }: (typeof CHANGES)[number]): Promise<Answer> {
    const [method = '', path = ''] = request.replace('{spare}', spare.name).split(' ');
    return couchgate.ask(method, path, { as: couchgate.owner, body });
  }
  async function sendUsual(at: Couchgate): Promise<void> {
    for (const row of [...DECIDED, ...FORWARDED]) {
      const { status, body } = await send(row, at);
      assert.equal(status, row.usual, `${nameOf(row)}: ${JSON.stringify(body)}`);
      usual.set(row, body);
    }
  }
  async function assertDecided(row: Row): Promise<void> {
    const { status, body } = await send(row);
    assert.deepEqual({ status, body }, { status: row.usual, body: usual.get(row) });
  }
  async function login(who: Credentials): Promise<string> {
    const { status, headers } = await couchgate.ask('POST', '/_session', { body: who });
    assert.equal(status, 200);
    return headers.get('set-cookie')?.split(';')[0] ?? '';
  }
  const hearsNews = (at: Couchgate): boolean => at.running.readiness().checks['news'] === true;
  /** What the changes would change. */
  async function readState(): Promise<unknown> {
    const read = async (path: string): Promise<unknown> =>
      (await couchgate.ask('GET', path, { as: couchgate.owner })).body;
    const { api_keys: keys } = (await read('/_api/v2/api_keys')) as {
      readonly api_keys: readonly Readonly<Record<string, unknown>>[];
    };
    return {
      // The hour of a last use is written whenever it can be.
      keys: keys.map((each) => ({ ...each, last_used: null })),
      spareIsGood: (await couchgate.ask('GET', '/_session', { as: spare })).status,
      security: await read('/away-spare/_security'),
      databases: await read('/_all_dbs'),
      // Beside them CouchDB makes a design document of its own.
      users: ((await read('/_users/_all_docs?startkey="org.couchdb.user:"')) as { readonly rows: unknown })
        .rows,
    };
  }
  async function leave(): Promise<void> {
    await Promise.all([couchgate.recorder.stop(), ...backend.nodes.map((node) => node.kill())]);
    await until(() => !hearsNews(couchgate), 'the news cease');
    await until(() => !couchgate.running.readiness().ready, 'the node counts as away');
  }
  async function comeBack(): Promise<void> {
    await Promise.all(backend.nodes.map((node) => node.start()));
    await couchgate.recorder.restart();
    await until(() => hearsNews(couchgate), 'news arrive again');
    await until(() => couchgate.running.readiness().ready, 'the node is asked again');
  }

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    couchgate = await started(startCouchgate({ backend, sessionSecret, settings }));
    const { owner } = couchgate;
    key = await couchgate.key();
    spare = await couchgate.key();
    for (const each of [user, stranger]) {
      const body = { ...each, type: 'user', roles: [] };
      const made = await couchgate.ask('PUT', `/_users/org.couchdb.user:${each.name}`, { as: owner, body });
      assert.equal(made.status, 201);
    }
    const grants = {
      'away-mine': { [key.name]: ['_reader'], [user.name]: ['_reader'] },
      'away-open': { nobody: ['_reader'] },
      'away-closed': {},
      'away-cold': { nobody: ['_reader'], [key.name]: ['_reader'] },
      'away-spare': { [spare.name]: ['_reader'] },
    };
    for (const [database, granted] of Object.entries(grants)) {
      await couchgate.database(database, granted);
      assert.equal((await couchgate.ask('PUT', `/${database}/doc`, { as: owner, body: {} })).status, 201);
    }
    stateBefore = await readState();
    pass(FORGOTTEN_SECONDS);
    cookies['key’s cookie'] = await login(key);
    cookies['user’s cookie'] = await login(user);
    await sendUsual(couchgate);
    pass(OLD_SECONDS);
    await sendUsual(couchgate);
    await leave();
  });

  for (const row of DECIDED) {
    it(`what memory knows is decided as before – ${nameOf(row)} – ${row.usual}`, () => assertDecided(row));
  }
  for (const row of FORWARDED) {
    it(`what CouchDB has to answer is unavailable – ${nameOf(row)} – 503`, async () =>
      assertUnavailable(await send(row)));
  }
  for (const row of COLD) {
    it(`what memory does not know is unavailable, never refused – ${row.request}, ${row.what} – 503`, async () =>
      assertUnavailable(await sendCold(row)));
  }
  for (const row of CHANGES) {
    it(`nothing is changed – ${row.request} – 503`, async () => assertUnavailable(await change(row)));
  }
  it('passwords that cannot be checked lock nobody out – POST /_session – 503', async () => {
    for (let time = 0; time < 10; time += 1) {
      assertUnavailable(await couchgate.ask('POST', '/_session', { body: wrong(stranger) }));
    }
  });
  it('a session ends here, though its end cannot be confirmed – DELETE /_session – 503', async () => {
    const headers = { Cookie: await login(key) };
    const whoAmI = async (): Promise<unknown> =>
      ((await couchgate.ask('GET', '/_session', { headers })).body as { userCtx: { name: unknown } }).userCtx
        .name;
    assert.equal(await whoAmI(), key.name);
    assertUnavailable(await couchgate.ask('DELETE', '/_session', { headers }));
    assert.equal(await whoAmI(), null);
  });

  describe('shortly before `outage_cache_seconds` are over', () => {
    before(() => pass(OUTAGE_SECONDS - 20));
    for (const row of DECIDED) {
      it(`what memory knows is still decided – ${nameOf(row)} – ${row.usual}`, () => assertDecided(row));
    }
  });

  describe('when `outage_cache_seconds` are over', () => {
    // What was read just before CouchDB left is believed for `fallback_cache_seconds` whatever happens, and
    // an answer out of memory for one more.
    before(() => pass(25));
    for (const row of [...DECIDED, ...FORWARDED]) {
      it(`nothing is decided from memory – ${nameOf(row)} – 503`, async () =>
        assertUnavailable(await send(row)));
    }
  });

  it('the access log says why, and takes none of it for a wrong password – 503', async () => {
    const lines = (await couchgate.accessLog()).filter(({ statusCode }) => statusCode === 503);
    assert.ok(
      lines.length > FORWARDED.length + COLD.length,
      `${lines.length} > FORWARDED.length + COLD.length`,
    );
    for (const line of lines) {
      assert.match(line['failure'] as string, /\w{5}/, JSON.stringify(line));
      const isDecided = line['decision'] === 'allow';
      assert.equal(isDecided ? undefined : line['rule'], isDecided ? undefined : 'undecided');
      assert.equal(typeof line['reason'], isDecided ? 'undefined' : 'string');
    }
  });

  describe('and has come back', () => {
    before(comeBack);
    it('nothing was changed by what was answered 503', async () =>
      assert.deepEqual(await readState(), stateBefore));
    it('everything is answered as before, without a restart', () => sendUsual(couchgate));
    for (const row of COLD) {
      it(`what was not known is decided – ${row.request}, ${row.what} – ${row.later}`, async () => {
        const { status, body } = await sendCold(row);
        assert.equal(status, row.later, JSON.stringify(body));
      });
    }
    for (const row of CHANGES) {
      it(`what could not be changed is – ${row.request} – ${row.later}`, async () => {
        const { status, body } = await change(row);
        assert.equal(status, row.later, JSON.stringify(body));
      });
    }
  });

  describe('from the start of a Couchgate', () => {
    let late: Couchgate;
    before(async () => {
      late = await startCouchgate({ backend, sessionSecret, settings, away: true });
    });
    after(() => late.close());

    for (const row of [...DECIDED, ...FORWARDED]) {
      it(`nothing is refused – ${nameOf(row)} – 503`, async () => assertUnavailable(await send(row, late)));
    }
    it('everything is answered as usual once it is there, without a restart', async () => {
      await late.recorder.restart();
      await until(() => hearsNews(late), 'news arrive');
      await sendUsual(late);
    });
  });
});
