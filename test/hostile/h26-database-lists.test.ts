// H26: a list of databases must tell nobody of a database that it may not use, neither by a row, nor by the error of a
// row, nor by what CouchDB is asked.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { before, describe, it } from 'node:test';
import { type Request, type Response } from 'express';
import { databaseListHandlers } from '../../src/answer/database-lists.ts';
import { Context } from '../../src/context.ts';
import { endpoint } from '../../src/catalogue/catalogue.ts';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { type PermissionIndex } from '../../src/permissions/permission-index.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { testBodies } from '../support/bodies.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';
import { NO_OTHER_GRANTS } from '../support/prefix-grants.ts';

describe('H26: the lists of databases', () => {
  let gate: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    key = await gate.key();
    await gate.database('h26-mine', { [key.name]: ['_reader'] });
    await gate.database('h26-secret', { other: ['_reader'], nobody: [] });
    await gate.database('h26-security', { [key.name]: ['_security', '_shards', '_db_updates'] });
  });

  it('say of a closed database what they say of a missing one, without a question to CouchDB – POST /_dbs_info', async () => {
    const keys = ['h26-secret', 'h26-none', 'couchgate', 'couchgate_history', '_users', 'h26-security'];
    gate.recorder.takeEverything();
    const { status, body } = await gate.ask('POST', '/_dbs_info', { as: key, body: { keys } });
    assert.equal(status, 200);
    assert.deepEqual(
      body,
      keys.map((name) => ({ key: name, error: 'not_found' })),
    );
    const asked = gate.recorder.takeEverything().filter(({ url }) => url.startsWith('/_dbs_info'));
    assert.deepEqual(asked, []);
  });

  it('have no information that GET /{db} refuses – GET /_dbs_info', async () => {
    assert.equal((await gate.ask('GET', '/h26-security', { as: key })).status, 403);
    const { body } = await gate.ask('GET', '/_dbs_info', { as: key });
    assert.deepEqual(
      (body as { key: string }[]).map((row) => row.key),
      ['h26-mine'],
    );
  });

  it('are no way around the addresses of the owner, also when they are public – 403', async () => {
    const settings = { publicAllDbs: true, ownerAllow: ['192.0.2.1/32'] };
    const open = await started(startCouchgate({ backend: gate.backend, settings }));
    await until(async () => (await open.ask('GET', '/_all_dbs')).status === 200);
    for (const path of ['/_all_dbs', '/_dbs_info'])
      assert.equal((await open.ask('GET', path, { as: open.owner })).status, 403);
    const keys = ['h26-secret'];
    assert.equal((await open.ask('POST', '/_dbs_info', { as: open.owner, body: { keys } })).status, 403);
  });

  /** The handlers over an index and a CouchDB of the test. */
  function handlersOver(
    databases: Map<string, number>,
    { isLoaded = true, isStillPermitted = (): boolean => true } = {},
  ) {
    const asked: string[][] = [];
    const index: PermissionIndex = {
      isLoaded,
      size: databases.size,
      databasesOf: (name) => (name === 'k' ? databases : new Map()),
      rolesOn: () => 0,
      grantsOf: () => undefined,
      couchdbAuthOnly: () => new Set(),
      isDeleted: () => false,
      couchdbMembersOf: () => undefined,
    };
    const handlers = databaseListHandlers({
      couch: {
        ask({ body }: CouchRequest) {
          const { keys } = body as { keys: string[] };
          asked.push(keys);
          return Promise.resolve({ status: 200, body: keys.map((name) => ({ key: name, info: {} })) });
        },
      },
      bodies: testBodies(),
      index,
      existing: { filter: (names) => Promise.resolve(names), withPrefix: () => Promise.resolve([]) },
      ...NO_OTHER_GRANTS,
      reservedDatabases: ['couchgate'],
      isStillPermitted,
    });
    return { handlers, asked };
  }

  function exchange(id: 'all-dbs' | 'dbs-info') {
    const context = new Context();
    context.target = { segments: [id], path: `/_${id}`, query: '' };
    context.identified = { principal: { kind: 'key', name: 'k' }, method: 'basic' };
    context.client = { ip: '192.0.2.1', port: 1, secure: true, schemeKnown: false, mayAdminister: true };
    const found = endpoint(id);
    context.operation = {
      endpoint: found,
      alternatives: [],
      decidedByBody: undefined,
      database: undefined,
      documentId: undefined,
    };
    context.decision = {
      allow: true,
      endpoint: found,
      privilege: 'none',
      identity: 'marker',
      roles: 0,
      rule: 'signed in',
    };
    const written: string[] = [];
    const res = Object.assign(new EventEmitter(), {
      req: { method: 'GET' } as unknown as Request,
      headersSent: false,
      destroyed: false,
      writeHead() {
        res.headersSent = true;
      },
      write: (text: string) => written.push(text) > 0,
      end: (text: string) => written.push(text),
    });
    return { context, written, req: res.req, res: res as unknown as Response };
  }

  it('are 503 while the permissions are not in memory, and not empty or whole', async () => {
    const { handlers } = handlersOver(new Map([['a', roleSet(['_reader'])]]), { isLoaded: false });
    const { req, res, context } = exchange('all-dbs');
    await assert.rejects(async () => handlers['all-dbs'](req, res, context), { status: 503 });
  });

  it('stop at a grant that ends between two parts, and at the end of the credentials', async () => {
    const names = Array.from({ length: 250 }, (_, at) => `d${String(at).padStart(3, '0')}`);
    const databases = new Map(names.map((name) => [name, roleSet(['_reader'])]));
    let parts = 0;
    const { handlers, asked } = handlersOver(databases, {
      isStillPermitted() {
        parts += 1;
        if (parts === 2) databases.delete('d150');
        return parts < 3;
      },
    });
    const { req, res, context, written } = exchange('dbs-info');
    await assert.rejects(async () => handlers['dbs-info'](req, res, context), { status: 403 });
    assert.deepEqual(
      asked.map((keys) => keys.length),
      [100, 99],
    );
    assert.equal(!written.join('').includes('d150') && written.join('').includes('d151'), true);
  });
});
