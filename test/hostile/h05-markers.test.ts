// H5: one marker for all databases would join them: whatever confuses a path would cross from one to the other. Each has its own, and a
// request carries that of the database alone that was decided about.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createTokenMinter } from '../../src/identity/token-minter.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const here = `h05-here-${randomBytes(4).toString('hex')}`;
const there = `h05-there-${randomBytes(4).toString('hex')}`;
let gate: Couchgate;
let alice: Credentials;

before(async () => {
  gate = await startCouchgate();
  alice = await gate.key();
  const grants = { [alice.name]: ['_reader', '_writer', '_design'] };
  await gate.database(here, grants);
  await gate.database(there, grants);
  gate.recorder.take();
});
after(() => gate.close());

describe('the marker of a database (H5)', () => {
  const cases: readonly [string, string, 'member' | 'dbadmin'][] = [
    ['GET', '/_all_docs', 'member'],
    ['PUT', '/doc', 'member'],
    ['PUT', '/_design/x', 'dbadmin'],
  ];
  for (const [method, path, privilege] of cases) {
    it(`is the only one that CouchDB gets – ${method} /db${path}`, async () => {
      const body = method === 'PUT' ? { body: {} } : {};
      const answer = await gate.ask(method, `/${here}${path}`, { as: alice, ...body });
      assert.ok(answer.status < 300, JSON.stringify(answer.body));
      const [sent] = gate.recorder.take();
      assert.equal(sent?.claims?.sub, alice.name);
      const markers = sent.claims.roles.filter((role) => role.startsWith('couchgate-'));
      const { member, dbadmin } = markersOf(here);
      assert.deepEqual(markers, privilege === 'member' ? [member] : [member, dbadmin]);
      assert.equal(sent.claims.roles.includes('_admin'), false);
    });
  }

  it('opens no other database, though the token is good and the same key is granted there – 403 from CouchDB', async () => {
    const tokens = createTokenMinter({
      secret: Buffer.from(gate.backend.jwtSecretBase64, 'base64'),
      kid: gate.backend.kid,
      lifetimeSeconds: 60,
    });
    const scope = {
      privilege: 'dbadmin',
      identity: 'marker',
      roles: roleSet(['_reader', '_writer']),
    } as const;
    const token = tokens.tokenFor({ kind: 'key', name: alice.name }, scope, here) ?? '';
    const ask = (method: string, path: string) =>
      fetch(`${gate.backend.urls[0] ?? ''}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(method === 'PUT' ? { body: '{}' } : {}),
      });
    assert.equal((await ask('GET', `/${here}/_all_docs`)).status, 200);
    for (const [method, path] of [
      ['GET', '/_all_docs'],
      ['GET', '/_security'],
      ['GET', '/doc'],
      ['PUT', '/other'],
      ['PUT', '/_design/x'],
      ['PUT', '/_security'],
    ] as const) {
      const answer = await ask(method, `/${there}${path}`);
      assert.equal(answer.status, 403, `${method} ${path}`);
      assert.equal(((await answer.json()) as { error: string }).error, 'forbidden');
    }
    assert.equal((await ask('GET', '/_all_dbs')).status, 401, 'no server admin either');
  });
});
