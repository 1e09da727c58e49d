// H23: the access log names the key or user of a refused login and the reason. The client sees no difference, and a
// name that nobody has is not logged: it may be a password.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { audit } from '../../src/cli/audit.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const CANARY = `pass-${randomBytes(6).toString('hex')}`;
const user = `lee-${randomBytes(4).toString('hex')}`;

/** Headers that differ from answer to answer. */
const VARIABLE = new Set(['x-couch-request-id', 'date']);

describe('H23: a refused login', () => {
  let gate: Couchgate;
  const names: Record<string, string> = { unknown: CANARY, user, nobody: 'nobody' };
  let expired: Credentials;
  const started = closedAfterSuite();

  before(async () => {
    gate = await started(startCouchgate({ settings: { loginFailures: 3, loginFailuresPerAddress: 1000 } }));
    const { owner } = gate;
    const ask: Couchgate['ask'] = (...request) => gate.ask(...request);
    await ask('PUT', '/_users', { as: owner });
    const body = { name: user, password: 'right', roles: [], type: 'user' };
    await ask('PUT', `/_users/org.couchdb.user:${user}`, { as: owner, body });
    names['key'] = (await gate.key()).name;
    names['revoked'] = (await gate.key()).name;
    await ask('DELETE', `/_api/v2/api_keys/${names['revoked']}`, { as: owner });
    expired = await gate.key();
    const past = { expires_at: '2020-01-01T00:00:00Z' };
    const path = `/_api/v2/api_keys/${expired.name}`;
    assert.equal((await ask('PATCH', path, { as: owner, body: past })).status, 200);
  });

  const lineOf = async (id: string): Promise<Readonly<Record<string, unknown>>> => {
    const find = async () => (await gate.accessLog()).find((line) => line['id'] === id);
    await until(async () => (await find()) !== undefined);
    return (await find()) ?? {};
  };
  let count = 0;
  /** Tries a login by the header or by POST /_session. */
  async function login(way: 'basic' | 'session', as: Credentials) {
    const id = `login-${(count += 1)}`;
    const headers = { 'X-Couch-Request-ID': id };
    const answer =
      way === 'basic'
        ? await gate.ask('GET', '/_all_dbs', { as, headers })
        : await gate.ask('POST', '/_session', { body: as, headers });
    return { answer, line: await lineOf(id) };
  }

  const rows = [
    ['a key with a wrong password', 'key', 'wrong password'],
    ['a user with a wrong password', 'user', 'wrong password'],
    ['a revoked key', 'revoked', 'revoked'],
    ['a name that nobody has', 'unknown', 'unknown name'],
    ['nobody', 'nobody', 'unknown name'],
  ] as const;
  for (const way of ['basic', 'session'] as const) {
    const shown: string[] = [];
    for (const [what, who, reason] of rows)
      it(`is logged with the name if it is known, and with the reason – ${what}, ${way}`, async () => {
        const name = names[who] ?? '';
        const { answer, line } = await login(way, { name, password: `${CANARY}${count}` });
        assert.equal(answer.status, 401);
        const { decision, rule, reason: logged, loginName } = line;
        assert.deepEqual([decision, rule, logged], ['deny', 'credentials', reason]);
        assert.equal(loginName, reason === 'unknown name' ? '(unknown)' : name);
        const headers = [...answer.headers].filter(([header]) => !VARIABLE.has(header));
        const text = JSON.stringify([answer.status, answer.body, headers]);
        shown.push(text.replace(/Expires=[^;]*/, 'Expires'));
      });
    it(`is answered alike whatever the log says – ${way}`, () => {
      assert.equal(shown.length, rows.length);
      assert.deepEqual([...new Set(shown)].slice(1), []);
    });
  }

  it('names an expired key only if its password is right', async () => {
    const right = await login('basic', expired);
    assert.deepEqual([right.line['loginName'], right.line['reason']], [expired.name, 'expired']);
    const wrong = await login('basic', { ...expired, password: 'x' });
    assert.deepEqual([wrong.line['loginName'], wrong.line['reason']], [expired.name, 'wrong password']);
    assert.deepEqual(wrong.answer.body, {
      error: 'unauthorized',
      reason: 'Name or password is incorrect.',
    });
  });

  it('is logged as locked – 429, and the client reads the same for a key and for an unknown name', async () => {
    const key = await gate.key();
    const bodies: unknown[] = [];
    for (const [name, logged] of [
      [key.name, key.name],
      [`${CANARY}-2`, '(unknown)'],
    ] as const) {
      for (let time = 0; time < 3; time += 1) await login('basic', { name, password: `x${time}` });
      const { answer, line } = await login('basic', { name, password: 'x' });
      assert.equal(answer.status, 429);
      assert.deepEqual([line['loginName'], line['reason']], [logged, 'locked']);
      bodies.push(answer.body);
    }
    assert.deepEqual(bodies[0], bodies[1]);
  });

  it('names the holder of a session that has ended, and not of an altered one', async () => {
    const key = await gate.key();
    const { answer } = await login('session', key);
    const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const use = async (value: string, id: string) => {
      const headers = { Cookie: value, 'X-Couch-Request-ID': id };
      assert.equal((await gate.ask('GET', '/_all_dbs', { headers })).status, 401);
      return lineOf(id);
    };
    await gate.ask('DELETE', '/_session', { headers: { Cookie: cookie } });
    const { loginName, reason, rule } = await use(cookie, 'ended');
    assert.deepEqual([loginName, reason, rule], [key.name, 'session ended', 'credentials']);
    const forged = `AuthSession=${Buffer.from(JSON.stringify(['k', key.name])).toString('base64url')}.AAAA`;
    assert.equal((await use(forged, 'forged'))['loginName'], undefined);
  });

  it('is found by `audit --principal KEY --decision deny`; no name that is unknown is in the log', async () => {
    const log = (await gate.accessLog()).map((line) => `${JSON.stringify(line)}\n`).join('');
    assert.equal(log.includes(CANARY), false);
    let out = '';
    const code = await audit(['--principal', names['key'] ?? '', '--decision', 'deny'], {
      env: {},
      stdin: Readable.from([log]),
      stdout: { write: (text: string) => (out += text) },
      stderr: process.stderr,
    });
    assert.equal(code, 0);
    const found = out
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    assert.deepEqual(
      found.map(({ reason }) => reason),
      ['wrong password', 'wrong password'],
    );
  });

  it('leaves an accepted login without the field', async () => {
    const key = await gate.key();
    const { answer, line } = await login('session', key);
    assert.equal(answer.status, 200);
    assert.equal(line['loginName'], undefined);
  });
});
