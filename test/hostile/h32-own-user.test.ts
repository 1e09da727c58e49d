// H32: a user reaches its own document of `_users` alone, sees no hash, and writes no roles. Whoever signs up gets
// no name that somebody has or that holds rights, and learns of none.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { decideOwnUser } from '../../src/authorize/own-user.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { SIGN_UP_TIMING } from '../../src/answer/sign-up.ts';
import { isHeld, isTaken, type TakenNamesDeps } from '../../src/answer/taken-names.ts';
import { createUser, updateUser, withdrawUser } from '../../src/identity/user-writes.ts';
import { createUnrecordedNames, type UnrecordedNamesOptions } from '../../src/answer/unrecorded-names.ts';
import { type BusMessage } from '../../src/invalidation/bus.ts';
import { HttpError, Unavailable } from '../../src/http-errors.ts';
import { type CouchAnswer } from '../../src/couch/couch.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { startCouchgate, type Answer, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { testSettings } from '../support/settings.ts';
import { until } from '../support/until.ts';

const pathOf = (name: string): string => `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
const unique = (): string => randomBytes(4).toString('hex');
type Fields = Readonly<Record<string, unknown>>;
/** Headers that differ from answer to answer. */
const VARIABLE = new Set(['x-couch-request-id', 'date']);

describe('H32: one’s own user document, and sign-up', () => {
  let backend: Backend;
  let first: Couchgate;
  let second: Couchgate;
  let bob: Credentials;
  let other: Credentials;
  const started = closedAfterSuite();
  /** Read at each sign-up. */
  const timing = { ...SIGN_UP_TIMING, settleMs: 0, refusalQuantumMs: 0 };

  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    const sessionSecret = randomBytes(32);
    const settings = {
      usersOwnDocument: 'write',
      usersOwnFields: 'email, language',
      usersSignUp: 'on',
      usersSignUpsPerAddress: 1000,
    };
    const overrides = { signUpTiming: timing };
    const urlOf = (at: number): string => backend.urls[at] ?? backend.urls[0] ?? '';
    const open = (at: number) =>
      startCouchgate({ backend: { ...backend, urls: [urlOf(at)] }, sessionSecret, settings, overrides });
    first = await started(open(0));
    second = await started(open(1));
    await first.ask('PUT', '/_users', { as: first.owner });
    [bob, other] = [await user(['crew']), await user([])];
  });

  async function user(roles: readonly string[], more: Fields = {}): Promise<Credentials> {
    const name = `bob-${unique()}`;
    const password = `pass-${unique()}`;
    const body = { name, password, roles, type: 'user', note: 'of the owner', ...more };
    const { status } = await first.ask('PUT', pathOf(name), { as: first.owner, body });
    assert.equal(status, 201);
    return { name, password };
  }
  const stored = async (name: string): Promise<Fields> =>
    (await first.ask('GET', pathOf(name), { as: first.owner })).body as Fields;
  const read = async (as: Credentials): Promise<Fields> =>
    (await first.ask('GET', pathOf(as.name), { as })).body as Fields;
  const put = (as: Credentials, body: unknown, query = ''): Promise<Answer> =>
    first.ask('PUT', pathOf(as.name) + query, { as, body });
  const signUp = (name: string, more: Fields = {}, gate = first): Promise<Answer> => {
    const body = {
      _id: `org.couchdb.user:${name}`,
      name,
      password: 'secret',
      roles: [],
      type: 'user',
      ...more,
    };
    return gate.ask('PUT', pathOf(name), { body });
  };

  it('are closed without their settings, and open nothing else', () => {
    const classify = createClassify(testSettings());
    const lee: Principal = { kind: 'user', name: 'lee', roles: [] };
    const of = (method: string, segments: readonly string[], principal: Principal, settings: Fields) => {
      const operation = classify(method, { segments, path: '', query: '' }, undefined);
      const decision = decideOwnUser(
        { usersOwnDocument: 'off', usersSignUp: 'off', ...settings },
        principal,
        operation,
      );
      return decision?.allow === true ? decision.endpoint.id : undefined;
    };
    const own = ['_users', 'org.couchdb.user:lee'];
    const both: readonly Principal[] = [lee, NOBODY];
    // A key, and other users of nearly this name.
    const strangers: readonly Principal[] = [
      { kind: 'key', name: 'lee' },
      { kind: 'user', name: 'lee2', roles: [] },
      { kind: 'user', name: 'Lee', roles: [] },
    ];
    const write = { usersOwnDocument: 'write', usersSignUp: 'on' };
    for (const method of ['GET', 'HEAD', 'PUT']) {
      assert.equal(of(method, own, lee, {}), undefined, method);
      assert.equal(of(method, own, NOBODY, {}), undefined, method);
      const written = method === 'PUT';
      const id = written ? 'users-own-write' : 'users-own-read';
      assert.equal(of(method, own, lee, { usersOwnDocument: 'read' }), written ? undefined : id);
      assert.equal(of(method, own, lee, write), id);
      assert.equal(of(method, own, NOBODY, write), written ? 'users-sign-up' : undefined);
      for (const principal of strangers) assert.equal(of(method, own, principal, write), undefined);
      for (const segments of [
        ['_users'],
        ['_users', 'lee'],
        ['_users', 'org.couchdb.user:lee', 'attachment'],
        ['_users', '_design', 'org.couchdb.user:lee'],
        ['_users', '_local', 'org.couchdb.user:lee'],
        ['_users', '_all_docs'],
        ['x/_users', 'org.couchdb.user:lee'],
        ['_replicator', 'org.couchdb.user:lee'],
      ])
        for (const principal of both)
          assert.equal(of(method, segments, principal, write), undefined, `${method} ${segments.join('/')}`);
    }
    for (const method of ['POST', 'DELETE', 'COPY', 'PATCH'])
      for (const principal of both) assert.equal(of(method, own, principal, write), undefined);
  });

  it('shows the own document without a hash, and no other – GET', async () => {
    const { status, body, headers } = await first.ask('GET', pathOf(bob.name), { as: bob });
    assert.equal(status, 200);
    const { _rev: rev } = await stored(bob.name);
    const id = `org.couchdb.user:${bob.name}`;
    assert.deepEqual(body, { _id: id, _rev: rev, name: bob.name, roles: ['crew'], type: 'user' });
    assert.equal(headers.get('etag'), `"${String(rev)}"`);
    assert.equal((await first.ask('HEAD', pathOf(bob.name), { as: bob })).status, 200);
    const key = await first.key();
    for (const [as, expected] of [
      [other, 403],
      [key, 403],
      [undefined, 401],
      [first.owner, 200],
    ] as const)
      assert.equal((await first.ask('GET', pathOf(bob.name), { as })).status, expected, as?.name);
    for (const query of ['?rev=1-x', '?open_revs=all', '?conflicts=true', '?revs=true', '?attachments=true'])
      assert.equal((await first.ask('GET', pathOf(bob.name) + query, { as: bob })).status, 403, query);
    for (const [method, path, more] of [
      ['GET', '/_users', {}],
      ['GET', '/_users/_all_docs', {}],
      ['GET', '/_users/_changes', {}],
      ['POST', '/_users/_find', { body: { selector: {} } }],
      ['POST', '/_users/_bulk_get', { body: { docs: [{ id }] } }],
      ['POST', '/_users/_bulk_docs', { body: { docs: [] } }],
      ['POST', '/_users', { body: { _id: id } }],
      ['GET', '/_users/_design/_auth', {}],
      ['GET', `${pathOf(bob.name)}/attachment`, {}],
      ['PUT', `${pathOf(bob.name)}/attachment`, { body: {} }],
      ['DELETE', `${pathOf(bob.name)}?rev=${String(rev)}`, {}],
      ['COPY', pathOf(bob.name), { headers: { Destination: `org.couchdb.user:${other.name}` } }],
    ] as const)
      assert.equal((await first.ask(method, path, { as: bob, ...more })).status, 403, `${method} ${path}`);
  });

  it('takes a new password and the listed fields, and keeps all others – PUT', async () => {
    const eve = await user(['crew'], { email: 'old', language: 'fr', _attachments: undefined });
    const before = await stored(eve.name);
    const password = `new-${unique()}`;
    const answer = await put(eve, {
      ...(await read(eve)),
      email: { home: 1.5 },
      language: undefined,
      password,
    });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    const after = await stored(eve.name);
    assert.equal((answer.body as Fields)['rev'], after['_rev']);
    const { salt, derived_key: hash, _rev, email, language, ...kept } = after;
    for (const [field, value] of Object.entries(kept)) assert.deepEqual(value, before[field], field);
    assert.deepEqual([email, language], [{ home: 1.5 }, undefined]);
    assert.equal(hash !== before['derived_key'] && salt !== before['salt'] && _rev !== before['_rev'], true);
    assert.equal((await first.ask('GET', '/_session', { as: eve })).status, 401);
    const now = { ...eve, password };
    assert.equal((await first.ask('GET', '/_session', { as: now })).status, 200);
    // Without a password, it stays.
    assert.equal((await put(now, { ...(await read(now)), language: 'de' })).status, 201);
    assert.equal((await first.ask('GET', '/_session', { as: now })).status, 200);
    const lines = await first.accessLog();
    const line = lines.find(({ change }) => (change as Fields | undefined)?.['name'] === eve.name);
    assert.deepEqual(line?.['change'], {
      action: 'own user',
      name: eve.name,
      fields: ['email'],
      password: true,
    });
    assert.ok(!JSON.stringify(lines).includes(password), 'no password in the log');
  });

  it('takes JSON of every type but multipart, as CouchDB does for a document – PUT – 201, 415', async () => {
    const eve = await user([]);
    const ask = (type: string, name: string, body: unknown, as?: Credentials): Promise<Answer> =>
      first.ask('PUT', pathOf(name), { as, body, headers: { 'Content-Type': type } });
    for (const type of ['application/x-www-form-urlencoded', 'text/plain;charset=UTF-8']) {
      const changed = { ...(await read(eve)), email: type };
      assert.equal((await ask(type, eve.name, changed, eve)).status, 201, type);
      const name = `new-${unique()}`;
      assert.equal((await ask(type, name, { name, password: 'x', roles: [], type: 'user' })).status, 201);
      assert.equal((await ask(type, name, 'name=x&password=x')).status, 400);
    }
    for (const type of ['multipart/related; boundary=x', 'multipart/related', 'Multipart/Form-Data']) {
      const own = await read(eve);
      assert.equal((await ask(type, eve.name, own, eve)).status, 415, type);
      assert.equal((await ask(type, `new-${unique()}`, { password: 'x' })).status, 415, type);
    }
  });

  it('refuses everything else, whatever is stored – PUT', async () => {
    const own = await read(bob);
    const before = await stored(bob.name);
    const reasons = new Set<string>();
    for (const [change, status] of [
      [{ roles: ['crew', '_admin'] }, 403],
      [{ roles: [] }, 403],
      [{ type: 'admin' }, 403],
      [{ name: other.name }, 403],
      [{ _id: `org.couchdb.user:${other.name}` }, 400],
      [{ _rev: undefined }, 409],
      [{ _rev: '1-967a00dff5e02add41819138abb3284d' }, 409],
      [{ _rev: 1 }, 400],
      [{ password: '' }, 400],
      [{ password: 7 }, 400],
      [{ password: 'x'.repeat(2000) }, 400],
      [{ derived_key: 'x' }, 403],
      [{ totp: { key: 'x' } }, 403],
      [{ _deleted: true }, 403],
      [{ _attachments: {} }, 403],
      [{ _revisions: {} }, 403],
    ] as const) {
      const answer = await put(bob, { ...own, ...change });
      assert.equal(answer.status, status, `${JSON.stringify(change)} ${JSON.stringify(answer.body)}`);
    }
    // The same words for the value that is stored, another one, and a field that is not there.
    for (const [field, value] of [
      ['note', 'of the owner'],
      ['note', 'x'],
      ['none', 'x'],
    ] as const) {
      const { status, body } = await put(bob, { ...own, [field]: value });
      assert.equal(status, 403);
      reasons.add(JSON.stringify(body).replace(field, ''));
    }
    assert.equal(reasons.size, 1);
    for (const query of ['?new_edits=false', '?rev=1-x', '?batch=ok'])
      assert.equal((await put(bob, own, query)).status, 403, query);
    assert.equal((await put(bob, [])).status, 400);
    assert.equal((await first.ask('PUT', pathOf(bob.name), { as: other, body: own })).status, 403);
    assert.deepEqual(await stored(bob.name), before);
  });

  it('ends the sessions of the old password on every replica – PUT', async () => {
    const eve = await user([]);
    const cookieOf = async (gate: Couchgate): Promise<string> => {
      const { headers } = await gate.ask('POST', '/_session', { body: eve });
      return (headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    };
    const cookies = [await cookieOf(first), await cookieOf(second)];
    const isSignedIn = async (gate: Couchgate, Cookie: string): Promise<boolean> => {
      const { body } = await gate.ask('GET', '/_session', { headers: { Cookie } });
      return (body as { userCtx?: { name?: unknown } }).userCtx?.name === eve.name;
    };
    for (const gate of [first, second])
      for (const cookie of cookies) assert.equal(await isSignedIn(gate, cookie), true);
    // The change is made with a cookie, as a browser does.
    const [Cookie = ''] = cookies;
    const body = { ...(await read(eve)), password: 'another' };
    assert.equal((await first.ask('PUT', pathOf(eve.name), { headers: { Cookie }, body })).status, 201);
    for (const cookie of cookies) assert.ok(!(await isSignedIn(first, cookie)), 'at once on this replica');
    await until(async () => {
      const still = await Promise.all(cookies.map((cookie) => isSignedIn(second, cookie)));
      return !still.includes(true);
    }, 'the other replica has ended them');
  });

  it('makes a user without roles – PUT without credentials', async () => {
    const name = `new-${unique()}`;
    assert.equal((await signUp(name, { roles: ['_admin'] })).status, 403);
    assert.equal((await signUp(name, { roles: ['crew'] })).status, 403);
    assert.equal((await signUp(name, { admin: true })).status, 403);
    assert.equal((await signUp(name, { password: undefined })).status, 400);
    const answer = await signUp(name, { email: 'a@b' });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    const { roles, email, type } = await stored(name);
    assert.deepEqual([roles, email, type], [[], 'a@b', 'user']);
    for (const gate of [first, second])
      assert.equal((await gate.ask('GET', '/_session', { as: { name, password: 'secret' } })).status, 200);
    const bad = ['', '_x', 'a:b', ' a', 'a ', 'a\u200b', 'a\u0000', '.', '..', 'e\u0301', 'x'.repeat(200)];
    for (const one of bad) assert.equal((await signUp(one)).status, 400, JSON.stringify(one));
    // A user who is signed in makes no other.
    const signedIn = await first.ask('PUT', pathOf(`new-${unique()}`), { as: bob, body: { password: 'x' } });
    assert.equal(signedIn.status, 403);
  });

  it('refuses names that somebody has or that hold rights, alike – 409', async () => {
    const { owner } = first;
    const revoked = await first.key();
    await first.ask('DELETE', `/_api/v2/api_keys/${revoked.name}`, { as: owner });
    const tag = unique();
    const names = ['security', 'prefix', 'server', 'member', 'raw'].map((what) => `${what}-${tag}`);
    const [inSecurity = '', byPrefix = '', onServer = '', member = '', raw = ''] = names;
    await first.database(`h32-${tag}`, { [inSecurity]: ['_reader'] });
    const prefix = { principal: byPrefix, databases: `h32pre${tag}*`, roles: ['_reader'] };
    assert.equal(
      (await first.ask('PUT', `/_api/v2/prefix_grants/h32`, { as: owner, body: prefix })).status,
      201,
    );
    const monitor = { roles: ['_monitor'] };
    await first.ask('PUT', `/_api/v2/server_grants/${onServer}`, { as: owner, body: monitor });
    await first.database(`h32-left-${tag}`);
    const left = { couchdb_auth_only: true, members: { names: [member] } };
    await first.ask('PUT', `/h32-left-${tag}/_security`, { as: owner, body: left });
    // A database that was made past Couchgate, and has no record.
    const headers = { Authorization: `Basic ${btoa(`${owner.name}:${owner.password}`)}` };
    const direct = (path: string, body?: object) =>
      fetch(`${backend.urls[0] ?? ''}${path}`, {
        method: 'PUT',
        headers: { ...headers, 'Content-Type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    assert.equal((await direct(`/h32past-${tag}`)).ok, true);
    assert.equal((await direct(`/h32past-${tag}/_security`, { cloudant: { [raw]: ['_reader'] } })).ok, true);
    const key = await first.key();
    const taken = [
      ...[bob.name, key.name, revoked.name, owner.name, 'nobody', 'couchgate', 'couchgate-decoy'],
      ...['abcdefghijklmnopqrstuvwx', ...names],
    ];
    for (const gate of [first, second]) {
      // The first answers fill caches of keys.
      await until(async () => {
        const found = await gate.ask('GET', `/_api/v2/server_grants/${onServer}`, { as: owner });
        const { existingDatabases } = gate.running.services;
        return found.status === 200 && (await existingDatabases.filter([`h32past-${tag}`])).length === 1;
      }, 'the replica has the grants, and knows the database');
      const shown = new Set<string>();
      const asked = new Set<string>();
      // The name as the last segment of a path, so that `admin` is not found in `admins`.
      const segment = (name: string): RegExp => new RegExp(`(?<=[/:])${name}(?=[?]|$)`);
      for (const name of taken) {
        gate.recorder.takeEverything();
        const answer = await signUp(name, {}, gate);
        const requests = gate.recorder
          .takeEverything()
          .filter(
            ({ url }) =>
              !/_all_dbs|couchgate|_up$|_changes/.test(url.replace(/(?<=user%3A|admins.)couchgate/, '')),
          )
          .map(({ method, url }) => `${method} ${decodeURIComponent(url)}`.replace(segment(name), 'NAME'));
        assert.equal(answer.status, 409, `${name} ${JSON.stringify(answer.body)}`);
        const others = [...answer.headers].filter(([header]) => !VARIABLE.has(header));
        shown.add(JSON.stringify([answer.body, others]));
        asked.add(JSON.stringify(requests.filter((one) => one.includes('NAME')).sort()));
      }
      assert.deepEqual([...shown].slice(1), []);
      assert.deepEqual([...asked].slice(1), []);
    }
    assert.equal((await signUp(bob.name, { _rev: '1-a' })).status, 409);
  });

  it('decides after the pause and again after the write, and refuses at a multiple of the time – 409', async () => {
    const { prefixGrants } = first.running.services;
    const names = prefixGrants.mayHaveGrant.bind(prefixGrants);
    const name = `late-${unique()}`;
    const clock = { ms: 0 };
    const wait = async (milliseconds: number): Promise<void> => {
      await new Promise(setImmediate);
      clock.ms += milliseconds;
    };
    const refused = async (isHeld: (call: number) => boolean, more: Fields = {}): Promise<number> => {
      let calls = 0;
      clock.ms = 0;
      Object.assign(timing, { now: () => clock.ms, wait, ...more });
      prefixGrants.mayHaveGrant = () => isHeld((calls += 1));
      try {
        assert.equal((await signUp(name)).status, 409);
        assert.equal((await first.ask('GET', pathOf(name), { as: first.owner })).status, 404);
        return clock.ms;
      } finally {
        prefixGrants.mayHaveGrant = names;
        Object.assign(timing, SIGN_UP_TIMING, { settleMs: 0, refusalQuantumMs: 0 });
      }
    };
    // A grant that arrives while CouchDB makes the user.
    await refused((call) => call === 2);
    // A grant of another replica that is on its way when the request comes.
    await refused((call) => call === 1 && clock.ms === 2000, { settleMs: 2000 });
    // However long the work takes.
    for (const [takesMs, elapsedMs] of [
      [0, 500],
      [137, 500],
      [637, 1000],
    ] as const)
      assert.equal(await refused(() => (clock.ms += takesMs) >= 0, { refusalQuantumMs: 500 }), elapsedMs);
    assert.equal((await signUp(name)).status, 201);
  });

  it('lets nobody sign in before the second check, and leaves no user behind – 409', async () => {
    const { keys } = first.running.services;
    const isKeyName = keys.isKeyName.bind(keys);
    for (const gate of [first, second]) {
      const as = { name: `quick-${unique()}`, password: 'secret' };
      let calls = 0;
      keys.isKeyName = async (name) => {
        if (name !== as.name || (calls += 1) !== 2) return isKeyName(name);
        assert.equal((await first.ask('GET', pathOf(as.name), { as: first.owner })).status, 200);
        assert.equal((await gate.ask('GET', pathOf(as.name), { as })).status, 401);
        return true;
      };
      try {
        assert.equal((await signUp(as.name)).status, 409);
      } finally {
        keys.isKeyName = isKeyName;
      }
      assert.equal((await first.ask('GET', pathOf(as.name), { as: first.owner })).status, 404);
    }
  });

  /** Runs `work` while `intercept` sees the writes of users at CouchDB, and decides when they are sent. */
  async function whileWriting<T>(
    intercept: (document: Fields, send: () => Promise<CouchAnswer>) => Promise<CouchAnswer>,
    work: () => Promise<T>,
  ): Promise<T> {
    const { couch } = first.running.services;
    const ask = couch.ask.bind(couch);
    couch.ask = (request) =>
      request.method === 'PUT' && request.path.startsWith('/_users/')
        ? intercept(request.body as Fields, () => ask(request))
        : ask(request);
    try {
      return await work();
    } finally {
      couch.ask = ask;
    }
  }

  it('lets nobody in by a write that CouchDB confirms late or never – 503', async () => {
    const lost = (): never => {
      throw new Unavailable('no answer in time');
    };
    for (const what of ['neither', 'first applied', 'first late', 'second applied', 'second late']) {
      const as = { name: `late-${unique()}`, password: 'secret' };
      const late: (() => Promise<CouchAnswer>)[] = [];
      const sent: string[] = [];
      const answer = await whileWriting(
        async (document, send) => {
          const part = document['password'] === undefined ? 'first' : 'second';
          sent.push(part);
          if (what === `${part} late`) late.push(send);
          if (what === `${part} applied`) await send();
          return what.startsWith(part) ? lost() : send();
        },
        () => signUp(as.name),
      );
      assert.equal(answer.status, what === 'neither' ? 201 : 503, what);
      assert.deepEqual(sent, what.startsWith('first') ? ['first'] : ['first', 'second'], what);
      const statusOf = async (path: string, credentials: Credentials): Promise<number> =>
        (await first.ask('GET', path, { as: credentials })).status;
      // Nothing stands, so the name can be used again; what comes late lets nobody in.
      if (what !== 'neither') assert.equal(await statusOf(pathOf(as.name), first.owner), 404, what);
      for (const send of late) await send();
      assert.equal(await statusOf('/_session', as), what === 'neither' ? 200 : 401, what);
      assert.equal((await signUp(as.name)).status, /neither|first late/.test(what) ? 409 : 201, what);
    }
    // A name that was granted something meanwhile: CouchDB never gets the password.
    const { prefixGrants } = first.running.services;
    const names = prefixGrants.mayHaveGrant.bind(prefixGrants);
    const passwords: unknown[] = [];
    let calls = 0;
    prefixGrants.mayHaveGrant = () => (calls += 1) === 2;
    try {
      const { status } = await whileWriting(
        (document, send) => {
          passwords.push(document['password']);
          return send();
        },
        () => signUp(`held-${unique()}`),
      );
      assert.deepEqual([status, passwords], [409, [undefined]]);
    } finally {
      prefixGrants.mayHaveGrant = names;
    }
  });

  it('refuses a sign-up beside fifty that wait, and one that waited for thirty seconds – 503', async () => {
    const clock = { ms: 0 };
    let arrived = 0;
    const wait = (): Promise<void> => Promise.resolve(void (arrived += 1));
    Object.assign(timing, { now: () => clock.ms, wait });
    const written: unknown[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const names = Array.from({ length: 52 }, (_, at) => `waits-${at}-${unique()}`);
    try {
      const answers = await whileWriting(
        async ({ name }, send) => {
          written.push(name);
          await held;
          return send();
        },
        async () => {
          const running = signUp(names[0] ?? '');
          await until(() => Promise.resolve(written.length === 1), 'the first one is made');
          const waiting = names.slice(1, 51).map((name) => signUp(name));
          await until(() => Promise.resolve(arrived === 51), 'fifty wait');
          const tooMany = await signUp(names[51] ?? '');
          clock.ms = 30_001;
          release();
          return [await running, ...(await Promise.all(waiting)), tooMany];
        },
      );
      assert.deepEqual(
        answers.map(({ status }) => status),
        [201, ...Array<number>(51).fill(503)],
      );
      assert.deepEqual([...new Set(written)], [names[0]]);
      assert.equal((await signUp(names[51] ?? '')).status, 201);
    } finally {
      Object.assign(timing, SIGN_UP_TIMING, { settleMs: 0, refusalQuantumMs: 0 });
    }
  });

  it('has four passwords hashed at once, and decides again after the wait – PUT', async () => {
    const users = await Promise.all(Array.from({ length: 6 }, () => user([])));
    const documents = await Promise.all(users.map(read));
    const held: (() => void)[] = [];
    const { passwordHashes } = first.running.services;
    const limited = passwordHashes.write.bind(passwordHashes);
    let [running, most, asked] = [0, 0, 0];
    passwordHashes.write = (task) => {
      asked += 1;
      return limited(task);
    };
    const write = (as: Credentials, at: number, more: Fields = { password: 'changed' }): Promise<Answer> =>
      put(as, { ...documents[at], ...more });
    const [other = bob, ...hashing] = users;
    const answers = await whileWriting(
      async ({ password }, send) => {
        if (password === undefined) return send();
        most = Math.max(most, (running += 1));
        await new Promise<void>((resolve) => held.push(resolve));
        running -= 1;
        return send();
      },
      async () => {
        const changes = hashing.map((as, at) => write(as, at + 1));
        const all = Promise.all([...changes, signUp(`waits-${unique()}`)]);
        await until(() => Promise.resolve(running === 4 && asked === 6), 'four of six run');
        // Nobody is kept from signing in, and a change without a password waits for none.
        assert.equal((await first.ask('GET', '/_session', { as: await user([]) })).status, 200);
        assert.equal((await write(other, 0, { email: 'x' })).status, 201);
        let isDone = false;
        const end = all.finally(() => (isDone = true));
        await until(() => {
          for (const release of held.splice(0)) release();
          return Promise.resolve(isDone);
        }, 'all have ended');
        return end;
      },
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 201, 201, 201, 201, 201],
    );
    assert.equal(most, 4);
    // One that waits for a slot, and whose session ends meanwhile, writes nothing.
    passwordHashes.write = limited;
    const eve = await user([]);
    const { headers } = await first.ask('POST', '/_session', { body: eve });
    const Cookie = (headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const own = await read(eve);
    let release = (): void => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    const checks = Array.from({ length: 16 }, () => passwordHashes.check(() => wait));
    const body = { ...own, password: 'changed' };
    const late = Array.from({ length: 10 }, () =>
      first.ask('PUT', pathOf(eve.name), { headers: { Cookie }, body }),
    );
    const refused = await Promise.any(late);
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
    await first.ask('DELETE', '/_session', { headers: { Cookie } });
    release();
    await Promise.all(checks);
    const statuses = (await Promise.all(late)).map(({ status }) => status).sort();
    assert.deepEqual(statuses, [...Array<number>(8).fill(403), 503, 503]);
    assert.equal((await stored(eve.name))['_rev'], own['_rev']);
  });

  it('counts every attempt of an address – 429', async () => {
    const settings = { usersSignUp: 'on', usersSignUpsPerAddress: 2 };
    const overrides = { signUpTiming: { ...SIGN_UP_TIMING, settleMs: 0, refusalQuantumMs: 0 } };
    const gate = await started(startCouchgate({ backend, settings, overrides }));
    const { permissions, prefixGrants, serverGrants } = gate.running.services;
    const isReady = () => permissions.index.isLoaded && prefixGrants.isKnown && serverGrants.isKnown;
    await until(() => Promise.resolve(isReady()), 'the grants are known');
    const statuses: number[] = [];
    for (const name of [bob.name, `new-${unique()}`, `new-${unique()}`, bob.name])
      statuses.push((await signUp(name, {}, gate)).status);
    assert.deepEqual(statuses, [409, 201, 429, 429]);
    // The settings that are off stay closed.
    assert.equal((await gate.ask('GET', pathOf(bob.name), { as: bob })).status, 403);
  });

  it('makes one of two users of a name that sign up at once', async () => {
    const name = `race-${unique()}`;
    const answers = await Promise.all(
      [first, second, first, second].map((gate, at) => signUp(name, { password: `p${at}` }, gate)),
    );
    const won = answers.flatMap(({ status }, at) => (status === 201 ? [at] : []));
    assert.ok(won.length <= 1, JSON.stringify(answers.map(({ status }) => status)));
    for (const at of [0, 1, 2, 3]) {
      const as = { name, password: `p${at}` };
      const expected = won.includes(at) ? 200 : 401;
      assert.equal((await first.ask('GET', '/_session', { as })).status, expected);
    }
  });

  it('serves the requests of pouchdb-authentication', async () => {
    const json = { 'Content-Type': 'application/json', Accept: 'application/json' };
    const name = `pouch-${unique()}`;
    // signUp, with metadata.
    assert.equal((await signUp(name, { email: 'x@y' })).status, 201);
    assert.deepEqual((await signUp(name)).body, { error: 'conflict', reason: 'Document update conflict.' });
    // logIn, getSession
    const { headers } = await first.ask('POST', '/_session', {
      headers: json,
      body: { name, password: 'secret' },
    });
    const cookie = { ...json, Cookie: (headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
    const session = await first.ask('GET', '/_session', { headers: cookie });
    assert.equal((session.body as { userCtx: { name: string } }).userCtx.name, name);
    // getUser, then putUser with other metadata: the whole document comes back.
    const got = (await first.ask('GET', pathOf(name), { headers: cookie })).body as Fields;
    const body = { ...got, email: 'z@y' };
    assert.equal((await first.ask('PUT', pathOf(name), { headers: cookie, body })).status, 201);
    // changePassword
    const again = (await first.ask('GET', pathOf(name), { headers: cookie })).body as Fields;
    assert.equal(again['email'], 'z@y');
    const changed = { ...again, password: 'changed' };
    assert.equal((await first.ask('PUT', pathOf(name), { headers: cookie, body: changed })).status, 201);
    const as = { name, password: 'changed' };
    assert.equal((await first.ask('GET', '/_session', { as })).status, 200);
    // deleteUser and changeUsername are the owner's.
    const last = (await first.ask('GET', pathOf(name), { as })).body as Fields;
    const remove = await first.ask('DELETE', `${pathOf(name)}?rev=${String(last['_rev'])}`, { as });
    const renamed = { ...last, _id: `org.couchdb.user:${name}2`, _rev: undefined, name: `${name}2` };
    const rename = await first.ask('PUT', pathOf(`${name}2`), { as, body: renamed });
    assert.deepEqual([remove.status, rename.status], [403, 403]);
  });
});

describe('H32: writes of users on a cluster', () => {
  /** Answers each request with the next answer of its method. */
  function couchOf(answers: Readonly<Record<string, readonly unknown[]>>) {
    const asked: string[] = [];
    const left = new Map(Object.entries(answers).map(([method, list]) => [method, [...list]]));
    const ask = ({ method = 'GET', path }: { readonly method?: string; readonly path: string }) => {
      asked.push(`${method} ${path.includes('rev=') ? 'rev' : ''}`.trim());
      const [status, body] = (left.get(method)?.shift() ?? [404, {}]) as [number, unknown];
      return Promise.resolve({ status, body, headers: {} });
    };
    return { asked, couch: { ask } as never };
  }
  const made = [201, { rev: '1-a' }] as const;
  const leaf = (rev: string) => ({ ok: { _rev: rev } });

  type Answers = Readonly<Record<string, readonly unknown[]>>;
  const outcomeOf = async (
    write: (couch: Parameters<typeof updateUser>[0]) => ReturnType<typeof updateUser>,
    answers: Answers,
  ) => {
    const { asked, couch } = couchOf({ DELETE: [[200, {}]], ...answers });
    const outcome = await write(couch).then(
      (written) => written.outcome,
      (error: unknown) => (error instanceof HttpError ? error.status : 0),
    );
    return [outcome, asked.includes('DELETE rev')];
  };

  it('make a new user if no other leaf is beside it, and withdraw it otherwise', async () => {
    const create = (answers: Answers, mayStay = true) =>
      outcomeOf((couch) => createUser(couch, 'x', {}, () => Promise.resolve(mayStay)), answers);
    const password = [201, { rev: '2-p' }] as const;
    const both = [made, password];
    const stands = [200, [leaf('1-a')]] as const;
    assert.deepEqual(await create({ PUT: both, GET: [stands, [200, [leaf('2-p')]]] }), ['written', false]);
    // The first write: another user beside it, none, no answer, and too few copies.
    const first = (...GET: readonly unknown[]) => create({ PUT: both, GET });
    assert.deepEqual(await first([200, [leaf('1-a'), leaf('1-b')]]), ['conflict', true]);
    assert.deepEqual(await first([200, []]), ['conflict', true]);
    assert.deepEqual(await first([500, {}]), [503, true]);
    assert.deepEqual(await create({ PUT: [[202, { rev: '1-a' }]] }), [503, true]);
    assert.deepEqual(await create({ PUT: [[409, {}]] }), ['conflict', false]);
    // The second one: refused before, no rule for passwords met, no answer, too few copies, changed meanwhile.
    const GET = [stands, [200, [leaf('2-p')]]];
    assert.deepEqual(await create({ PUT: both, GET }, false), ['conflict', true]);
    const forbidden = [403, { error: 'forbidden', reason: 'too short' }];
    assert.deepEqual(await create({ PUT: [made, forbidden], GET }), [403, true]);
    assert.deepEqual(await create({ PUT: [made, [500, {}]], GET }), [503, true]);
    assert.deepEqual(await create({ PUT: [made, [202, { rev: '2-p' }]], GET }), [503, true]);
    assert.deepEqual(await create({ PUT: [made, [409, {}]], GET }), ['conflict', true]);
  });

  it('never take back what somebody else makes of a new user', async () => {
    const { couch, leaves } = racingCouch();
    // The server admin changes the document before the password comes.
    const mayStay = (): Promise<boolean> => {
      const [rev = ''] = [...leaves.keys()];
      leaves.clear();
      leaves.set('3-owner', { start: 3, ids: ['owner', rev.slice(2)] });
      return Promise.resolve(true);
    };
    assert.deepEqual(await createUser(couch, 'x', {}, mayStay), { outcome: 'conflict' });
    assert.deepEqual([...leaves.keys()], ['3-owner']);
    // Documents of the same content have the same revision: each would take back that of the other.
    const contents = new Set<string>();
    for (let at = 0; at < 2; at += 1) {
      let isFirst = true;
      const answer = ({ body }: { readonly body?: unknown }) => {
        if (isFirst) contents.add(JSON.stringify(body));
        isFirst = false;
        return Promise.resolve({ status: 409, body: {} });
      };
      await createUser({ ask: answer }, 'x', { name: 'x' }, mayStay);
    }
    assert.equal(contents.size, 2);
  });

  it('never delete the account that they change: only a leaf beside the one that CouchDB prefers', async () => {
    const update = (answers: Answers) => outcomeOf((couch) => updateUser(couch, 'x', {}), answers);
    const put = [[201, { rev: '2-m' }]];
    const beside = (...revs: readonly string[]) => update({ PUT: put, GET: [[200, revs.map(leaf)]] });
    assert.deepEqual(await beside('2-m'), ['written', false]);
    for (const other of ['1-z', '2-a']) assert.deepEqual(await beside('2-m', other), ['written', false]);
    for (const other of ['10-a', '2-z']) assert.deepEqual(await beside('2-m', other), ['conflict', true]);
    for (const revs of [[], ['3-z'], ['2-z']]) assert.deepEqual(await beside(...revs), [503, false]);
    assert.deepEqual(await update({ PUT: put, GET: [[500, {}]] }), [503, false]);
    const [, accepted] = put[0] ?? [];
    assert.deepEqual(await update({ PUT: [[202, accepted]], GET: [[200, [leaf('2-m')]]] }), [503, false]);
    assert.deepEqual(await update({ PUT: [[409, {}]] }), ['conflict', false]);
  });

  it('keep one of two changes at once', async () => {
    const { couch, leaves } = racingCouch();
    const writes = ['bob', 'bob', 'bob'].map((name) => updateUser(couch, name, {}));
    const outcomes = (await Promise.all(writes)).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes.sort(), ['conflict', 'conflict', 'written']);
    assert.equal(leaves.size, 1);
  });

  it('take a new user back with all that it wrote meanwhile, and nothing of others', async () => {
    const { couch, leaves } = racingCouch();
    for (const rev of ['2-a', '1-other', '9-other']) leaves.set(rev, undefined);
    leaves.set('3-c', { start: 3, ids: ['c', 'b', 'a'] });
    leaves.set('3-d', { start: 3, ids: ['d', 'y', 'x'] });
    // The new user writes between the read and the deletion.
    const ask = couch.ask.bind(couch);
    const busy: typeof couch = {
      ask: async (request) => {
        if (request.method === 'DELETE' && request.path.includes('3-c') && leaves.delete('3-c'))
          leaves.set('4-e', { start: 4, ids: ['e', 'c', 'b', 'a'] });
        return ask(request);
      },
    };
    await withdrawUser(busy, 'bob', '1-a');
    assert.deepEqual([...leaves.keys()].sort(), ['1-other', '2-a', '3-d', '9-other']);
    // It ends, and says so, if the user never stops.
    const endless: typeof couch = {
      ask: ({ method }) =>
        Promise.resolve(
          method === 'DELETE' ? { status: 409, body: {} } : { status: 200, body: [leaf('1-a')] },
        ),
    };
    await assert.rejects(withdrawUser(endless, 'bob', '1-a'), { status: 503 });
  });

  /** A cluster without compare-and-swap: every write succeeds. */
  function racingCouch() {
    const leaves = new Map<string, unknown>();
    const couch: Parameters<typeof updateUser>[0] = {
      async ask({ method, path }) {
        await Promise.resolve();
        if (method === 'PUT') {
          const rev = `2-${leaves.size}`;
          leaves.set(rev, undefined);
          return { status: 201, body: { rev } };
        }
        if (method === 'DELETE') leaves.delete(new URL(path, 'http://x').searchParams.get('rev') ?? '');
        const body = [...leaves].map(([_rev, _revisions]) => ({ ok: { _rev, _revisions } }));
        return { status: 200, body: method === 'DELETE' ? {} : body };
      },
    };
    return { couch, leaves };
  }

  it('need all grants to be known, and see one that arrives during the reads', async () => {
    const grants = { isKnown: true, names: () => false };
    const state = { isLoaded: true, held: 0 };
    const deps = (more: object = {}): TakenNamesDeps =>
      ({
        couch: couchOf({ GET: [[404, {}]] }).couch,
        keys: {
          isKeyName: async () => {
            // A grant that is made while the key store is read.
            await Promise.resolve();
            state.held = 1;
            return false;
          },
        },
        index: {
          get isLoaded() {
            return state.isLoaded;
          },
          databasesOf: () => new Map(state.held === 1 ? [['db', 1]] : []),
          couchdbAuthOnly: () => new Set(),
        },
        unrecorded: { has: () => Promise.resolve(false) },
        prefixGrants: grants,
        serverGrants: grants,
        ...more,
      }) as never;
    assert.equal(await isTaken(deps(), 'x'), true);
    const unknown = { isKnown: false, names: () => false };
    for (const more of [{ prefixGrants: unknown }, { serverGrants: unknown }])
      await assert.rejects(isHeld(deps(more), 'x'), { status: 503 });
    state.isLoaded = false;
    await assert.rejects(isHeld(deps(), 'x'), { status: 503 });
  });

  it('know the names in any number of databases without a record, and read 100 in a second', async () => {
    const databases = Array.from({ length: 200 }, (_, at) => `old-${at}`);
    const state = { running: 0, most: 0, reads: 0, status: 200, names: ['lee'], nowMs: 0 };
    let changed: (item: BusMessage) => void = () => undefined;
    let duringRead: (() => void) | undefined;
    const options: UnrecordedNamesOptions = {
      couch: {
        ask: async ({ path }) => {
          state.reads += 1;
          state.most = Math.max(state.most, (state.running += 1));
          const { names, status } = state;
          await new Promise(setImmediate);
          duringRead?.();
          state.running -= 1;
          return { status, body: path.includes('old-199') ? { members: { names } } : {} };
        },
      },
      bus: { onMessage: (listener) => (changed = listener) },
      index: { grantsOf: (database) => (database === 'new' ? [] : undefined), isDeleted: () => false },
      existing: { withPrefix: () => Promise.resolve([...databases, 'new', 'couchgate', '_users']) },
      reservedDatabases: ['couchgate'],
      now: () => state.nowMs,
    };
    const unrecorded = createUnrecordedNames(options);
    assert.equal(await unrecorded.has('lee'), true);
    assert.equal(await unrecorded.has('kim'), false);
    assert.deepEqual([state.reads, state.most], [200, 16]);
    // A change of which Couchgate learns counts at once, in the midst of a read too.
    const change = () => changed({ kind: 'permissions', database: 'old-199' });
    change();
    duringRead = () => {
      duringRead = undefined;
      state.names = ['kim'];
      change();
    };
    assert.equal(await unrecorded.has('kim'), false);
    assert.equal(await unrecorded.has('kim'), true);
    assert.equal(state.reads, 202);
    // A change past Couchgate counts after 10 ms for each database.
    state.names = ['ann'];
    state.nowMs = 1999;
    assert.equal(await unrecorded.has('ann'), false);
    state.nowMs = 2000;
    assert.equal(await unrecorded.has('ann'), true);
    assert.equal(state.reads, 402);
    // It fails only while a read fails.
    state.nowMs = 60_000;
    state.status = 500;
    await assert.rejects(unrecorded.has('x'), { status: 503 });
    state.status = 200;
    assert.equal(await unrecorded.has('x'), false);
  });
});
