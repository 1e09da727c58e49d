// H15: security objects that are put. They are small to send and large to hold, and each waits for those before it.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { contextOf } from '../../src/context.ts';
import { type Couch } from '../../src/couch/couch.ts';
import { writeInPortions } from '../../src/json/portions.ts';
import { adoptionOf } from '../../src/permissions/adoption.ts';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { answerOwnEndpoint } from '../../src/answer/index.ts';
import { securityHandlers } from '../../src/answer/security.ts';
import { HttpError, NotFound } from '../../src/http-errors.ts';
import { type Principal } from '../../src/principal/principal.ts';
import {
  EMPTY_REQUEST,
  MAX_NAMES,
  MAX_OTHER_BYTES,
  parseSecurityPut,
  refuseManyNames,
} from '../../src/permissions/security-request.ts';
import { basic, startCouchgate, type Answer, type Couchgate } from '../support/couchgate.ts';
import { createPermissionStore } from '../../src/permissions/cached-permission-store.ts';
import { type PermissionStore } from '../../src/permissions/permission-store.ts';
import { rememberingLog } from '../support/log.ts';
import { memoryCouch } from '../support/memory-couch.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { BodyReader } from '../../src/body/read.ts';
import { PARSED_BODIES_BYTES } from '../../src/services.ts';
import { serveSteps } from '../support/steps-server.ts';
import { countTurns } from '../support/turns.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { settleDatabases } from '../../src/setup/adopt.ts';
import { until } from '../support/until.ts';
import { NO_PREFIX_GRANTS } from '../support/prefix-grants.ts';

const MIB = 2 ** 20;
const KEY: Principal = { kind: 'key', name: 'greedy' };
const OTHER: Principal = { kind: 'key', name: 'other' };
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };

const open: { close(): unknown }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function send(port: number, bytes: Buffer, times = 1): Promise<readonly RawClient[]> {
  const sent = await Promise.all(Array.from({ length: times }, () => connectRaw(port)));
  for (const client of sent) client.send(bytes);
  clients.push(...sent);
  return sent;
}

/** `PUT /db/_security` as a key, or another that a header names; a change ends when the test says so. */
async function startSecurity(change: PermissionStore['change']): Promise<number> {
  const endpointOfPut = endpoint('security-put');
  const bodies = new BodyReader({ scannedBytes: PARSED_BODIES_BYTES, parsedBytes: PARSED_BODIES_BYTES });
  const server = await serveSteps([
    (req, _res, next) => {
      const context = contextOf(req);
      context.client = { ip: '192.0.2.1', port: 1, secure: false, schemeKnown: false, mayAdminister: true };
      const principal = req.headers['x-who'] === 'other' ? OTHER : KEY;
      context.identified = { principal, method: 'basic' };
      const shared = { endpoint: endpointOfPut, alternatives: [], decidedByBody: undefined };
      context.operation = { ...shared, database: 'db', documentId: undefined };
      const allowed = {
        allow: true,
        endpoint: endpointOfPut,
        privilege: 'none',
        identity: 'marker',
      } as const;
      context.target = { segments: ['db', '_security'], path: '/db/_security', query: '' };
      context.decision = { ...allowed, roles: 0, rule: 'grant' };
      next();
    },
    answerOwnEndpoint(
      securityHandlers({
        prefixGrants: NO_PREFIX_GRANTS,
        bodies,
        permissions: { change, inForce: () => Promise.resolve(undefined) },
        log: rememberingLog(),
        requiresPrecondition: false,
        names: {
          couch: memoryCouch(),
          keys: { named: () => Promise.resolve(new Map()), describe: () => Promise.resolve(undefined) },
        },
        isStillAuthenticated: () => true,
      }),
      UNWATCHED,
    ),
  ]);
  open.push(server);
  return Number(new URL(server.url).port);
}

function put(body: Buffer, ...lines: readonly string[]): Buffer {
  const start = ['PUT /db/_security HTTP/1.1', 'Host: x', 'Content-Encoding: gzip', ...lines];
  return Buffer.concat([Buffer.from(head(...start, `Content-Length: ${body.length}`)), body]);
}

const security = (bytes: number): Buffer =>
  gzipSync(`{"members":{"names":[${'"abcdefghijklmnop",'.repeat((bytes - 40) / 19)}"a"]}}`);

function startStore(couch: Pick<Couch, 'ask'>): PermissionStore {
  const bus = {
    publish: () => Promise.resolve(),
    onMessage: () => undefined,
    up: true,
    upUntil: Infinity,
  };
  const seconds = { securityCacheSeconds: 1, fallbackCacheSeconds: 1, outageCacheSeconds: 1 };
  const store = createPermissionStore({
    prefixGrants: NO_PREFIX_GRANTS,
    ...{ couch, bus, ...seconds, store: { up: true }, storeDatabase: 'couchgate', nodeUrls: [] },
    hasMajority: () => true,
    report: () => undefined,
  });
  open.push(store);
  return store;
}

const UNWATCHED = { register: () => () => undefined };

describe('H15 a security object that is put', () => {
  it('is refused past 2 MiB, however small it is to send – PUT /db/_security in gzip – 413', async () => {
    let changes = 0;
    const port = await startSecurity(() => {
      changes += 1;
      return new Promise(() => undefined);
    });
    const [sent] = await send(port, put(security(2.1 * MIB)));
    await sent?.sees(' 413 ');
    assert.equal(changes, 0);
  });

  it('is one of few that wait to be written – PUT /db/_security, 40 of 2 MiB – 503 past two of one caller', async () => {
    let waiting = 0;
    const port = await startSecurity(() => {
      waiting += 1;
      return new Promise(() => undefined);
    });
    const body = security(1.9 * MIB);
    const sent = await send(port, put(body), 40);
    const refused = (): number => sent.filter(({ received }) => received.includes(' 503 ')).length;
    await until(() => waiting + refused() === 40, 'most are refused');
    assert.ok(waiting <= 2, `${waiting} were kept`);
    assert.equal(
      sent.every(({ received }) => received === '' || received.includes('Retry-After: 1')),
      true,
    );
    const before = waiting;
    await send(port, put(security(1000), 'X-Who: other'));
    await until(() => waiting === before + 1, 'another caller has room');
  });

  it('waits in a short line for its turn, and the owner in any – 17th change of one database – 503', async () => {
    const couch: Pick<Couch, 'ask'> = { ask: () => new Promise(() => undefined) };
    const store = startStore(couch);
    const ended: unknown[] = [];
    const change = (database: string, by: Principal): void =>
      void store
        .change(database, by, () => EMPTY_REQUEST, { via: 'api', standing: undefined })
        .catch((error: unknown) => {
          assert.ok(error instanceof HttpError, 'must be an HttpError');
          ended.push([error.status, error.headers['Retry-After']]);
        });
    for (let at = 0; at < 16; at += 1) change('db', KEY);
    change('db', OWNER);
    change('other', KEY);
    await new Promise(setImmediate);
    assert.deepEqual(ended, []);
    change('db', KEY);
    await new Promise(setImmediate);
    assert.deepEqual(ended, [[503, '1']]);
  });

  it('leaves the line when its turn is over – 20 pairs of changes one after the other – none is refused for the line', async () => {
    const store = startStore({ ask: () => Promise.resolve({ status: 404, body: {} }) });
    for (let at = 0; at < 20; at += 1) {
      const pair = [1, 2].map(() =>
        store.change('db', KEY, () => EMPTY_REQUEST, { via: 'api', standing: undefined }),
      );
      await Promise.all(pair.map((change) => assert.rejects(change, NotFound)));
    }
  });
});

describe('H15: the names of a security object', () => {
  it('are at most 10 000, whichever request adds them, and a larger object from elsewhere may shrink – 400', async () => {
    const started: Couchgate = await startCouchgate();
    open.push(started);
    const { owner } = started;
    await started.database('many');
    const put = (body: object): Promise<Answer> =>
      started.ask('PUT', '/_api/v2/db/many/_security', { as: owner, body });
    const names = (count: number) => Array.from({ length: count }, (_, at) => `name${at}`);
    const cloudant = (count: number): object =>
      Object.fromEntries(names(count).map((name) => [name, ['_reader']]));
    const lists = { members: { names: names(1000), roles: ['crew'] }, admins: { names: names(1000) } };
    assert.equal((await put({ cloudant: cloudant(MAX_NAMES + 1) })).status, 400);
    assert.equal((await put({ cloudant: cloudant(MAX_NAMES - 2000), ...lists })).status, 400);
    const { status, body } = await put({ cloudant: cloudant(MAX_NAMES) });
    assert.equal(status, 200, JSON.stringify(body));
    const one = new URLSearchParams({ username: 'one-more', database: 'many', roles: '_reader' });
    const headers = { authorization: basic(owner) };
    const more = await fetch(`${started.url}/api/set_permissions`, { method: 'POST', headers, body: one });
    assert.equal(more.status, 400, await more.text());
    const request = parseSecurityPut({ cloudant: cloudant(MAX_NAMES + 1) });
    refuseManyNames({ cloudant: cloudant(MAX_NAMES + 1) }, request);
    assert.throws(
      () =>
        refuseManyNames({ cloudant: cloudant(MAX_NAMES - 10), ...lists, members: {}, admins: {} }, request),
      { status: 400 },
    );
  });
});

describe('H15: what a security object has beside names', () => {
  const path = '/_api/v2/db/much/_security';
  const other = (bytes: number): object => ({ x: 'x'.repeat(bytes - '{"x":""}{}{}'.length) });
  const refusal = { error: 'bad_request', reason: /65536 bytes beside names and roles/ };

  it('is at most 64 KiB, wherever it is – PUT /db/_security, under both paths – 400', async () => {
    const gate = await startCouchgate();
    open.push(gate);
    await gate.database('much');
    const put = async (body: object, to = path): Promise<number> => {
      const answer = await gate.ask('PUT', to, { as: gate.owner, body });
      if (answer.status === 400) assert.match(JSON.stringify(answer.body), refusal.reason);
      return answer.status;
    };
    const cloudant = { someone: ['_reader'] };
    assert.equal(await put({ cloudant, ...other(MAX_OTHER_BYTES) }), 200);
    for (const to of [path, '/much/_security'])
      assert.equal(await put({ cloudant, ...other(MAX_OTHER_BYTES + 1) }, to), 400);
    assert.equal(await put({ members: { names: ['a'], ...other(40_000) }, admins: other(40_000) }), 400);
    assert.equal(await put({ members: { names: ['a'.repeat(MAX_OTHER_BYTES)] }, ...other(60_000) }), 200);
    assert.equal(await put(Object.fromEntries(Array.from({ length: 45_000 }, (_, at) => [at, 0]))), 413);
  });

  it('may be larger if CouchDB has it: then it is in force, is read, and can be removed, but not adopted', async () => {
    const gate = await startCouchgate();
    open.push(gate);
    const { owner } = gate;
    const [couch = ''] = gate.backend.urls;
    const key = await gate.key();
    const headers = { authorization: basic(owner), 'content-type': 'application/json' };
    const second = await gate.key();
    const grants = { [key.name]: ['_reader', '_security'], [second.name]: ['_reader'], third: ['_writer'] };
    const object = { cloudant: grants, ...other(200_000) };
    const before = { members: { names: ['a'] }, ...other(MAX_OTHER_BYTES + 1) };
    for (const [to, body] of [
      ['/much', undefined],
      ['/much/_security', object],
      ['/older', undefined],
      ['/older/_security', before],
    ] as const) {
      const made = await fetch(couch + to, {
        method: 'PUT',
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      assert.ok(made.ok, await made.text());
    }
    assert.deepEqual((await gate.ask('GET', path, { as: key })).body, { ...object, _id: '_security' });
    const form = new URLSearchParams({ username: 'one-more', database: 'much', roles: '_reader' });
    const set = (): Promise<Response> =>
      fetch(`${gate.url}/api/set_permissions`, {
        method: 'POST',
        headers: { authorization: basic(owner) },
        body: form,
      });
    assert.equal((await set()).status, 400);
    const grant = { principal: key.name, databases: 'muc*', roles: ['_writer'] };
    const granted = await gate.ask('PUT', '/_api/v2/prefix_grants/h15-much', { as: owner, body: grant });
    assert.ok(granted.status < 300, JSON.stringify(granted.body));
    // The markers of the database would be written with all of it.
    const { status, body } = await gate.ask('PUT', '/much/document', { as: key, body: {} });
    assert.equal(status, 403);
    assert.match(JSON.stringify(body), /too large for Couchgate/);
    // Roles can be taken away one by one, and nothing else can be changed.
    const { third, ...fewer } = grants;
    const put = async (changed: object): Promise<number> =>
      (await gate.ask('PUT', path, { as: key, body: { ...object, ...changed } })).status;
    assert.equal(await put({}), 400);
    assert.equal(await put({ cloudant: { ...fewer, fourth: third } }), 400);
    assert.equal(await put({ cloudant: fewer, more: 1 }), 400);
    assert.equal(await put({ cloudant: fewer }), 200);
    const revoked = `/_api/v2/api_keys/${second.name}?remove_grants=true`;
    const { body: removal } = await gate.ask('DELETE', revoked, { as: owner });
    assert.deepEqual((removal as { grants_removed_on?: unknown }).grants_removed_on, ['much']);
    const left = { ...object, cloudant: { [key.name]: grants[key.name] }, _id: '_security' };
    assert.deepEqual((await gate.ask('GET', path, { as: key })).body, left);
    assert.equal(
      (await gate.ask('PUT', path, { as: owner, body: { cloudant: object.cloudant } })).status,
      200,
    );
    assert.equal((await set()).status, 200);
    const lines: string[] = [];
    await settleDatabases(openAdmin({ url: couch, credentials: owner }), {
      ...{ storeDatabase: 'couchgate', patterns: ['older'], dryRun: false, now: Date.now },
      report: { line: (line) => void lines.push(line) },
    });
    assert.match(lines[0] ?? '', /not adopted older.*65536 bytes/);
    assert.throws(() => adoptionOf(before), { status: 400 });
  });

  it('is written in portions if it is large', async () => {
    const value = { x: Array.from({ length: 300_000 }, () => ({})), y: 'y'.repeat(1_000_000) };
    const turns = countTurns();
    assert.equal(await writeInPortions(value), JSON.stringify(value));
    assert.ok(turns() >= 20, `${turns()} turns of the event loop`);
  });

  it('is read for two requests of one caller at once, and for the owner at any time – GET /db/_security', async () => {
    const gate = await startCouchgate();
    open.push(gate);
    const key = await gate.key();
    await gate.database('read', { [key.name]: ['_security'] });
    const paths = ['/read/_security', '/_api/v2/db/read/_security', '/_api/v2/access?database=read'];
    const statusOf = async (to: string, as = key): Promise<number> =>
      (await gate.ask('GET', to, { as })).status;
    for (const to of paths) assert.equal(await statusOf(to), 200);
    const held = gate.recorder.hold(/^\/read\/_security/);
    const statuses = [...paths, ...paths, ...paths].map((to) => statusOf(to));
    await until(() => held.count === 2, 'two of them read');
    statuses.push(statusOf('/read/_security', gate.owner));
    await until(() => held.count >= 3, 'the owner reads');
    assert.equal(held.count, 3);
    held.release();
    assert.deepEqual(new Set(await Promise.all(statuses)), new Set([200]));
    const again = gate.recorder.hold(/^\/read\/_security/);
    const late = paths.map((to) => statusOf(to));
    await until(() => again.count === 2, 'two of them read again');
    assert.equal((await gate.ask('DELETE', `/_api/v2/api_keys/${key.name}`, { as: gate.owner })).status, 200);
    again.release();
    assert.deepEqual(await Promise.all(late), [403, 403, 403], 'the key was revoked while they waited');
  });
});
