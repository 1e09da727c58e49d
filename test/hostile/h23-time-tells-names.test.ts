// H23: CouchDB hashes the password of a name that exists, for a third of a second and much longer under load. A name that does not exist, a key,
// and a user who signed in lately are refused at once. So the time of a refusal says which names exist.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { createDecoyUser, DECOY_NAME } from '../../src/identity/decoy-user.ts';
import { makeKeyName } from '../../src/identity/secret.ts';
import { createUserCheck } from '../../src/identity/user-check.ts';
import { PasswordHashLimiter } from '../../src/limits/password-hash-limiter.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic, startIdentityFront, type IdentityFront } from '../support/identity-front.ts';
import { ownCouch } from '../support/own-couch.ts';
import { type Recorded, startRecorder, type Recorder } from '../support/recorder.ts';
import { until } from '../support/until.ts';

const unique = (name: string): string => `${name}-${randomBytes(4).toString('hex')}`;
const userPath = (name: string): string => `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;

function credentialsIn({ headers }: Pick<Recorded, 'headers'>): { name: string; password: string } {
  const text = Buffer.from((headers.authorization ?? '').slice('Basic '.length), 'base64').toString();
  const colon = text.indexOf(':');
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

describe('H23: a refusal of a password', () => {
  const idle = unique('idle');
  const active = unique('active');
  const twoFactor = unique('totp');
  const plain = unique('plain');
  let backend: Backend;
  let recorder: Recorder;
  let front: IdentityFront;
  let keys: Readonly<Record<'key' | 'revoked', string>>;

  const ask = (request: CouchRequest) => front.replica.couch.ask(request);
  const tryBasic = (name: string, password: string): Promise<Response> =>
    fetch(`${front.url}/_session`, { headers: basic(name, password) });

  async function makeUsers(): Promise<void> {
    const couch = ownCouch(backend);
    await couch.ask({ method: 'PUT', path: '/_users' });
    const hash = { password_scheme: 'simple', password_sha: 'x', salt: 'x' };
    for (const [name, fields] of [
      [idle, { password: 'right' }],
      [active, { password: 'right' }],
      [twoFactor, { password: 'right', totp: { key: 'JBSWY3DPEHPK3PXP' } }],
      [plain, hash],
    ] as const) {
      const body = { name, roles: [], type: 'user', ...fields };
      assert.equal((await couch.ask({ method: 'PUT', path: userPath(name), body })).status, 201);
    }
    await couch.close();
  }

  before(async () => {
    backend = await startBackend();
    recorder = await startRecorder(backend.urls[0] ?? '');
    // Before Couchgate starts: for some seconds after a change, the document of a user decides (H12).
    await makeUsers();
    front = await startIdentityFront(
      { ...backend, urls: [recorder.url] },
      { settings: { storeDatabase: unique('s'), loginFailures: 4, loginFailuresPerAddress: 1000 } },
    );
    const order = { label: null, expiresAt: null, by: 'admin' };
    const [{ key }, { key: revoked }] = [
      await front.replica.keys.create(order),
      await front.replica.keys.create(order),
    ];
    await front.replica.keys.revoke(revoked, 'admin');
    keys = { key, revoked };
    assert.equal((await tryBasic(active, 'right')).status, 200);
    // The first refusal makes the decoy, and its document comes back by the change feed.
    assert.equal((await tryBasic('first', 'x')).status, 401);
  });
  after(async () => {
    await front.close();
    await recorder.close();
    await backend.close();
  });

  /** What a wrong password makes Couchgate send to CouchDB: paths with the name taken out, and the accounts that are checked. */
  async function costOf(name: string): Promise<{ requests: readonly string[]; checked: readonly string[] }> {
    // A key that is read for the first time costs a read of the store.
    await tryBasic(name, 'warm');
    recorder.takeEverything();
    assert.equal((await tryBasic(name, randomBytes(6).toString('hex'))).status, 401);
    const sent = recorder.takeEverything().filter(({ url }) => !/^\/_up$|\/_changes|^\/s-/.test(url));
    const requests = sent.map(({ method, url, claims }) => {
      const path = url.replace(/(org\.couchdb\.user%3A|\/admins\/).*$/, '$1NAME');
      return `${method} ${path} ${claims === undefined ? 'as a user' : 'as Couchgate'}`;
    });
    const checked = sent.filter(({ claims }) => claims === undefined).map((one) => credentialsIn(one).name);
    return { requests: requests.sort(), checked };
  }

  const ONE_CHECK = [
    'GET /_node/_local/_config/admins/NAME as Couchgate',
    'GET /_session as a user',
    'GET /_users/org.couchdb.user%3ANAME as Couchgate',
  ];
  const rows: Readonly<Record<string, readonly [name: () => string, checked: 'itself' | 'decoy']>> = {
    'a user': [() => idle, 'itself'],
    'a user who signed in lately': [() => active, 'decoy'],
    'a user with TOTP, whom CouchDB refuses at once': [() => twoFactor, 'decoy'],
    'an unknown name': [() => unique('unknown'), 'decoy'],
    'an API key': [() => keys.key, 'decoy'],
    'a revoked API key': [() => keys.revoked, 'decoy'],
    'a name in the form of a key': [makeKeyName, 'decoy'],
    nobody: [() => 'nobody', 'decoy'],
    'the empty name': [() => '', 'decoy'],
    'the decoy itself': [() => DECOY_NAME, 'decoy'],
    'a name with a slash': [() => `${unique('a')}/b`, 'decoy'],
    'a name of control characters': [() => '\u0000\u0001\u007f', 'decoy'],
    'a name outside ASCII': [() => 'J\u00f8rgen\u{1F600}', 'decoy'],
    'a name of dots': [() => '..', 'decoy'],
  };
  for (const [what, [nameOf, checked]] of Object.entries(rows)) {
    it(`costs CouchDB the same requests and one hash – ${what}`, async () => {
      const name = nameOf();
      const cost = await costOf(name);
      assert.deepEqual(cost.requests, ONE_CHECK);
      assert.deepEqual(cost.checked, [checked === 'itself' ? name : DECOY_NAME]);
    });
  }

  it('costs a hash beside the check of an account whose own hash is cheap', async () => {
    const { checked } = await costOf(plain);
    assert.deepEqual(checked, [plain, DECOY_NAME]);
  });

  it('comes with the same lock after the same number of tries', async () => {
    for (const [at, name] of [unique('nobody'), idle, active, keys.key].entries()) {
      front.address = `192.0.2.${100 + at}`;
      const statuses: number[] = [];
      for (let time = 0; time < 6; time += 1) statuses.push((await tryBasic(name, `x${time}`)).status);
      assert.deepEqual(statuses, [401, 401, 401, 401, 429, 429], name);
    }
    front.address = '192.0.2.1';
  });

  it('gives CouchDB’s lockout one made-up address per name and address, and never the password that was given', async () => {
    const [one, other] = [unique('one'), unique('other')];
    const tried: readonly (readonly [name: string, address: string])[] = [
      [one, '192.0.2.50'],
      [one, '192.0.2.50'],
      [one, '192.0.2.51'],
      [other, '192.0.2.50'],
    ];
    recorder.takeChecks();
    for (const [at, [name, address]] of tried.entries()) {
      front.address = address;
      assert.equal((await tryBasic(name, `given-${at === 1 ? 0 : at}`)).status, 401);
    }
    front.address = '192.0.2.1';
    const checks = recorder.takeChecks();
    const addresses = checks.map(({ headers }) => String(headers['x-forwarded-for']));
    assert.equal(addresses[0], addresses[1]);
    assert.equal(new Set(addresses).size, 3);
    for (const address of addresses) assert.match(address, /^fd00(?::[0-9a-f]{1,4}){7}$/);
    const passwords = checks.map((check) => credentialsIn(check).password);
    assert.equal(new Set(passwords).size, 3);
    assert.equal(
      passwords.every((password) => !password.includes('given')),
      true,
    );
  });

  it('is what the decoy gets, whatever password its document has', async () => {
    const { body } = await ask({ method: 'GET', path: userPath(DECOY_NAME) });
    const { _rev } = body as { _rev: string };
    const changed = { _rev, name: DECOY_NAME, password: 'known', roles: ['_admin-like'], type: 'user' };
    const written = await ask({ method: 'PUT', path: userPath(DECOY_NAME), body: { ...changed, roles: [] } });
    assert.equal(written.status, 201);
    front.address = '192.0.2.60';
    assert.equal((await tryBasic(DECOY_NAME, 'known')).status, 401);
    const login = await fetch(`${front.url}/_session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: DECOY_NAME, password: 'known' }),
    });
    assert.equal(login.status, 401);
    assert.doesNotMatch(login.headers.get('set-cookie') ?? '', /AuthSession=[^;]/);
    front.address = '192.0.2.1';
  });

  it('uses a decoy that no owner can write through Couchgate, and that comes back when it is deleted', async () => {
    const owner = basic(backend.owner.name, backend.owner.password);
    const path = `${front.url}${userPath(DECOY_NAME)}`;
    const { _rev } = (await ask({ method: 'GET', path: userPath(DECOY_NAME) })).body as { _rev: string };
    const body = JSON.stringify({ _rev, name: DECOY_NAME, password: 'known', roles: [], type: 'user' });
    const headers = { ...owner, 'content-type': 'application/json' };
    assert.equal((await fetch(path, { method: 'PUT', headers, body })).status, 403);
    assert.equal((await fetch(`${path}?rev=${_rev}`, { method: 'DELETE', headers })).status, 200);
    await until(async () => {
      await tryBasic(unique('later'), 'x');
      return (await ask({ method: 'GET', path: userPath(DECOY_NAME) })).status === 200;
    }, 'the decoy is there again');
  });
});

const BASIC = (name: string, password: string): string =>
  Buffer.from(`${name}:${password}`).toString('base64');

/** A user check in front of a CouchDB in memory, whose `_users` can refuse writes. */
function openCheck(documents: Map<string, Record<string, unknown>>, isWritable = true) {
  const checked: string[] = [];
  /** The passwords that CouchDB accepts. */
  const accepted = new Set<string>();
  const reports: string[] = [];
  const listeners: ((item: BusMessage) => void)[] = [];
  const clock = { now: 0 };
  const couch = {
    ask({ method, path, headers, body }: CouchRequest) {
      if (path === '/_session') {
        const { name, password } = credentialsIn({ headers: { authorization: headers?.['Authorization'] } });
        checked.push(name);
        if (!accepted.has(password)) return Promise.resolve({ status: 401, body: {} });
        return Promise.resolve({ status: 200, body: { userCtx: { name, roles: [] } } });
      }
      const document = documents.get(decodeURIComponent(path));
      if (method === 'PUT') {
        if (!isWritable) return Promise.resolve({ status: 403, body: {} });
        documents.set(decodeURIComponent(path), {
          ...(body as object),
          password_scheme: 'pbkdf2',
          iterations: 600_000,
        });
        return Promise.resolve({ status: 201, body: {} });
      }
      return Promise.resolve(
        document === undefined ? { status: 404, body: {} } : { status: 200, body: document },
      );
    },
  };
  const bus = { onMessage: (listener: (item: BusMessage) => void) => void listeners.push(listener) };
  const decoy = createDecoyUser({
    couch,
    bus,
    secret: Buffer.from('a secret of all replicas'),
    report: (message) => void reports.push(message),
    now: () => clock.now,
  });
  const check = createUserCheck(couch, decoy, new PasswordHashLimiter(), bus);
  const deliver = (item: BusMessage): void => listeners.forEach((listen) => listen(item));
  return { check, checked, accepted, reports, clock, deliver };
}

describe('H23: a password that is known to be another', () => {
  for (const isToldFirst of [true, false])
    it(`is never the new one after a change, though CouchDB still accepted the old one – told ${isToldFirst ? 'before' : 'after'} that`, async () => {
      const documents = new Map<string, Record<string, unknown>>();
      const { check, accepted, deliver } = openCheck(documents);
      const tell = (): void => deliver({ kind: 'user', name: 'a' });
      documents.set('/_users/org.couchdb.user:a', { salt: 'new', derived_key: 'new' });
      accepted.add('old');
      if (isToldFirst) tell();
      assert.equal((await check.check('a', BASIC('a', 'old'), '192.0.2.1', false)).outcome, 'accepted');
      if (!isToldFirst) tell();
      accepted.delete('old');
      accepted.add('new');
      assert.equal((await check.check('a', BASIC('a', 'new'), '192.0.2.1', false)).outcome, 'accepted');
    });
});

describe('H23: a decoy that cannot be written', () => {
  it('keeps nobody from signing in, is reported once, and is tried again after a minute', async () => {
    const documents = new Map<string, Record<string, unknown>>();
    const { check, checked, reports, clock } = openCheck(documents, false);
    for (const name of ['a', 'b']) await check.check(name, BASIC(name, 'x'), '192.0.2.1', false);
    assert.deepEqual(checked, ['a', 'b']);
    assert.equal(reports.length, 1);
    documents.set(`/_users/org.couchdb.user:${DECOY_NAME}`, {
      password_scheme: 'pbkdf2',
      iterations: 600_000,
    });
    await check.check('c', BASIC('c', 'x'), '192.0.2.1', false);
    clock.now += 60_000;
    await check.check('d', BASIC('d', 'x'), '192.0.2.1', false);
    assert.deepEqual(checked, ['a', 'b', 'c', DECOY_NAME]);
    assert.equal(reports.length, 1);
  });
});
