// As whom, and with which roles, CouchDB is asked.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createTokenMinter, type TokenMinter } from '../../src/identity/token-minter.ts';
import { type TokenScope } from '../../src/identity/token-cache.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { roleSet, ROLES } from '../../src/permissions/role.ts';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');
const KEY: Principal = { kind: 'key', name: 'ovenblackbird' };
const USER: Principal = {
  kind: 'user',
  name: 'Zoë',
  roles: ['sales', '_admin', 'couchgate-0000000000000000-member'],
};
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin', 'boss'] };
const DIGEST = createHash('sha256').update('db').digest('hex').slice(0, 16);
const MEMBER = `couchgate-${DIGEST}-member`;
const DBADMIN = `couchgate-${DIGEST}-dbadmin`;
const READ_WRITE = roleSet(['_reader', '_writer', '_admin']);

interface Token {
  readonly header: Record<string, unknown>;
  readonly payload: Record<string, unknown>;
}

function open(token: string | undefined): Token | undefined {
  if (token === undefined) return undefined;
  const [header = '', payload = '', signature] = token.split('.');
  const expected = createHmac('sha256', SECRET).update(`${header}.${payload}`).digest('base64url');
  assert.equal(signature, expected);
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return { header: read(header), payload: read(payload) };
}

function tokensAt(clock: { now: number }): TokenMinter {
  return createTokenMinter({ secret: SECRET, kid: 'k1', lifetimeSeconds: 60, now: () => clock.now });
}

function scope(over: Partial<TokenScope> = {}): TokenScope {
  return { privilege: 'member', identity: 'marker', roles: READ_WRITE, ...over };
}

describe('the token that goes to CouchDB', () => {
  const cases: readonly (readonly [
    string,
    Principal,
    Partial<TokenScope>,
    string | undefined,
    readonly string[] | undefined,
  ])[] = [
    ['asks nothing for what needs nothing', KEY, { privilege: 'none' }, 'db', undefined],
    ['asks as a member', KEY, {}, 'db', [MEMBER, '_reader', '_writer']],
    [
      'asks as the database admin',
      KEY,
      { privilege: 'dbadmin' },
      'db',
      [MEMBER, DBADMIN, '_reader', '_writer'],
    ],
    [
      'asks as the server admin, and brings no other role',
      KEY,
      { privilege: 'server_admin' },
      'db',
      ['_admin'],
    ],
    ['brings no marker where there is no database', KEY, {}, undefined, ['_reader', '_writer']],
    [
      "brings a user's own roles, but none that CouchDB or Couchgate gives",
      USER,
      {},
      'db',
      [MEMBER, '_reader', '_writer', 'sales'],
    ],
    ['makes the owner no more than the operation needs', OWNER, { roles: 0 }, 'db', [MEMBER, 'boss']],
    [
      'lets nobody into a public database without a name',
      NOBODY,
      { roles: roleSet(['_reader']) },
      'db',
      [MEMBER, '_reader'],
    ],
    ["leaves a user alone on CouchDB's own rules", USER, { identity: 'own' }, 'db', ['sales']],
    ["leaves a key alone on CouchDB's own rules", KEY, { identity: 'own' }, 'db', []],
    [
      "leaves the owner what it is on CouchDB's own rules",
      OWNER,
      { identity: 'own' },
      'db',
      ['_admin', 'boss'],
    ],
    ["leaves nobody anonymous on CouchDB's own rules", NOBODY, { identity: 'own' }, 'db', undefined],
  ];
  for (const [title, principal, over, database, roles] of cases) {
    it(title, () => {
      const token = open(tokensAt({ now: 5000 }).tokenFor(principal, scope(over), database));
      assert.deepEqual(token?.payload['_couchdb.roles'], roles);
      if (token === undefined) return;
      assert.deepEqual(token.header, { alg: 'HS256', typ: 'JWT', kid: 'k1' });
      assert.deepEqual(
        [token.payload['sub'], token.payload['iat'], token.payload['exp']],
        [principal === NOBODY ? null : principal.name, 5, 65],
      );
    });
  }

  it('is an admin’s for Couchgate’s own requests alone', () => {
    const token = open(tokensAt({ now: 0 }).tokenForSelf());
    assert.deepEqual([token?.payload['sub'], token?.payload['_couchdb.roles']], ['couchgate', ['_admin']]);
  });

  it('never holds _admin for less than a server_admin operation, whatever roles ride along', () => {
    const principal = fc.record({
      kind: fc.constantFrom('user', 'owner'),
      name: fc.string(),
      roles: fc.array(fc.oneof(fc.string(), fc.constant('_admin'), fc.constant('couchgate-x-dbadmin'))),
    }) as fc.Arbitrary<Principal>;
    const tokens = tokensAt({ now: 0 });
    fc.assert(
      fc.property(
        principal,
        fc.constantFrom('member', 'dbadmin'),
        fc.integer({ min: 0, max: 2 ** ROLES.length - 1 }),
        fc.string({ minLength: 1 }),
        (who, privilege, roles, database) => {
          const token = open(tokens.tokenFor(who, scope({ privilege, roles }), database));
          const held = token?.payload['_couchdb.roles'] as string[];
          assert.equal(held.includes('_admin'), false);
          const markers = held.filter((role) => role.startsWith('couchgate-'));
          assert.equal(markers.length, privilege === 'dbadmin' ? 2 : 1);
        },
      ),
    );
  });
});

describe('cached tokens', () => {
  it('are reused for two thirds of their lifetime and then replaced', () => {
    const clock = { now: 0 };
    const tokens = tokensAt(clock);
    const first = tokens.tokenFor(KEY, scope(), 'db');
    clock.now = 39_999;
    assert.equal(tokens.tokenFor(KEY, scope(), 'db'), first);
    clock.now = 40_000;
    const second = tokens.tokenFor(KEY, scope(), 'db');
    assert.equal(open(second)?.payload['exp'], 100);
    assert.equal(tokens.tokenFor(KEY, scope(), 'db'), second);
  });

  it('are never reused for another name, database, privilege or set of roles', () => {
    const tokens = tokensAt({ now: 0 });
    const variants: readonly (readonly [Principal, TokenScope, string | undefined])[] = [
      [KEY, scope(), 'db'],
      [{ ...KEY, name: 'other' }, scope(), 'db'],
      [KEY, scope(), 'db2'],
      [KEY, scope(), undefined],
      [KEY, scope({ privilege: 'dbadmin' }), 'db'],
      [KEY, scope({ privilege: 'server_admin' }), 'db'],
      [KEY, scope({ roles: roleSet(['_reader']) }), 'db'],
      [KEY, scope({ identity: 'own' }), 'db'],
      [{ kind: 'user', name: KEY.name, roles: ['a'] }, scope(), 'db'],
      [{ kind: 'user', name: KEY.name, roles: ['b'] }, scope(), 'db'],
      [{ kind: 'user', name: KEY.name, roles: ['a', 'b'] }, scope(), 'db'],
    ];
    for (let round = 0; round < 2; round += 1) {
      const minted = variants.map(([principal, allowed, database]) =>
        tokens.tokenFor(principal, allowed, database),
      );
      assert.equal(new Set(minted).size, variants.length);
    }
  });

  it('follow the roles of a user, whose object is new for every request', () => {
    const tokens = tokensAt({ now: 0 });
    const as = (...roles: string[]): string | undefined =>
      tokens.tokenFor({ kind: 'user', name: 'u', roles }, scope(), 'db');
    const before = as('a');
    assert.equal(as('a'), before);
    assert.deepEqual(open(as('b'))?.payload['_couchdb.roles'], [MEMBER, '_reader', '_writer', 'b']);
    assert.equal(as('a'), before);
  });

  it('are dropped past the limit, in the order in which they were minted', () => {
    const clock = { now: 0 };
    const tokens = tokensAt(clock);
    const name = (n: number): Principal => ({ kind: 'key', name: `k${n}` });
    const first = tokens.tokenFor(name(0), scope(), 'db');
    const recent = tokens.tokenFor(name(20_001), scope(), 'db');
    clock.now = 1000;
    for (let n = 1; n <= 20_000; n += 1) tokens.tokenFor(name(n), scope(), 'db');
    assert.equal(tokens.tokenFor(name(20_001), scope(), 'db'), recent);
    for (let n = 30_000; n <= 50_000; n += 1) tokens.tokenFor(name(n), scope(), 'db');
    assert.notEqual(tokens.tokenFor(name(0), scope(), 'db'), first);
  });
});
