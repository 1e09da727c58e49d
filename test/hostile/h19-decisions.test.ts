// H19: a decision must hold at the moment of acting. A request waits for its body, for its turn, for a slot, for a
// guard; its answer may take long. After each wait the permissions in force then decide.
import assert from 'node:assert/strict';
import http, { IncomingMessage } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type Request } from 'express';
import { guardRequest } from '../../src/guard/index.ts';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { HttpError } from '../../src/http-errors.ts';
import { roleSet, type Role } from '../../src/permissions/role.ts';
import { attachContext } from '../support/bodies.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { CALLER_HEADER, startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const newName = (): string => `h19-${randomBytes(4).toString('hex')}`;
const statusOf = (client: RawClient): string | undefined => /HTTP\/1\.1 (\d+)/.exec(client.received)?.[1];

const UNWATCHED = { register: () => () => undefined };

describe('a body that arrives after a role was taken away (H19)', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  /** Every endpoint whose body decides, the roles before and after, and what the last byte must not do any more. */
  const CASES: readonly (readonly [
    path: string,
    body: unknown,
    before: readonly Role[],
    after: readonly Role[],
  ])[] = [
    ['_bulk_docs', { docs: [{ _id: '_design/x' }] }, ['_writer', '_design'], ['_writer']],
    ['_bulk_docs', { docs: [{ _id: '_design/x' }] }, ['_admin'], ['_writer']],
    ['_bulk_docs', { docs: [{ _id: '_design/x' }] }, ['_design'], ['_reader']],
    ['_bulk_docs', { docs: [{ _id: '_design/x' }, { _id: 'y' }] }, ['_admin'], ['_design']],
    ['', { _id: '_design/x' }, ['_writer', '_design'], ['_writer']],
    ['', { _id: '_design/x' }, ['_admin'], ['_writer']],
    ['', { _id: 'y' }, ['_admin'], ['_design']],
  ];
  for (const [path, body, held, left] of CASES) {
    const text = JSON.stringify(body);
    it(`is refused – POST /db/${path} ${text} as ${held.join('+')}, then ${left.join('+')} – 403`, async () => {
      const key = await gate.key();
      const database = newName();
      await gate.database(database, { [key.name]: held });
      const client = await connectRaw(Number(new URL(gate.url).port));
      const lines = [
        'Host: x',
        authorization(key),
        'Content-Type: application/json',
        `Content-Length: ${text.length}`,
      ];
      client.send(head(`POST /${database}/${path} HTTP/1.1`, ...lines) + text.slice(0, -1));
      await until(() => gate.running.services.revocationWatch.count > 0, 'the upload is watched');
      await gate.grant(database, { [key.name]: left });
      client.send(text.slice(-1));
      await until(() => client.closed || statusOf(client) !== undefined, 'an answer, or the end');
      assert.ok(['403', undefined].includes(statusOf(client)), client.received);
      client.socket.destroy();
      for (const id of ['_design/x', 'y'])
        assert.equal((await gate.ask('GET', `/${database}/${id}`, { as: gate.owner })).status, 404);
    });
  }

  it('is told that the database is gone, not that its permission is – DELETE /db twice at once – 404', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_admin'] });
    const { release, held, entered } = holdTurn(gate, database);
    const deletions = [1, 2].map(() => gate.ask('DELETE', `/${database}`, { as: key }));
    await until(() => entered() === 2, 'both wait for their turn');
    release();
    await held;
    const answers = await Promise.all(deletions);
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 404]);
  });

  it('does not delete a database whose _admin was revoked before its turn – DELETE /db – 403', async () => {
    const key = await gate.key();
    const database = newName();
    await gate.database(database, { [key.name]: ['_admin'] });
    const { release, held, entered } = holdTurn(gate, database);
    const revocation = gate.ask('PUT', `/${database}/_security`, { as: gate.owner, body: { cloudant: {} } });
    await until(() => entered() === 1, 'the revocation waits for its turn');
    const deletion = gate.ask('DELETE', `/${database}`, { as: key });
    await until(() => entered() === 2, 'the deletion waits behind it');
    release();
    await held;
    assert.equal((await revocation).status, 200);
    assert.equal((await deletion).status, 403);
    assert.equal((await gate.ask('GET', `/${database}`, { as: gate.owner })).status, 200);
  });
});

/** Holds the turn of a database until `release`; `entered` counts who came for it meanwhile. */
function holdTurn(
  gate: Couchgate,
  database: string,
): { readonly release: () => void; readonly held: Promise<void>; readonly entered: () => number } {
  const { permissions } = gate.running.services;
  const runExclusive = permissions.runExclusive.bind(permissions);
  let entered = 0;
  permissions.runExclusive = (name, work) => {
    entered += 1;
    return runExclusive(name, work);
  };
  let release: () => void = () => undefined;
  const held = runExclusive(database, () => new Promise<void>((resolve) => (release = resolve)));
  return { release: () => release(), held, entered: () => entered };
}

function authorization(key: Credentials): string {
  return `Authorization: ${basic(key)}`;
}

describe('a request that waits for CouchDB, and an answer that takes long (H19)', () => {
  const granted = new Map<string, number>();
  const held: http.ServerResponse[] = [];
  let couchdb: http.Server;
  let front: PolicyFront;
  before(async () => {
    couchdb = http.createServer((req, res) => {
      req.resume();
      res.writeHead(200, { 'content-type': 'application/json' });
      if (req.url?.endsWith('/_all_docs') !== true) {
        res.end('{}');
        return;
      }
      res.write('{"rows":[\n');
      held.push(res);
    });
    await new Promise<void>((resolve) => couchdb.listen(0, '127.0.0.1', resolve));
    const { port } = couchdb.address() as AddressInfo;
    front = await startPolicyFront({
      couchdbConnections: 2,
      permissions: (database) => ({ database, grants: granted, couchdbAuthOnly: false, marked: true }),
      couchdb: { url: `http://127.0.0.1:${port}`, jwtSecretBase64: 'c2VjcmV0', kid: 'couchgate' },
    });
  });
  after(async () => {
    for (const res of held) res.destroy();
    await front.close();
    couchdb.close();
    couchdb.closeAllConnections();
  });

  const begin = async (caller: string): Promise<RawClient> => {
    const client = await connectRaw(front.port);
    client.send(head('GET /db/_all_docs HTTP/1.1', 'Host: x', `${CALLER_HEADER}: ${caller}`));
    return client;
  };

  it('refuses what waits in the queue, cuts what is under way, and leaves the rest – GET /db/_all_docs', async () => {
    for (const name of ['reader', 'reader+writer', 'reader+design', 'reader+shards'])
      granted.set(name, roleSet(['_reader']));
    const running = await begin('reader');
    const other = await begin('reader+writer');
    await until(() => held.length === 2, 'both connections are taken');
    const queued = await begin('reader+design');
    const waiting = await begin('reader+shards');
    granted.delete('reader');
    granted.delete('reader+design');
    await until(() => running.closed, 'the answer under way is cut');
    assert.equal(running.received.includes('rows') && !running.received.includes('\r\n0\r\n'), true);
    await until(() => statusOf(queued) !== undefined, 'the queued request is refused');
    assert.equal(statusOf(queued), '403');
    await until(() => held.length === 3, 'the one that is still permitted has its turn');
    assert.equal(other.closed, false);
    assert.equal(waiting.closed, false);
    held.at(-1)?.end(']}\n');
    await until(() => waiting.received.includes(']}'), 'it gets its whole answer');
    other.socket.destroy();
  });
});

describe('a guard that waits (H19)', () => {
  it('does not forward a request whose permission was revoked meanwhile – POST /_replicate – 403', async () => {
    const req = Object.assign(new IncomingMessage(new Socket()), { headers: {} }) as Request;
    const context = attachContext(req, { kind: 'key', name: 'k' });
    context.operation = {
      endpoint: endpoint('replicate'),
      alternatives: [],
      decidedByBody: undefined,
      database: '_replicator',
      documentId: undefined,
    };
    context.decision = {
      allow: true,
      endpoint: endpoint('replicate'),
      privilege: 'member',
      identity: 'marker',
      roles: 0,
      rule: 'grant',
    };
    let isPermitted = true;
    const guard = async (): Promise<undefined> => {
      await new Promise((resolve) => setImmediate(resolve));
      isPermitted = false;
    };
    const step = guardRequest({ replicate: guard }, () => isPermitted, UNWATCHED);
    const forwarded: unknown[] = [];
    await assert.rejects(
      Promise.resolve(step(req, undefined as never, (error?: unknown) => forwarded.push(error))),
      (error) => error instanceof HttpError && error.status === 403,
    );
    assert.deepEqual(forwarded, []);
    assert.equal(context.outcome.refusal?.rule, 'revoked');
  });
});
