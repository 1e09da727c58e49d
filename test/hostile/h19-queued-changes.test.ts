// A change of permissions that waits for another one is refused if its caller has ended meanwhile (H19).
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  basic,
  startCouchgate,
  type Answer,
  type Couchgate,
  type Credentials,
} from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

type Headers = Readonly<Record<string, string>>;

/** A caller, and what ends it. */
interface Ending {
  readonly name: string;
  readonly headers: Headers;
  end(): Promise<Answer>;
}

describe('H19 a change that waits for another one', () => {
  const started = closedAfterSuite();
  let gate: Couchgate;
  let accomplice: Credentials;
  let databases = 0;

  before(async () => {
    gate = await started(startCouchgate());
    accomplice = await gate.key();
  });

  const byOwner = (method: string, path: string, body?: unknown): Promise<Answer> =>
    gate.ask(method, path, { as: gate.owner, body });

  async function revokedKey(): Promise<Ending> {
    const key = await gate.key();
    return {
      ...{ name: key.name, headers: { Authorization: basic(key) } },
      end: () => byOwner('DELETE', `/_api/v2/api_keys/${key.name}`),
    };
  }

  async function rotatedKey(): Promise<Ending> {
    const key = await gate.key();
    return {
      ...{ name: key.name, headers: { Authorization: basic(key) } },
      end: () => byOwner('POST', `/_api/v2/api_keys/${key.name}/rotate`, { overlap_seconds: 0 }),
    };
  }

  async function endedSession(): Promise<Ending> {
    const key = await gate.key();
    const { headers } = await gate.ask('POST', '/_session', { body: key });
    const cookie = { Cookie: (headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
    return {
      ...{ name: key.name, headers: cookie },
      end: () => gate.ask('DELETE', '/_session', { headers: cookie }),
    };
  }

  async function deletedUser(): Promise<Ending> {
    const user = { name: `u${databases}`, password: 'the password of a user' };
    const path = `/_users/org.couchdb.user:${user.name}`;
    const { body } = await byOwner('PUT', path, { ...user, type: 'user', roles: [] });
    const { rev } = body as { rev: string };
    return {
      ...{ name: user.name, headers: { Authorization: basic(user) } },
      end: () => byOwner('DELETE', `${path}?rev=${rev}`),
    };
  }

  const ENDINGS = {
    'its key is revoked': revokedKey,
    'its key gets a new password': rotatedKey,
    'its session is ended': endedSession,
    'its user is deleted': deletedUser,
  };

  const grants = (caller: string): object => ({ [caller]: ['_security', '_admin', '_reader'] });
  const wider = (caller: string): object => ({ ...grants(caller), [accomplice.name]: ['_reader'] });

  /** Each widens the access of somebody, or deletes. */
  const CHANGES: Readonly<Record<string, (database: string, caller: Ending) => Promise<Answer>>> = {
    'PUT _security': (database, { name, headers }) =>
      gate.ask('PUT', `/_api/v2/db/${database}/_security`, { headers, body: { cloudant: wider(name) } }),
    rollback: (database, { headers }) =>
      gate.ask('POST', `/_api/v2/db/${database}/_security/rollback?allow=admin`, {
        ...{ headers, body: { revision: 2 } },
      }),
    set_permissions: async (database, { headers }) => {
      const form = new URLSearchParams({ username: accomplice.name, database, roles: '_reader' });
      const answer = await fetch(`${gate.url}/api/set_permissions`, {
        ...{ method: 'POST', headers, body: form },
      });
      return { status: answer.status, headers: answer.headers, body: await answer.json() };
    },
    'DELETE of the database': (database, { headers }) => gate.ask('DELETE', `/${database}`, { headers }),
  };

  for (const [ending, begin] of Object.entries(ENDINGS))
    for (const [change, send] of Object.entries(CHANGES))
      it(`is refused – ${change}, ${ending} – 403`, async () => {
        databases += 1;
        const database = `h19-${databases}`;
        const caller = await begin();
        await gate.database(database);
        // The revision that a rollback goes back to has the accomplice.
        await gate.grant(database, wider(caller.name) as Record<string, string[]>);
        await gate.grant(database, grants(caller.name) as Record<string, string[]>);
        const read = (): Promise<Answer> =>
          gate.ask('GET', `/${database}/_all_docs`, { headers: caller.headers });
        assert.equal((await read()).status, 200);
        const { revocationWatch } = gate.running.services;
        const held = gate.recorder.hold(new RegExp(`permissions(?::|%3A)${database}`));
        const first = byOwner('PUT', `/_api/v2/db/${database}/_security`, { cloudant: grants(caller.name) });
        await until(() => held.count > 0, 'the first change is under way');
        const before = revocationWatch.count;
        const waiting = send(database, caller);
        await until(() => revocationWatch.count > before, 'the second change waits');
        assert.equal((await caller.end()).status < 300, true);
        await until(async () => (await read()).status === 401, 'the caller has ended');
        held.release();
        assert.equal((await first).status, 200);
        assert.equal((await waiting).status, 403);
        const { status, body } = await byOwner('GET', `/_api/v2/db/${database}/_security`);
        assert.deepEqual([status, (body as { cloudant?: unknown }).cloudant], [200, grants(caller.name)]);
      });

  it('is refused – DELETE of the database, its key is revoked while the record is read – 403', async () => {
    const key = await revokedKey();
    await gate.database('h19-read', { [key.name]: ['_admin'] });
    assert.equal((await gate.ask('GET', '/h19-read', key)).status, 200);
    const held = gate.recorder.hold(/permissions(?::|%3A)h19-read/);
    const deletion = gate.ask('DELETE', '/h19-read', key);
    await until(() => held.count > 0, 'the record is being read');
    assert.equal((await key.end()).status, 200);
    held.release();
    assert.equal((await deletion).status, 403);
    assert.equal((await byOwner('GET', '/h19-read')).status, 200);
  });

  /** Changes of the owner that wait for one of the same grant; the session of the owner ends meanwhile. */
  const OF_THE_OWNER: readonly (readonly [kind: string, method: string, body: object | undefined])[] = [
    ['prefix_grants', 'PUT', { principal: 'accomplice', databases: 'h19-*', roles: ['_writer'] }],
    ['prefix_grants', 'DELETE', undefined],
    ['server_grants', 'PUT', { roles: ['_monitor'] }],
    ['server_grants', 'DELETE', undefined],
  ];
  for (const [kind, method, body] of OF_THE_OWNER)
    it(`is refused – ${method} ${kind}, the owner’s session is ended – 403`, async () => {
      const path = `/_api/v2/${kind}/waits-${method.toLowerCase()}`;
      const held = gate.recorder.hold(new RegExp(`${kind.slice(0, -1)}(?::|%3A)waits`));
      const { headers } = await gate.ask('POST', '/_session', { body: gate.owner });
      const cookie = { Cookie: (headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
      const kept = { principal: 'kept', databases: 'kept-*', roles: ['_reader'] };
      const first = byOwner('PUT', path, kind === 'prefix_grants' ? kept : { roles: ['_monitor'] });
      await until(() => held.count > 0, 'the first change is under way');
      const { revocationWatch } = gate.running.services;
      const before = revocationWatch.count;
      const waiting = gate.ask(method, path, { headers: cookie, body });
      await until(() => revocationWatch.count > before, 'the second change waits');
      assert.equal((await gate.ask('DELETE', '/_session', { headers: cookie })).status, 200);
      held.release();
      const { status, body: written } = await first;
      assert.equal(status, 201);
      assert.equal((await waiting).status, 403);
      const found = await byOwner('GET', path);
      const revisionOf = (answer: unknown): unknown => (answer as { revision?: unknown }).revision;
      assert.deepEqual([found.status, revisionOf(found.body)], [200, revisionOf(written)]);
    });

  /** Changes of keys that wait for a read of CouchDB; `{key}` is replaced. */
  const OF_KEYS: readonly (readonly [held: RegExp, line: string, body: object])[] = [
    [/_users\/org/, 'POST ', {}],
    [/h19-grants\/_security/, 'POST ', { grants: { 'h19-grants': ['_admin'] } }],
    [/key(?::|%3A)/, 'POST /{key}/rotate', { overlap_seconds: 0 }],
    [/key(?::|%3A)/, 'PATCH /{key}', { expires_at: null }],
  ];
  for (const [path, line, body] of OF_KEYS)
    it(`is refused – ${line.replace(' ', ' api_keys')} ${JSON.stringify(body)}, the owner’s session is ended – 403`, async () => {
      const key = await gate.key();
      await byOwner('PUT', '/h19-grants');
      gate.running.services.bus.deliver({ kind: 'permissions', database: 'h19-grants' });
      const { headers } = await gate.ask('POST', '/_session', { body: gate.owner });
      const cookie = { Cookie: (headers.get('set-cookie') ?? '').split(';')[0] ?? '' };
      const [method = '', below = ''] = line.replace('{key}', key.name).split(' ');
      const held = gate.recorder.hold(path);
      const waiting = gate.ask(method, `/_api/v2/api_keys${below}`, { headers: cookie, body });
      await until(() => held.count > 0, 'the change waits');
      assert.equal((await gate.ask('DELETE', '/_session', { headers: cookie })).status, 200);
      held.release();
      assert.equal((await waiting).status, 403);
      assert.equal(
        (await gate.ask('GET', '/_api/v2/api_keys', { as: key })).status,
        403,
        'its password is valid',
      );
    });
});
