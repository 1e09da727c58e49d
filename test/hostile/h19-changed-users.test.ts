// A password of a user that was changed during a wait of its request counts no longer (H19).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Authentication } from '../../src/authenticate/authenticator.ts';
import { identifyPrincipal } from '../../src/authenticate/index.ts';
import { Unauthorized } from '../../src/http-errors.ts';
import { UserChanges } from '../../src/invalidation/user-changes.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { localBus } from '../support/local-bus.ts';
import { serveSteps } from '../support/steps-server.ts';
import { until } from '../support/until.ts';

describe('H19 a request whose user changes while it waits', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  it('opens no feed, by Basic and by cookie – GET /db/_changes, a new password – 401', async () => {
    const user = { name: 'changed', password: 'the first password' };
    const change = (password: string, rev?: string) => {
      const body = {
        ...user,
        password,
        type: 'user',
        roles: [],
        ...(rev === undefined ? {} : { _rev: rev }),
      };
      return gate.ask('PUT', `/_users/org.couchdb.user:${user.name}`, { as: gate.owner, body });
    };
    const { rev } = (await change(user.password)).body as { rev: string };
    const { headers } = await gate.ask('POST', '/_session', { body: user });
    const callers = [
      { Authorization: basic(user) },
      { Cookie: (headers.get('set-cookie') ?? '').split(';')[0] ?? '' },
    ];
    for (const caller of callers)
      assert.equal((await gate.ask('GET', '/_all_dbs', { headers: caller })).status, 200);
    await gate.database('h19', { [user.name]: ['_reader'] });
    gate.running.services.bus.deliver({ kind: 'permissions', database: 'h19' });
    const held = gate.recorder.hold(/h19\/_security/);
    const stop = new AbortController();
    const feeds = callers.map((caller) =>
      fetch(`${gate.url}/h19/_changes?feed=continuous&heartbeat=100`, {
        headers: caller,
        signal: stop.signal,
      }),
    );
    await until(() => held.count > 0, 'the permission is being read');
    assert.equal((await change('another password', rev)).status, 201);
    held.release();
    const statuses = (await Promise.all(feeds)).map(({ status }) => status);
    stop.abort();
    assert.deepEqual(statuses, [401, 401]);
  });

  it('is authenticated again if the password was being checked – 401', async () => {
    const bus = localBus();
    const identified = { principal: { kind: 'user', name: 'changed', roles: [] }, method: 'basic' } as const;
    const results: Authentication[] = [
      { outcome: 'accepted', identified },
      { outcome: 'refused', error: new Unauthorized('wrong') },
    ];
    const authenticate = async (): Promise<Authentication> => {
      const result = results.shift();
      if (results.length > 0) await bus.publish({ kind: 'user', name: 'changed' });
      return result ?? { outcome: 'notApplicable' };
    };
    const server = await serveSteps([
      identifyPrincipal([authenticate], new UserChanges(bus)),
      (_req, res) => void res.end(),
    ]);
    assert.equal((await fetch(server.url)).status, 401);
    server.close();
  });

  it('counts as changed if its last change is remembered no longer', async () => {
    const bus = localBus();
    const users = new UserChanges(bus, 2);
    await bus.publish({ kind: 'user', name: 'a' });
    const since = users.count;
    assert.equal(users.hasChanged('a', since), false);
    for (const name of ['a', 'b', 'c']) await bus.publish({ kind: 'user', name });
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((name) => users.hasChanged(name, since)),
      [true, true, true, true],
    );
    assert.equal(users.hasChanged('d', users.count), false);
  });
});
