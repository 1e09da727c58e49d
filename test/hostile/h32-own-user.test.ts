// H32: a user reaches its own document of `_users` alone, sees no hash, and writes no roles. Whoever signs up gets
// no name that somebody has or that holds rights, and learns of none.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { decideOwnUser } from '../../src/authorize/own-user.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { isHeld, isTaken, type TakenNamesDeps } from '../../src/answer/taken-names.ts';
import { createUser, updateUser, withdrawUser } from '../../src/identity/user-writes.ts';
import { createUnrecordedNames, type UnrecordedNamesOptions } from '../../src/answer/unrecorded-names.ts';
import { type Invalidation } from '../../src/invalidation/bus.ts';
import { HttpError } from '../../src/http-errors.ts';
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
  const timing = { settleMs: 0, refusalQuantumMs: 0 };

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
    assert.ok(hash !== before['derived_key'] && salt !== before['salt'] && _rev !== before['_rev']);
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
      for (const cookie of cookies) assert.ok(await isSignedIn(gate, cookie));
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
    assert.ok((await direct(`/h32past-${tag}`)).ok);
    assert.ok((await direct(`/h32past-${tag}/_security`, { cloudant: { [raw]: ['_reader'] } })).ok);
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
    const names = prefixGrants.names.bind(prefixGrants);
    const name = `late-${unique()}`;
    const refused = async (isHeld: (call: number, elapsedMs: number) => boolean): Promise<number> => {
      let calls = 0;
      const startedAt = performance.now();
      prefixGrants.names = () => isHeld((calls += 1), performance.now() - startedAt);
      try {
        assert.equal((await signUp(name)).status, 409);
        const elapsedMs = performance.now() - startedAt;
        assert.equal((await first.ask('GET', pathOf(name), { as: first.owner })).status, 404);
        return elapsedMs;
      } finally {
        prefixGrants.names = names;
        Object.assign(timing, { settleMs: 0, refusalQuantumMs: 0 });
      }
    };
    // A grant that arrives while CouchDB hashes the password.
    await refused((call) => call === 2);
    // A grant of another replica that is on its way when the request comes.
    timing.settleMs = 400;
    await refused((call, elapsedMs) => call === 1 && elapsedMs > 300);
    // The least time of a refusal; the most is not bounded.
    timing.refusalQuantumMs = 1500;
    assert.ok((await refused(() => true)) > 1490);
    assert.equal((await signUp(name)).status, 201);
  });

  it('leaves no user behind that writes its own document during the second check – 409', async () => {
    const { keys } = first.running.services;
    const isKeyName = keys.isKeyName.bind(keys);
    for (const gate of [first, second]) {
      const as = { name: `quick-${unique()}`, password: 'secret' };
      let calls = 0;
      const later: Promise<unknown>[] = [];
      keys.isKeyName = async (name) => {
        if (name !== as.name || (calls += 1) !== 2) return isKeyName(name);
        const { status, body } = await gate.ask('GET', pathOf(as.name), { as });
        assert.equal(status, 200);
        const write = gate.ask('PUT', pathOf(as.name), { as, body: { ...(body as Fields), email: 'x' } });
        // On the same replica, it waits for the sign-up.
        if (gate === first) later.push(write);
        else assert.equal((await write).status, 201);
        return true;
      };
      try {
        assert.equal((await signUp(as.name)).status, 409);
        await Promise.all(later);
      } finally {
        keys.isKeyName = isKeyName;
      }
      assert.equal((await first.ask('GET', pathOf(as.name), { as: first.owner })).status, 404);
    }
  });

  it('counts every attempt of an address – 429', async () => {
    const settings = { usersSignUp: 'on', usersSignUpsPerAddress: 2 };
    const overrides = { signUpTiming: { settleMs: 0, refusalQuantumMs: 0 } };
    const gate = await started(startCouchgate({ backend, settings, overrides }));
    const { security, prefixGrants, serverGrants } = gate.running.services;
    const isReady = () => security.index.isLoaded && prefixGrants.isKnown && serverGrants.isKnown;
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

  type Write = typeof createUser;
  const outcomeOf = (write: Write, answers: Readonly<Record<string, readonly unknown[]>>) => {
    const { asked, couch } = couchOf({ DELETE: [[200, {}]], ...answers });
    return write(couch, 'x', {}).then(
      ({ outcome }) => [outcome, asked.includes('DELETE rev')],
      (error: unknown) => [error instanceof HttpError ? error.status : 0, asked.includes('DELETE rev')],
    );
  };

  it('make a new user if no other leaf is beside it, and withdraw it otherwise', async () => {
    const create = outcomeOf.bind(undefined, createUser);
    const child = { ok: { _rev: '2-c', _revisions: { start: 2, ids: ['c', 'a'] } } };
    assert.deepEqual(await create({ PUT: [made], GET: [[200, [leaf('1-a')]]] }), ['written', false]);
    assert.deepEqual(await create({ PUT: [made], GET: [[200, [child]]] }), ['written', false]);
    assert.deepEqual(await create({ PUT: [made], GET: [[200, [leaf('1-a'), leaf('1-b')]]] }), [
      'conflict',
      true,
    ]);
    assert.deepEqual(await create({ PUT: [made], GET: [[200, []]] }), ['conflict', true]);
    assert.deepEqual(await create({ PUT: [made], GET: [[500, {}]] }), [503, true]);
    assert.deepEqual(await create({ PUT: [[202, { rev: '1-a' }]] }), [503, true]);
    assert.deepEqual(await create({ PUT: [[409, {}]] }), ['conflict', false]);
  });

  it('never delete the account that they change: only a leaf beside the one that CouchDB prefers', async () => {
    const update = outcomeOf.bind(undefined, updateUser);
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

  it('know the names in any number of databases without a record, and read each once a minute', async () => {
    const databases = Array.from({ length: 200 }, (_, at) => `old-${at}`);
    const state = { running: 0, most: 0, reads: 0, status: 200, names: ['lee'], nowMs: 0 };
    let changed: (item: Invalidation) => void = () => undefined;
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
      bus: { onInvalidation: (listener) => (changed = listener) },
      index: { grantsOf: (database) => (database === 'new' ? [] : undefined), isDeleted: () => false },
      existing: { withPrefix: () => Promise.resolve([...databases, 'new', 'couchgate', '_users']) },
      reservedDatabases: new Set(['couchgate']),
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
    // It fails only while a read fails.
    state.nowMs = 60_000;
    state.status = 500;
    await assert.rejects(unrecorded.has('x'), { status: 503 });
    state.status = 200;
    assert.equal(await unrecorded.has('x'), false);
  });
});
