// H12: CouchDB's own lockout counts by the last X-Forwarded-For, so a client could dodge it or lock out others; a wrong password costs a third of a
// second of a core; an unknown name answers in a hundredth of that. Couchgate counts by the real address, before CouchDB is asked.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { TooManyRequests, Unavailable } from '../../src/http-errors.ts';
import { CredentialCache } from '../../src/identity/credential-cache.ts';
import { createCredentialCheck, type CredentialCheckOptions } from '../../src/identity/credential-check.ts';
import { createAttemptLimit } from '../../src/limits/attempt-limit.ts';
import { networkOf } from '../../src/principal/caller.ts';
import { type BusMessage, wrongPasswordChannel } from '../../src/invalidation/bus.ts';
import { localBus } from '../support/local-bus.ts';
import { createCredentialVersions } from '../../src/identity/credential-versions.ts';
import { createUserCheck } from '../../src/identity/user-check.ts';
import { PASSWORD_HASH_LIMITS, PasswordHashLimiter } from '../../src/limits/password-hash-limiter.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { basic as basicHeader, startIdentityFront, type IdentityFront } from '../support/identity-front.ts';
import { startRecorder, type Recorder } from '../support/recorder.ts';
import { closedAfterSuite } from '../support/started.ts';

const LOCKED = 'Account is temporarily locked due to multiple authentication failures';
const alice = `alice-${randomBytes(4).toString('hex')}`;
const bob = `bob-${randomBytes(4).toString('hex')}`;
/** Never signs in, so Couchgate does not know the password. */
const carol = `carol-${randomBytes(4).toString('hex')}`;

const nameIn = (authorization = ''): string =>
  Buffer.from(authorization.slice('Basic '.length), 'base64').toString().split(':')[0] ?? '';

describe('wrong passwords (H12)', () => {
  let backend: Backend;
  let recorder: Recorder;
  let front: IdentityFront;

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend());
    recorder = await started(startRecorder(backend.urls[0] ?? ''));
    front = await started(
      startIdentityFront(
        { ...backend, urls: [recorder.url] },
        { settings: { loginFailures: 3, loginFailuresPerAddress: 8, storeDatabase: `s-${bob}` } },
      ),
    );
    await front.replica.couch.ask({ method: 'PUT', path: '/_users' });
    for (const name of [alice, bob, carol]) {
      const path = `/_users/org.couchdb.user:${name}`;
      const body = { name, password: 'right', roles: [], type: 'user' };
      assert.equal((await front.replica.couch.ask({ method: 'PUT', path, body })).status, 201);
    }
  });

  const tryBasic = (
    name: string,
    password: string,
    headers: Record<string, string> = {},
  ): Promise<Response> =>
    fetch(`${front.url}/_session`, { headers: { ...basicHeader(name, password), ...headers } });
  const tryLogin = (name: string, password: string): Promise<Response> =>
    fetch(`${front.url}/_session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, password }),
    });

  async function lock(name: string): Promise<void> {
    for (const tried of [tryBasic(name, 'w1'), tryLogin(name, 'w2'), tryBasic(name, 'w3')]) {
      assert.equal((await tried).status, 401);
    }
  }

  it('of one name from one address are refused after some, the right one included, and CouchDB is not asked – 429', async () => {
    front.address = '192.0.2.10';
    await lock(alice);
    recorder.takeChecks();
    for (const tried of [tryBasic(alice, 'w4'), tryBasic(alice, 'right'), tryLogin(alice, 'right')]) {
      const answer = await tried;
      assert.equal(answer.status, 429);
      assert.deepEqual(await answer.json(), { error: 'too_many_requests', reason: LOCKED });
      const seconds = Number(answer.headers.get('retry-after'));
      assert.ok(seconds >= 1 && seconds <= 300, String(seconds));
      assert.equal(answer.headers.get('set-cookie'), null, 'a lock takes nobody’s session away');
    }
    assert.deepEqual(recorder.takeChecks(), []);
  });

  it('do not lock the name for another address, nor another name for this one', async () => {
    front.address = '192.0.2.11';
    assert.equal((await tryBasic(alice, 'right')).status, 200);
    front.address = '192.0.2.10';
    assert.equal((await tryBasic(bob, 'right')).status, 200);
  });

  it('are counted for the address of the client, whatever X-Forwarded-For it sends, and CouchDB gets that address alone', async () => {
    front.address = '192.0.2.12';
    recorder.takeChecks();
    for (const forged of ['203.0.113.1', '203.0.113.2', '203.0.113.3']) {
      assert.equal((await tryBasic(carol, 'wrong', { 'x-forwarded-for': forged })).status, 401);
    }
    assert.equal((await tryBasic(carol, 'wrong', { 'x-forwarded-for': '203.0.113.4' })).status, 429);
    const checks = recorder.takeChecks().filter(({ headers }) => nameIn(headers.authorization) === carol);
    assert.deepEqual(
      checks.map(({ headers }) => headers['x-forwarded-for']),
      Array<string>(3).fill('192.0.2.12'),
    );
  });

  it('lock out neither a session nor a password that was right from there before', async () => {
    front.address = '192.0.2.13';
    const login = await tryLogin(alice, 'right');
    const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
    assert.equal((await tryBasic(alice, 'right')).status, 200);
    await lock(alice);
    assert.equal((await tryBasic(alice, 'w4')).status, 429);
    assert.equal((await tryBasic(alice, 'right')).status, 200);
    const session = await fetch(`${front.url}/_session`, { headers: { cookie } });
    assert.equal(((await session.json()) as { userCtx: { name: string } }).userCtx.name, alice);
  });

  it('cannot be guessed on by the answers that others’ use of the right one would give', async () => {
    front.address = '192.0.2.14';
    assert.equal((await tryBasic(bob, 'right')).status, 200);
    front.address = '192.0.2.15';
    await lock(bob);
    assert.equal(
      (await tryBasic(bob, 'right')).status,
      429,
      'known from another address, and still a guess from here',
    );
  });

  it('of many names from one address are refused as well, and an IPv6 client has one address – 429', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `unknown-${index}`);
    for (const [index, name] of names.entries()) {
      front.address = `2001:db8:1:2:${index}::1`;
      assert.equal((await tryBasic(name, 'x')).status, 401);
    }
    front.address = '2001:db8:1:2:ffff::1';
    assert.equal((await tryBasic(bob, 'right')).status, 429);
    front.address = '2001:db8:1:3::1';
    assert.equal((await tryBasic(bob, 'right')).status, 200);
  });

  it('are wrong, not nobody’s: what nobody may do is refused with them – 401', async () => {
    front.address = '192.0.2.16';
    for (const path of ['/', '/_up', '/_session', '/_uuids']) {
      const answer = await fetch(front.url + path, { headers: basicHeader('nobody', path) });
      assert.equal(answer.status, path === '/_uuids' ? 429 : 401, path);
    }
  });
});

describe('wrong passwords at two workers of one process (H12)', () => {
  it('are counted together, whichever worker the connection came to', async () => {
    const channel = wrongPasswordChannel(localBus());
    const settings = { attempts: 4, attemptsPerAddress: 100, windowSeconds: 300 };
    const workers = [createAttemptLimit(settings, channel), createAttemptLimit(settings, channel)] as const;
    const ip = '192.0.2.1';
    for (const worker of [workers[0], workers[1], workers[0]]) await worker.count('alice', ip);
    for (const worker of workers) (await worker.enter('alice', ip))();
    await workers[1].count('alice', ip);
    for (const worker of workers) {
      await assert.rejects(worker.enter('alice', ip), TooManyRequests);
      (await worker.enter('bob', ip))();
    }
  });
});

describe('the network of an address', () => {
  const cases: readonly [string, string][] = [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['2001:0db8:0000:0000:1::', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4'],
    ['1:2:3::192.0.2.1', '1:2:3:0'],
  ];
  for (const [ip, network] of cases) {
    it(`is ${network} for ${ip}`, () => assert.equal(networkOf(ip), network));
  }
});

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly takesMs: number;
}

/** A check of credentials in front of a CouchDB that takes its time, on a clock that only the test moves. */
function openCheck(
  answer: (request: CouchRequest) => Answer,
  over: Partial<CredentialCheckOptions> = {},
  stored: (request: CouchRequest) => Answer = () => ({ status: 404, takesMs: 1 }),
) {
  const clock = { time: 0, waited: [] as number[], running: 0, most: 0 };
  const asked: CouchRequest[] = [];
  const listeners: ((invalidation: BusMessage) => void)[] = [];
  const bus = {
    onMessage: (listener: (item: BusMessage) => void) => void listeners.push(listener),
    upUntil: Infinity,
  };
  const couch = {
    async ask(request: CouchRequest) {
      if (request.path !== '/_session') return { body: undefined, ...stored(request) };
      asked.push(request);
      clock.running += 1;
      clock.most = Math.max(clock.most, clock.running);
      await new Promise((resolve) => setImmediate(resolve));
      clock.running -= 1;
      const { status, body, takesMs } = answer(request);
      clock.time += takesMs;
      if (status >= 500) throw new Unavailable('away');
      return { status, body };
    },
  };
  const hashes = new PasswordHashLimiter();
  const times = {
    credentialCacheSeconds: 60,
    fallbackCacheSeconds: 2,
    outageCacheSeconds: 90,
    now: () => clock.time,
  };
  const check = createCredentialCheck({
    cache: new CredentialCache(bus, () => clock.time),
    keys: {
      verify: (name) => ({ outcome: name === 'akey' ? 'wrong' : 'notAKey' }),
      holds: () => true,
      recall: () => undefined,
    },
    users: createUserCheck(couch, NO_DECOY, hashes, bus),
    versions: createCredentialVersions({ couch, bus, secret: Buffer.alloc(32), hashes, ...times }),
    limit: createAttemptLimit(
      {
        attempts: 5,
        attemptsPerAddress: 100,
        windowSeconds: 300,
      },
      wrongPasswordChannel(localBus()),
    ),
    bus,
    ...times,
    wait: (milliseconds) => {
      clock.waited.push(milliseconds);
      clock.time += milliseconds;
      return Promise.resolve();
    },
    ...over,
  });
  const deliver = (item: BusMessage): void => listeners.forEach((listen) => listen(item));
  return { check, clock, asked, deliver };
}

/** A decoy that `_users` does not take (H23 has its own test). */
const NO_DECOY = { ensure: () => Promise.resolve(undefined), headersFor: () => ({}) };

const encode = (name: string, password: string): string =>
  Buffer.from(`${name}:${password}`).toString('base64');
const yes = (name: string, roles: readonly string[] = []): Answer => ({
  status: 200,
  body: { ok: true, userCtx: { name, roles } },
  takesMs: 3,
});
const NO: Answer = { status: 401, body: { error: 'unauthorized' }, takesMs: 3 };

describe('the time of a refusal (H12)', () => {
  it('is the same for an unknown name, a known one, a key, nobody and an empty name', async () => {
    const times: number[] = [];
    for (const [name, takesMs] of [
      ['unknown', 3],
      ['known', 340],
      ['akey', 0],
      ['nobody', 0],
      ['', 0],
    ] as const) {
      const { check, clock } = openCheck(() => ({ ...NO, takesMs }));
      const verdict = await check.check(encode(name, 'wrong'), '192.0.2.1');
      assert.equal(verdict.outcome, 'refused');
      times.push(clock.time);
    }
    assert.deepEqual(times, Array<number>(5).fill(500));
  });
});

describe('a check of credentials', () => {
  it('is one for all requests that come with the same at the same time, and none while it is fresh', async () => {
    const { check, asked, clock } = openCheck(() => yes('alice'));
    const many = Array.from({ length: 50 }, async () => check.check(encode('alice', 'right'), '192.0.2.1'));
    assert.equal(
      (await Promise.all(many)).every(({ outcome }) => outcome === 'accepted'),
      true,
    );
    assert.equal(asked.length, 1);
    clock.time += 59_000;
    assert.equal(check.check(encode('alice', 'right'), '192.0.2.1') instanceof Promise, false);
    clock.time += 2000;
    assert.equal(check.check(encode('alice', 'right'), '192.0.2.1') instanceof Promise, true);
  });

  it('is never made by more than sixteen at once, whatever storm of passwords comes', async () => {
    const { check, clock } = openCheck(() => NO);
    const storm = Array.from({ length: 90 }, async (_, index) =>
      check.check(encode(`u${index}`, 'x'), '192.0.2.1'),
    );
    await Promise.all(storm);
    assert.equal(clock.most, 16);
  });

  it('is not made for more guesses than the limit allows when they come all at once, of a name or from an address', async () => {
    const ofName = openCheck(() => NO);
    const guess = (check: typeof ofName.check, name: string, index: number) =>
      Promise.resolve(check.check(encode(name, `x${index}`), '192.0.2.1'));
    const verdicts = await Promise.all(
      Array.from({ length: 400 }, (_, index) => guess(ofName.check, 'alice', index)),
    );
    assert.equal(
      verdicts.every(({ outcome }) => outcome === 'refused'),
      true,
    );
    assert.equal(ofName.asked.length, 5);
    const ofMany = openCheck(() => NO);
    await Promise.all(Array.from({ length: 400 }, (_, index) => guess(ofMany.check, `u${index}`, index)));
    assert.equal(ofMany.asked.length, 100);
  });

  it('waits while too many others run, and a right one is accepted then', async () => {
    const { check, asked } = openCheck(() => yes('good'));
    const verdicts = await Promise.all(
      Array.from({ length: 24 }, async (_, index) =>
        check.check(encode('good', `right${index}`), '192.0.2.1'),
      ),
    );
    assert.equal(
      verdicts.every(({ outcome }) => outcome === 'accepted'),
      true,
    );
    assert.equal(asked.length, 24);
  });

  it('is dropped on an invalidation of its name, and one that CouchDB was answering is not cached', async () => {
    let meanwhile = (): void => undefined;
    const { check, asked, deliver } = openCheck(() => {
      meanwhile();
      return yes('alice', ['_admin']);
    });
    const isKnown = (): boolean => !(check.check(encode('alice', 'right'), '192.0.2.1') instanceof Promise);
    const ask = async () => check.check(encode('alice', 'right'), '192.0.2.1');
    await ask();
    deliver({ kind: 'user', name: 'bob' });
    assert.equal(isKnown(), true);
    deliver({ kind: 'user', name: 'alice' });
    meanwhile = () => deliver({ kind: 'user', name: 'alice' });
    await ask();
    assert.equal(asked.length, 2);
    assert.equal(isKnown(), false);
  });

  it('reads the document of a user that has just changed, and not the cache of CouchDB', async () => {
    const document = { password_scheme: 'simple', salt: 's', roles: ['new'], password_sha: '' };
    const { check, deliver } = openCheck(
      () => yes('alice', ['old']),
      {},
      ({ path }) =>
        path.startsWith('/_users/')
          ? { status: 200, body: document, takesMs: 1 }
          : { status: 404, takesMs: 1 },
    );
    deliver({ kind: 'user', name: 'alice' });
    assert.equal((await check.check(encode('alice', 'old'), '192.0.2.1')).outcome, 'refused');
    document.password_sha = createHash('sha1').update('news').digest('hex');
    const verdict = await check.check(encode('alice', 'new'), '192.0.2.1');
    assert.equal(verdict.outcome, 'accepted');
    assert.deepEqual(verdict.principal, { kind: 'user', name: 'alice', roles: ['new'] });
  });

  it('that CouchDB cannot make is unavailable, not wrong, and what was right decides for its time', async () => {
    let away = true;
    const { check, clock } = openCheck(() => (away ? { status: 503, takesMs: 1 } : yes('alice')));
    const ask = async () => check.check(encode('alice', 'right'), '192.0.2.1');
    await assert.rejects(ask, Unavailable);
    away = false;
    assert.equal((await ask()).outcome, 'accepted');
    away = true;
    clock.time += 61_000;
    assert.equal((await ask()).outcome, 'accepted');
    // Fresh for 60 seconds, then 90 more.
    clock.time += 88_000;
    assert.equal((await ask()).outcome, 'accepted');
    clock.time += 2000;
    await assert.rejects(ask, Unavailable);
  });

  it('that CouchDB’s own lock stops is a 429, counts for nothing, and stops nobody who is right from there', async () => {
    let locked = true;
    const document = { password_scheme: 'simple', salt: 's', roles: [], password_sha: '' };
    const store = (password: string): void => {
      document.password_sha = createHash('sha1').update(`${password}s`).digest('hex');
    };
    store('right');
    const { check, clock } = openCheck(
      () => (locked ? { status: 403, takesMs: 1 } : yes('alice')),
      {},
      ({ path }) => ({ status: path.startsWith('/_users/') ? 200 : 404, body: document, takesMs: 1 }),
    );
    const ask = async () => check.check(encode('alice', 'right'), '192.0.2.1');
    const isLocked = async (): Promise<boolean> => {
      const verdict = await ask();
      return verdict.outcome === 'refused' && verdict.error instanceof TooManyRequests;
    };
    for (let time = 0; time < 10; time += 1) assert.equal(await isLocked(), true);
    locked = false;
    assert.equal((await ask()).outcome, 'accepted');
    locked = true;
    clock.time += 61_000;
    assert.equal((await ask()).outcome, 'accepted');
    // The time of an outage does not count: CouchDB still says which password is right.
    store('another');
    clock.time += 2000;
    assert.equal(await isLocked(), true);
  });

  it('is refused when CouchDB answers for another name, or for none', async () => {
    for (const name of ['bob', null]) {
      const { check } = openCheck(() => ({
        status: 200,
        body: { userCtx: { name, roles: ['_admin'] } },
        takesMs: 1,
      }));
      assert.equal((await check.check(encode('alice', 'x'), '192.0.2.1')).outcome, 'refused');
    }
  });

  it('keeps a digest that only this process can make, not the password', async () => {
    const cache = new CredentialCache({ onMessage: () => undefined });
    const { check } = openCheck(() => yes('alice'), { cache });
    const secret = 'canary-password-5f1c';
    await check.check(encode('alice', secret), '192.0.2.1');
    const digest = cache.digestOf(encode('alice', secret));
    const held = inspect([digest, cache.get(digest)], { depth: 9 });
    assert.match(held, /alice/);
    const elsewhere = new CredentialCache({ onMessage: () => undefined });
    assert.notEqual(elsewhere.digestOf(encode('alice', secret)), digest);
    assert.doesNotMatch(held, new RegExp(`${secret}|${encode('alice', secret)}`));
  });
});

describe('checks and new passwords together (H12.2)', () => {
  /** Runs work that ends when the test says so. */
  function heldWork() {
    const running: { readonly name: string; readonly end: () => void }[] = [];
    const names: string[] = [];
    const work = (name: string) => (): Promise<string> =>
      new Promise((resolve) => {
        names.push(name);
        running.push({ name, end: () => resolve(name) });
      });
    /** Ends the oldest and lets the next begin, until all have ended. */
    const endAll = async (): Promise<void> => {
      while (running.length > 0) {
        const writes = running.filter(({ name }) => name.startsWith('w'));
        assert.ok(running.length <= 16 && writes.length <= 4, `${running.length} ${writes.length}`);
        running.shift()?.end();
        await new Promise(setImmediate);
      }
    };
    return { running, names, work, endAll };
  }

  it('are at most sixteen at once, four of them new passwords, in their order', async () => {
    const limiter = new PasswordHashLimiter();
    const { running, names, work, endAll } = heldWork();
    const writes = Array.from({ length: 10 }, (_, at) => limiter.write(work(`w${at}`)));
    assert.deepEqual(names, ['w0', 'w1', 'w2', 'w3']);
    const checks = Array.from({ length: 20 }, (_, at) => limiter.check(work(`c${at}`)));
    await new Promise(setImmediate);
    assert.equal(running.length, 16);
    assert.equal(names.at(-1), 'c11', 'checks pass new passwords that must wait');
    await endAll();
    assert.deepEqual(
      await Promise.all(writes),
      names.filter((name) => name.startsWith('w')),
    );
    assert.deepEqual(
      await Promise.all(checks),
      names.filter((name) => name.startsWith('c')),
    );
    // Ended work, failed work too, leaves its slot.
    await assert.rejects(
      limiter.write(() => Promise.reject(new Error('failed'))),
      /failed/,
    );
    const again = Array.from({ length: 6 }, () => limiter.write(work('again')));
    assert.equal(running.length, 4);
    await endAll();
    await Promise.all(again);
  });

  it('check a password that was right before all others that wait', async () => {
    const limiter = new PasswordHashLimiter();
    const { names, work, endAll } = heldWork();
    const guesses = Array.from({ length: 40 }, (_, at) => limiter.check(work(`guess ${at}`)));
    const known = limiter.check(work('known'), true);
    await endAll();
    await Promise.all([...guesses, known]);
    assert.equal(names.indexOf('known'), 16, 'next after the sixteen that ran');
  });

  it('refuse a new password that waits too long, or beside too many, and never begin it', async () => {
    const limiter = new PasswordHashLimiter({ ...PASSWORD_HASH_LIMITS, writesWaiting: 2, writeWaitMs: 20 });
    const { running, names, work, endAll } = heldWork();
    const checks = Array.from({ length: 16 }, () => limiter.check(work('check')));
    const waiting = [limiter.write(work('late')), limiter.write(work('late'))];
    await assert.rejects(limiter.write(work('too many')), { status: 503, headers: { 'Retry-After': '1' } });
    for (const one of waiting) await assert.rejects(one, { status: 503 });
    await endAll();
    await Promise.all(checks);
    assert.deepEqual([...new Set(names)], ['check']);
    // Both places in the queue and all slots are free again.
    const later = Array.from({ length: 6 }, () => limiter.write(work('later')));
    assert.equal(running.length, 4);
    await endAll();
    await Promise.all(later);
  });
});
