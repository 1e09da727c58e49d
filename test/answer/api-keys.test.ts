// What the handlers of API keys and of the deprecated endpoints read and answer, over real sockets, with a key store that notes what it is asked.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Request, type Response } from 'express';
import { Context } from '../../src/context.ts';
import { endpoint, type EndpointId } from '../../src/catalogue/catalogue.ts';
import { apiKeyHandlers } from '../../src/answer/api-keys.ts';
import { legacyHandlers } from '../../src/answer/legacy.ts';
import { NotFound, Unavailable } from '../../src/http-errors.ts';
import { type KeyPage, type KeySummary } from '../../src/identity/api-key.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { permissionsIn, storedForm } from '../../src/permissions/security-document.ts';
import { parseSecurityPut } from '../../src/permissions/security-request.ts';
import { type PermissionIndex } from '../../src/permissions/permission-index.ts';
import { type PermissionStore } from '../../src/permissions/permission-store.ts';
import { ROLES, rolesOf } from '../../src/permissions/role.ts';
import { asHttpError, sendError } from '../../src/respond.ts';
import { rememberingLog } from '../support/log.ts';
import { attachContext, testBodies } from '../support/bodies.ts';

const KEY = 'babebibobubadedidodudafe';
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };
const SUMMARY = {
  key: KEY,
  label: 'l',
  created_by: 'admin',
  created_at: 'c',
  expires_at: null,
  last_used: null,
};
const NOW = Date.parse('2030-01-01T00:00:00Z');
const noSuchKey = { error: 'not_found', reason: 'The API key does not exist or is revoked.' };

let asked: unknown[] = [];
let broken = false;
const one = <T>(name: string, value: T): T | undefined => (name === KEY ? value : undefined);
const answer = <T>(question: unknown[], value: T): Promise<T> => {
  asked.push(question);
  return broken ? Promise.reject(new Unavailable('away')) : Promise.resolve(value);
};
/** What the store lists, in the order of names. */
let listed: readonly KeySummary[] = [SUMMARY];
/** Pages of the list after which the store is away. */
let pagesUntilAway = Infinity;
function pageOf(after: string, limit: number): KeyPage {
  if ((pagesUntilAway -= 1) < 0) throw new Unavailable('away');
  const rest = listed.filter(({ key }) => key > after);
  const page = rest.slice(0, limit);
  return { keys: page, next: rest.length > limit ? page.at(-1)?.key : undefined };
}
const keys = {
  create: (order: unknown) => answer(['create', order], { key: KEY, password: 'secret' }),
  page: async (after: string, limit: number) => answer(['page', after, limit], pageOf(after, limit)),
  describe: (name: string) => answer(['describe', name], one(name, SUMMARY)),
  change: (name: string, fields: unknown) => answer(['change', name, fields], one(name, SUMMARY)),
  revoke: (name: string, by: string) => answer(['revoke', name, by], name === KEY),
  rotate: (name: string, overlap: number) =>
    answer(
      ['rotate', name, overlap],
      one(name, { password: 'new', oldValidUntil: '2030-01-02T00:00:00.000Z' }),
    ),
};
const stored = storedForm(parseSecurityPut({ cloudant: { a: ['_reader'], b: ['_writer'] }, keep: 1 }), 'db', {
  stamp: 1,
});
const openToGrants = new Set(['db', 'vanishes']);
const index: PermissionIndex = {
  isLoaded: true,
  size: 0,
  databasesOf: () => new Map([['db', 1]]),
  rolesOn: () => 0,
  grantsOf: () => undefined,
  couchdbAuthOnly: () => new Set(),
  isDeleted: () => false,
  couchdbMembersOf: () => undefined,
};
const permissions: Pick<PermissionStore, 'change' | 'permissionsOf'> = {
  permissionsOf: (database) =>
    openToGrants.has(database) || database === 'left'
      ? { database, grants: new Map(), couchdbAuthOnly: database === 'left', marked: true }
      : undefined,
  async change(database, by, wish) {
    const found = await answer(['change', database, by.name], database === 'db' ? stored : undefined);
    if (found === undefined) throw new NotFound('Database does not exist.');
    const request = wish(found);
    const before = permissionsIn(found, database);
    const after = permissionsIn(storedForm(request, database, { stamp: 2 }), database);
    const grants = [...after.grants].map(([name, set]) => [name, rolesOf(set)]);
    return answer(['write', grants, request.rest], { database, before, after, generation: 'a', revision: 2 });
  },
};

const STORED_GRANTS = [
  ['a', ['_reader']],
  ['b', ['_writer']],
] as const;

interface Row {
  readonly title: string;
  readonly row: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Buffer;
  readonly type?: string;
  readonly gzip?: boolean;
  readonly principal?: Principal;
  readonly status: number;
  readonly answer: unknown;
  readonly asked?: unknown;
  readonly change?: unknown;
}

const keyPath = `/_api/v2/api_keys/${KEY}`;
const created = { ok: true, key: KEY, password: 'secret' };
const rotated = { ok: true, key: KEY, password: 'new', old_password_valid_until: '2030-01-02T00:00:00.000Z' };
const json = (value: unknown): { body: string; type: string } => ({
  body: JSON.stringify(value),
  type: 'application/json',
});
const form = (body: string): { body: string; type: string } => ({
  body,
  type: 'application/x-www-form-urlencoded',
});
const bad = (reason: string, error = 'bad_request'): { status: number; answer: unknown; asked: unknown } => ({
  status: 400,
  answer: { error, reason },
  asked: [],
});

const ROWS: readonly Row[] = [
  {
    title: 'makes a key without a body',
    row: 'api-keys',
    status: 201,
    answer: created,
    asked: [['create', { label: null, expiresAt: null, by: 'admin' }]],
    change: { action: 'create', key: KEY, label: null, expiresAt: null },
  },
  {
    title: 'makes a key with a label and an end',
    row: 'api-keys',
    ...json({ label: 'sensor ü', expires_at: '2030-06-01T02:00:00+02:00' }),
    status: 201,
    answer: created,
    asked: [['create', { label: 'sensor ü', expiresAt: '2030-06-01T00:00:00.000Z', by: 'admin' }]],
  },
  {
    title: 'reads a gzipped body',
    row: 'api-keys',
    body: gzipSync('{"label":"z"}'),
    gzip: true,
    type: 'application/json',
    status: 201,
    answer: created,
    asked: [['create', { label: 'z', expiresAt: null, by: 'admin' }]],
  },
  {
    title: 'grants the roles before it shows the password',
    row: 'api-keys',
    ...json({ label: 'g', grants: { db: ['_reader', '_writer', '_reader'] } }),
    status: 201,
    answer: { ...created, grants: { db: ['_reader', '_writer'] } },
    asked: [
      ['create', { label: 'g', expiresAt: null, by: 'admin' }],
      ['change', 'db', 'admin'],
      ['write', [...STORED_GRANTS, [KEY, ['_reader', '_writer']]], { keep: 1 }],
    ],
    change: {
      action: 'create',
      key: KEY,
      label: 'g',
      expiresAt: null,
      grants: { db: ['_reader', '_writer'] },
    },
  },
  {
    title: 'takes the grants back and revokes the key if one of them fails',
    row: 'api-keys',
    ...json({ grants: { db: ['_reader'], vanishes: ['_reader'] } }),
    status: 404,
    answer: { error: 'not_found', reason: 'The database "vanishes" in `grants` does not exist.' },
    asked: [
      ['create', { label: null, expiresAt: null, by: 'admin' }],
      ['change', 'db', 'admin'],
      ['write', [...STORED_GRANTS, [KEY, ['_reader']]], { keep: 1 }],
      ['change', 'vanishes', 'admin'],
      ['change', 'db', 'admin'],
      ['write', STORED_GRANTS, { keep: 1 }],
      ['change', 'vanishes', 'admin'],
      ['revoke', KEY, 'admin'],
    ],
  },
  {
    title: 'makes no key for a database that is missing',
    row: 'api-keys',
    ...json({ grants: { db: ['_reader'], gone: ['_reader'] } }),
    status: 404,
    answer: { error: 'not_found', reason: 'The database "gone" in `grants` does not exist.' },
    asked: [],
  },
  {
    title: 'makes no key for a database whose access CouchDB decides',
    row: 'api-keys',
    ...json({ grants: { left: ['_reader'] } }),
    ...bad('A grant on "left" has no effect: `couchdb_auth_only` is set there'),
  },
  {
    title: 'names every problem of the grants at once',
    row: 'api-keys',
    ...json({ grants: { couchgate: ['_reader'], _users: ['_reader'], A: [], db: [], x: ['_root', 7] } }),
    ...bad(
      [
        ...['couchgate', '_users', 'A'].map(
          (name) => `"${name}" in \`grants\` is not a database that can have grants`,
        ),
        'the roles on "db" must be an array with at least one role',
        ...['"_root"', '7'].map((role) => `${role}, a role on "x", is not one of ${ROLES.join(', ')}`),
      ].join('; '),
    ),
  },
  {
    title: 'refuses grants that are no object',
    row: 'api-keys',
    ...json({ grants: ['db'] }),
    ...bad('`grants` must be an object of databases and their roles'),
  },
  {
    title: 'refuses more grants than it can make while the client waits',
    row: 'api-keys',
    ...json({ grants: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`d${i}`, ['_reader']])) }),
    ...bad('`grants` can name at most 50 databases'),
  },
  {
    title: 'does not change grants through a key',
    row: 'api-key-change',
    method: 'PATCH',
    path: keyPath,
    ...json({ grants: {} }),
    ...bad('Unknown field "grants"; allowed: label, expires_at'),
  },
  {
    title: 'refuses another content type',
    row: 'api-keys',
    ...form('label=x'),
    status: 415,
    answer: { error: 'bad_content_type', reason: 'Content-Type must be application/json' },
    asked: [],
  },
  {
    title: 'refuses an unknown field',
    row: 'api-keys',
    ...json({ expires: '2030-06-01T00:00:00Z' }),
    ...bad('Unknown field "expires"; allowed: label, expires_at, grants'),
  },
  {
    title: 'refuses a key that is over before it begins',
    row: 'api-keys',
    ...json({ expires_at: '2029-12-31T23:59:59Z' }),
    ...bad('`expires_at` is in the past'),
  },
  ...['2030-06-01', '2030-06-01T00:00:00', '2030-13-01T00:00:00Z', 'soon', 1900000000000, true].map(
    (expires_at) => ({
      title: `refuses ${String(expires_at)} as an end`,
      row: 'api-keys',
      ...json({ expires_at }),
      ...bad('`expires_at` must be a time such as 2030-01-31T12:00:00Z, or null'),
    }),
  ),
  ...['a\nb', 'x'.repeat(257), 1, {}, '\u2028'].map((label) => ({
    title: `refuses ${JSON.stringify(label).slice(0, 12)} as a label`,
    row: 'api-keys',
    ...json({ label }),
    ...bad('`label` must be a string of at most 256 characters without line breaks, or null'),
  })),
  {
    title: 'lists keys',
    row: 'api-keys-list',
    method: 'GET',
    status: 200,
    answer: { api_keys: [SUMMARY] },
    asked: [['page', '', 2000]],
  },
  {
    title: 'shows a key',
    row: 'api-key-get',
    method: 'GET',
    path: keyPath,
    status: 200,
    answer: SUMMARY,
    asked: [['describe', KEY]],
  },
  {
    title: 'does not find a key that is not there',
    row: 'api-key-get',
    method: 'GET',
    path: '/_api/v2/api_keys/nope',
    status: 404,
    answer: noSuchKey,
  },
  {
    title: 'changes a label',
    row: 'api-key-change',
    method: 'PATCH',
    path: keyPath,
    ...json({ label: null }),
    status: 200,
    answer: { ok: true, ...SUMMARY },
    asked: [['change', KEY, { label: null }]],
    change: { action: 'change', key: KEY, label: null },
  },
  {
    title: 'ends a key by its end',
    row: 'api-key-change',
    method: 'PATCH',
    path: keyPath,
    ...json({ expires_at: '2020-01-01T00:00:00Z' }),
    status: 200,
    answer: { ok: true, ...SUMMARY },
    asked: [['change', KEY, { expiresAt: '2020-01-01T00:00:00.000Z' }]],
  },
  {
    title: 'refuses a change without a body',
    row: 'api-key-change',
    method: 'PATCH',
    path: keyPath,
    ...bad('Missing request body'),
  },
  {
    title: 'does not change a key that is not there',
    row: 'api-key-change',
    method: 'PATCH',
    path: '/_api/v2/api_keys/nope',
    ...json({ label: 'x' }),
    status: 404,
    answer: noSuchKey,
  },
  {
    title: 'revokes a key',
    row: 'api-key-revoke',
    method: 'DELETE',
    path: keyPath,
    status: 200,
    answer: { ok: true, granted_on: ['db'] },
    asked: [['revoke', KEY, 'admin']],
    change: { action: 'revoke', key: KEY },
  },
  {
    title: 'does not revoke a key that is not there',
    row: 'api-key-revoke',
    method: 'DELETE',
    path: '/_api/v2/api_keys/nope',
    status: 404,
    answer: noSuchKey,
  },
  {
    title: 'rotates with the usual overlap',
    row: 'api-key-rotate',
    path: `${keyPath}/rotate`,
    status: 200,
    answer: rotated,
    asked: [['rotate', KEY, 86_400]],
    change: { action: 'rotate', key: KEY, overlapSeconds: 86_400 },
  },
  {
    title: 'rotates with an overlap of its own',
    row: 'api-key-rotate',
    path: `${keyPath}/rotate`,
    ...json({ overlap_seconds: 0 }),
    status: 200,
    answer: rotated,
    asked: [['rotate', KEY, 0]],
  },
  ...[-1, 0.5, '10', 2_592_001, null].map((overlap_seconds) => ({
    title: `refuses an overlap of ${String(overlap_seconds)}`,
    row: 'api-key-rotate',
    path: `${keyPath}/rotate`,
    ...json({ overlap_seconds }),
    ...bad('`overlap_seconds` must be a whole number from 0 to 2592000'),
  })),
  {
    title: 'does not rotate a key that is not there',
    row: 'api-key-rotate',
    path: '/_api/v2/api_keys/nope/rotate',
    status: 404,
    answer: noSuchKey,
  },
  {
    title: 'makes a key the deprecated way',
    row: 'legacy-generate-api-key',
    status: 201,
    answer: created,
    asked: [['create', { label: null, expiresAt: null, by: 'admin' }]],
  },
  {
    title: 'gives a name its roles and keeps the others',
    row: 'legacy-set-permissions',
    ...form('database=db&username=b&roles=_reader&roles=_replicator'),
    status: 200,
    answer: { ok: true },
    asked: [
      ['change', 'db', 'admin'],
      [
        'write',
        [
          ['a', ['_reader']],
          ['b', ['_reader', '_replicator']],
        ],
        { keep: 1 },
      ],
    ],
    change: {
      action: 'permissions',
      database: 'db',
      revision: 2,
      grants: [{ name: 'b', before: ['_writer'], after: ['_reader', '_replicator'] }],
    },
  },
  {
    title: 'takes the account before the database from the owner',
    row: 'legacy-set-permissions',
    ...form('database=admin%2Fdb&username=c&roles=_writer'),
    status: 200,
    answer: { ok: true },
  },
  {
    title: 'takes no account from anybody else',
    row: 'legacy-set-permissions',
    principal: { kind: 'key', name: 'admin' },
    ...form('database=admin%2Fdb&username=c&roles=_writer'),
    status: 404,
    answer: { error: 'not_found', reason: 'Database does not exist.' },
    asked: [['change', 'admin/db', 'admin']],
  },
  {
    title: 'refuses a role that is none',
    row: 'legacy-set-permissions',
    ...form('database=db&username=c&roles=_creator'),
    status: 400,
    answer: {
      error: 'bad_request',
      reason:
        '"_creator", a role of "c", is not one of _reader, _writer, _admin, _design, _replicator, _security, _shards, _db_updates',
    },
    asked: [['change', 'db', 'admin']],
  },
  {
    title: 'refuses a form without a name',
    row: 'legacy-set-permissions',
    ...form('database=db&roles=_reader'),
    ...bad('Username not specified.', 'username_required'),
  },
  {
    title: 'refuses two names',
    row: 'legacy-set-permissions',
    ...form('database=db&username=a&username=b&roles=_reader'),
    ...bad('The form must name one username.'),
  },
  {
    title: 'refuses a form without roles',
    row: 'legacy-set-permissions',
    ...form('database=db&username=a'),
    ...bad('Roles not specified.', 'roles_required'),
  },
];

describe('the handlers of API keys', () => {
  let server: Server;
  let base: string;
  let context = new Context();
  let principal: Principal = OWNER;
  let row = '';

  before(async () => {
    const handlers = {
      ...apiKeyHandlers({
        bodies: testBodies(),
        keys,
        permissions: { ...permissions, index },
        permissionReader: permissions,
        reservedDatabases: ['couchgate'],
        log: rememberingLog(),
        keyRotationOverlapSeconds: 86_400,
        now: () => NOW,
      }),
      ...legacyHandlers({
        ...{ bodies: testBodies(), keys, permissions },
        isStillAuthenticated: () => true,
      }),
    };
    server = createServer((req, res) => {
      context = attachContext(req, principal);
      context.target = {
        segments: (req.url ?? '').split('/').filter((part) => part !== ''),
        path: req.url ?? '',
        query: (req.url ?? '').split('?')[1] ?? '',
      };
      const run = async (): Promise<void> => {
        context.decision = {
          allow: true,
          endpoint: endpoint(row as EndpointId),
          privilege: 'none',
          identity: 'marker',
          roles: 0,
          rule: 'owner',
        };
        await handlers[row as keyof typeof handlers](req as Request, res as Response, context);
      };
      const fail = (error: unknown): void => sendError(req, res, asHttpError(error));
      run().catch(fail);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  beforeEach(() => {
    asked = [];
    broken = false;
  });

  async function send(request: Row): Promise<globalThis.Response> {
    row = request.row;
    principal = request.principal ?? OWNER;
    const headers = new Headers();
    if (request.type !== undefined) headers.set('content-type', request.type);
    if (request.gzip === true) headers.set('content-encoding', 'gzip');
    const body = request.body === undefined ? null : new Uint8Array(Buffer.from(request.body));
    return fetch(`${base}${request.path ?? endpoint(request.row as EndpointId).path}`, {
      method: request.method ?? 'POST',
      headers,
      body,
    });
  }

  for (const each of ROWS) {
    it(`${each.title} – ${each.method ?? 'POST'} ${endpoint(each.row as EndpointId).path} – ${each.status}`, async () => {
      const received = await send(each);
      assert.deepEqual([received.status, await received.json()], [each.status, each.answer]);
      if (each.asked !== undefined) assert.deepEqual(asked, each.asked);
      if (each.change !== undefined) assert.deepEqual(context.outcome.change, each.change);
      if (each.status >= 400) assert.equal(context.outcome.change, undefined);
      assert.doesNotMatch(JSON.stringify(context.outcome.change ?? {}), /secret|new/);
    });
  }

  describe('the list of many keys – GET /_api/v2/api_keys', () => {
    const DAY_MS = 86_400_000;
    const isoOf = (days: number): string => new Date(NOW + days * DAY_MS).toISOString();
    const nameOf = (n: number): string =>
      `k${String(n)
        .padStart(6, '0')
        .replaceAll(/\d/g, (digit) => 'abcdefghij'.charAt(Number(digit)))}`;
    /** The later a name, the older its key. */
    const many = Array.from({ length: 45_000 }, (_, n): KeySummary => ({
      ...SUMMARY,
      key: nameOf(n),
      label: n === 30_000 ? 'Needle' : null,
      created_at: isoOf(-1 - n / 1_000_000),
    }));
    before(() => (listed = many));
    beforeEach(() => (pagesUntilAway = Infinity));
    after(() => {
      listed = [SUMMARY];
      pagesUntilAway = Infinity;
    });
    const get = (query: string) =>
      send({
        ...{ title: '', row: 'api-keys-list', method: 'GET', status: 0, answer: '' },
        path: `/_api/v2/api_keys${query}`,
      });
    async function list(query: string): Promise<{ names: readonly string[]; next: unknown }> {
      const answered = await get(query);
      assert.equal(answered.status, 200);
      const { api_keys, next } = (await answered.json()) as { api_keys: KeySummary[]; next?: unknown };
      return { names: api_keys.map(({ key }) => key), next };
    }

    it('is sorted by age while a worker can hold it, and sent page by page in the order of names beyond', async () => {
      listed = many.slice(0, 10_000);
      const names = listed.map(({ key }) => key);
      assert.deepEqual((await list('')).names, names.toReversed());
      assert.deepEqual((await list('?_=1')).names, names.toReversed());
      listed = many;
      const all = await list('');
      assert.deepEqual(all, { names: many.map(({ key }) => key), next: undefined });
    });

    it('is visibly incomplete if the store goes away in between', async () => {
      pagesUntilAway = 8;
      const answered = await get('');
      await assert.rejects(answered.text());
      assert.equal(context.outcome.cutShort, 'upstream truncated');
    });

    it('has pages: limit and after, as often as there is `next`', async () => {
      const [first, second] = [await list('?limit=2'), await list(`?limit=2&after=${nameOf(1)}`)];
      assert.deepEqual(first, { names: [nameOf(0), nameOf(1)], next: nameOf(1) });
      assert.deepEqual(second.names, [nameOf(2), nameOf(3)]);
      assert.deepEqual(await list(`?after=${nameOf(44_998)}`), { names: [nameOf(44_999)], next: null });
      assert.deepEqual(asked, [
        ['page', '', 2],
        ['page', nameOf(1), 2],
        ['page', nameOf(44_998), 2000],
      ]);
    });

    it('looks for names and labels through 20 000 keys per request, and says where to continue', async () => {
      const first = await list('?search=neeDle&limit=5');
      assert.deepEqual(first, { names: [], next: nameOf(19_999) });
      assert.equal(asked.length, 10);
      assert.deepEqual(await list(`?search=neeDle&limit=5&after=${first.next}`), {
        names: [nameOf(30_000)],
        next: nameOf(39_999),
      });
      assert.deepEqual(await list(`?search=${nameOf(7).slice(1)}&limit=1`), {
        names: [nameOf(7)],
        next: nameOf(7),
      });
    });

    it('shows the keys that are expired, expire soon, or were not used', async () => {
      const ends = [null, isoOf(-1), isoOf(0), isoOf(29), isoOf(31)];
      const uses = [null, isoOf(-89), isoOf(-91)];
      listed = [
        ...ends.map((expires_at, n) => ({
          ...SUMMARY,
          key: `e${nameOf(n)}`,
          created_at: isoOf(-1),
          expires_at,
        })),
        ...uses.map((last_used, n) => ({
          ...SUMMARY,
          key: `u${nameOf(n)}`,
          created_at: isoOf(-91),
          last_used,
        })),
      ];
      const shown = async (show: string) =>
        (await list(`?show=${show}`)).names.map((name) => name.charAt(0) + name.slice(-1));
      assert.deepEqual(await shown('expired'), ['eb', 'ec']);
      assert.deepEqual(await shown('expiring'), ['ed']);
      assert.deepEqual(await shown('unused'), ['ua', 'uc']);
      assert.equal((await shown('all')).length, 8);
      listed = many;
    });

    for (const query of [
      'limit=0',
      'limit=2001',
      'limit=x',
      'limit=1&limit=2',
      'after=A',
      'show=x',
      'show=toString',
    ])
      it(`refuses ?${query} – 400, and reads nothing`, async () => {
        assert.equal((await get(`?${query}`)).status, 400);
        assert.deepEqual(asked, []);
      });
  });

  it('lets no cache keep a password', async () => {
    for (const id of ['api-keys', 'api-key-rotate', 'legacy-generate-api-key']) {
      const received = await send({ title: '', row: id, path: `${keyPath}/rotate`, status: 0, answer: '' });
      assert.equal(received.headers.get('cache-control'), 'no-store', id);
    }
  });

  it('says what is deprecated, and what to use', async () => {
    const key = await send({ title: '', row: 'legacy-generate-api-key', status: 0, answer: '' });
    const grant = await send({
      title: '',
      row: 'legacy-set-permissions',
      ...form('database=db&username=c&roles=_writer'),
      status: 0,
      answer: '',
    });
    assert.deepEqual(
      [key, grant].map(({ headers }) => [headers.get('deprecation'), headers.get('link')]),
      [
        ['@1795305600', '</_api/v2/api_keys>; rel="successor-version"'],
        ['@1795305600', '</_api/v2/db/db/_security>; rel="successor-version"'],
      ],
    );
  });

  it('is unavailable while the store is – 503 with Retry-After', async () => {
    broken = true;
    for (const [id, method] of [
      ['api-keys', 'POST'],
      ['api-keys-list', 'GET'],
      ['api-key-get', 'GET'],
      ['api-key-change', 'PATCH'],
      ['api-key-revoke', 'DELETE'],
      ['api-key-rotate', 'POST'],
    ] as const) {
      const body = id === 'api-key-change' ? json({ label: 'x' }) : {};
      const received = await send({
        ...{ title: '', row: id, method, path: keyPath, status: 0, answer: '' },
        ...body,
      });
      assert.deepEqual([received.status, received.headers.get('retry-after')], [503, '5'], id);
      assert.equal(context.outcome.change, undefined, `${id} has changed nothing`);
    }
  });
});
