// H12.5: for a minute, a password that CouchDB no longer has still counts from a cache, and longer on a node
// that has not applied the change. No session may begin with it: it would be bound to the new password.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, beforeEach, describe, it } from 'node:test';
import { type CouchAnswer, type CouchRequest } from '../../src/couch/couch.ts';
import { createSessionTokens } from '../../src/identity/session-token.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { memoryCouch } from '../support/memory-couch.ts';
import { closedAfterSuite } from '../support/started.ts';

const NODE = 'node@memory';
const SALT = 'salt';
const shaOf = (password: string): string =>
  createHash('sha1')
    .update(password + SALT)
    .digest('hex');

/** What CouchDB has at present. */
const couchdb = {
  /** The passwords that `GET /_session` accepts. */
  accepted: [] as readonly string[],
  /** The password of the stored hash; undefined = the account was removed. */
  stored: undefined as string | undefined,
};

/** Answers for the server admin `root` and the user `lee`; everything else is that of a CouchDB in memory. */
function answer({ path, headers }: CouchRequest): CouchAnswer | undefined {
  const { accepted, stored } = couchdb;
  const missing = { status: 404, body: { error: 'not_found', reason: 'missing' } };
  if (path === '/_session') {
    const text = Buffer.from(headers?.['Authorization']?.slice('Basic '.length) ?? '', 'base64').toString();
    const [name = '', password = ''] = text.split(':');
    if (!accepted.includes(password)) return { status: 401, body: {} };
    return { status: 200, body: { userCtx: { name, roles: name === 'root' ? ['_admin'] : [] } } };
  }
  if (path.endsWith('/_config/admins/root'))
    return stored === undefined ? missing : { status: 200, body: `-hashed-${shaOf(stored)},${SALT}` };
  if (!path.endsWith('/org.couchdb.user%3Alee')) return undefined;
  if (stored === undefined) return missing;
  const hash = { password_scheme: 'simple', salt: SALT, password_sha: shaOf(stored) };
  return { status: 200, body: { name: 'lee', roles: [], ...hash } };
}

describe('H12: a password from before a change', () => {
  const sessionSecret = randomBytes(32);
  const started = closedAfterSuite();
  let gate: Couchgate;

  before(async () => {
    const couch = memoryCouch();
    const ask: typeof couch.ask = async (request) => answer(request) ?? (await couch.ask(request));
    gate = await started(
      startCouchgate({ sessionSecret, overrides: { couch: { ...couch, ask }, refusalQuantumMs: 0 } }),
    );
  });

  const signIn = (name: string, password: string, headers = {}) =>
    gate.ask('POST', '/_session', { body: { name, password }, headers });
  const basic = async (name: string, password: string): Promise<number> =>
    (await gate.ask('GET', '/_session', { as: { name, password } })).status;

  async function nameOf(cookie: string): Promise<unknown> {
    const { body } = await gate.ask('GET', '/_session', { headers: { cookie } });
    return (body as { userCtx: { name: unknown } }).userCtx.name;
  }

  beforeEach(() => {
    couchdb.accepted = ['old'];
    couchdb.stored = 'old';
  });

  const CHANGES = {
    'a changed password': () => {
      couchdb.accepted = ['new'];
      couchdb.stored = 'new';
    },
    'a changed password that the node of the check does not know yet': () => {
      couchdb.accepted = ['old', 'new'];
      couchdb.stored = 'new';
    },
    'a removed account': () => {
      couchdb.accepted = [];
      couchdb.stored = undefined;
    },
  };
  for (const name of ['root', 'lee'])
    for (const [what, change] of Object.entries(CHANGES))
      it(`gets no session, though it is cached – ${what} of ${name} – 401`, async () => {
        assert.equal(await basic(name, 'old'), 200);
        assert.equal((await signIn(name, 'old')).status, 200);
        change();
        for (const headers of [{}, { 'X-Couchgate-Dashboard': '1' }]) {
          const refused = await signIn(name, 'old', headers);
          assert.equal(refused.status, 401);
          assert.match(refused.headers.get('set-cookie') ?? '', /^(?:AuthSession|couchgate_dashboard)=;/);
        }
        if (couchdb.stored === undefined) return;
        const { status, headers } = await signIn(name, 'new');
        assert.equal(status, 200);
        assert.equal(await nameOf(headers.get('set-cookie')?.split(';', 1)[0] ?? ''), name);
      });

  it('has no session without a version either: nothing could end it – GET /_session', async () => {
    const tokens = createSessionTokens({ secret: sessionSecret });
    const issuedAt = Date.now();
    const times = { issuedAt, expiresAt: issuedAt + 60_000 };
    for (const version of ['', `${NODE} x`]) {
      const token = tokens.sign({ kind: 'owner', name: 'root', id: 'x', version, ...times });
      assert.equal(await nameOf(`AuthSession=${token}`), null);
    }
  });
});
