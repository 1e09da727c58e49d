// The step that decides: whose permissions it asks for, when it answers at once, and what it does when they cannot be had.
import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { type Request, type Response } from 'express';
import { createBodyBudget } from '../../src/body/budget.ts';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { authorizeOperation } from '../../src/authorize/index.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { Context } from '../../src/context.ts';
import { Forbidden, TooBusy, Unavailable } from '../../src/http-errors.ts';
import { type Principal } from '../../src/principal/principal.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { roleSet } from '../../src/permissions/role.ts';
import { testBodies } from '../support/bodies.ts';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  startPolicyFront,
  type PolicyFront,
} from '../support/policy-front.ts';
import { NO_OTHER_GRANTS } from '../support/prefix-grants.ts';
import { testSettings } from '../support/settings.ts';

const classify = createClassify(testSettings());
const KEY: Principal = { kind: 'key', name: 'k' };
const OWNER: Principal = { kind: 'owner', name: 'admin', roles: ['_admin'] };
const READING: DatabasePermissions = {
  database: 'db',
  grants: new Map([['k', roleSet(['_reader'])]]),
  couchdbAuthOnly: false,
  marked: true,
};

/** Runs the step on a request without a body; `said` is what `next` was called with, before anything else could run. */
function step(
  line: string,
  principal: Principal,
  permissionsOf: (database: string) => DatabasePermissions | undefined | Promise<DatabasePermissions>,
) {
  const [method = '', target = ''] = line.split(' ');
  const context = new Context();
  context.target = parseTarget(target, { maxUrlBytes: 4096 });
  context.operation = classify(method, context.target, undefined);
  context.client = { ip: '192.0.2.1', port: 1, secure: false, schemeKnown: false, mayAdminister: true };
  context.identified = { principal, method: 'basic' };
  const asked: string[] = [];
  const said: unknown[] = [];
  const handler = authorizeOperation({
    grants: NO_OTHER_GRANTS,
    ...{ usersOwnDocument: 'off', usersSignUp: 'off' },
    markDatabase: () => Promise.resolve(),
    permissions: {
      permissionsOf(database) {
        asked.push(database);
        return permissionsOf(database);
      },
    },
    storeDatabase: 'couchgate',
    bodies: testBodies(),
    inspectLimitBytes: 1000,
    isStillAuthenticated: () => true,
    maxBodyBytes: 1e6,
    maxJsonBody: 1000,
    maxQueryValues: 1000,
    maxWriteValues: 1000,
    valueBudget: createBodyBudget(1e9),
    atoms: new AtomCount(),
    revocationWatch: { register: () => () => undefined },
  });
  const later = new Promise<unknown>((resolve) => {
    void handler(
      { method, context, headers: {} } as unknown as Request,
      undefined as unknown as Response,
      (error?: unknown) => {
        said.push(error);
        resolve(error);
      },
    );
  });
  return { context, asked, said, later };
}

describe('authorize', () => {
  it('answers at once while the permissions are cached – GET /db/doc', () => {
    const allowed = step('GET /db/doc', KEY, () => READING);
    assert.deepEqual(allowed.said, [undefined]);
    assert.equal(allowed.context.decision?.allow, true);
    const refused = step('PUT /db/doc', KEY, () => READING);
    assert.ok(refused.said[0] instanceof Forbidden, 'must be a Forbidden');
    assert.equal(refused.context.decision?.allow, false);
  });

  it('waits for permissions that have to be fetched – GET /db/doc', async () => {
    const { said, later, context } = step('GET /db/doc', KEY, () => Promise.resolve(READING));
    assert.deepEqual(said, []);
    assert.equal(await later, undefined);
    assert.equal(context.decision?.allow, true);
  });

  it('passes on that they cannot be had, and decides nothing – GET /db/doc', async () => {
    const away = new Unavailable('CouchDB cannot be asked');
    const { later, context } = step('GET /db/doc', KEY, () => Promise.reject(away));
    assert.equal(await later, away);
    assert.equal(context.decision, undefined);
  });

  it('lets who asks for too much wait before it says so – GET /db/doc', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { said, later } = step('GET /db/doc', KEY, () => Promise.reject(new TooBusy()));
      await new Promise((resolve) => setImmediate(resolve));
      mock.timers.tick(999);
      assert.deepEqual(said, []);
      mock.timers.tick(1);
      assert.ok((await later) instanceof TooBusy, 'must be a TooBusy');
    } finally {
      mock.timers.reset();
    }
  });

  const ASKED: readonly (readonly [line: string, principal: Principal, databases: readonly string[]])[] = [
    ['GET /', KEY, []],
    ['GET /_all_dbs', KEY, []],
    ['POST /_search_analyze', KEY, []],
    ['PUT /db', KEY, []],
    ['GET /db/_design/d/_rewrite', KEY, []],
    ['GET /couchgate/x', KEY, []],
    ['GET /_users/x', KEY, []],
    ['GET /db/doc', KEY, ['db']],
    ['GET /a%2Fb/doc', KEY, ['a/b']],
    ['GET /_api/v2/db/a/b/_security', KEY, ['a/b']],
    ['GET /_db_updates', KEY, ['_global_changes']],
    ['POST /_replicate', KEY, ['_replicator']],
    ['GET /_replicator/job', KEY, ['_replicator']],
    ['GET /_db_updates', OWNER, []],
    ['POST /db/_purge', OWNER, []],
    ['DELETE /db', OWNER, []],
    ['GET /db/doc', OWNER, ['db']],
  ];
  for (const [line, principal, databases] of ASKED) {
    it(`asks for the permissions of ${databases.join(', ') || 'no database'} – ${line} as ${principal.kind}`, () => {
      assert.deepEqual(step(line, principal, () => READING).asked, databases);
    });
  }
});

describe('the owner at an address that is not for owner operations', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront({ mayAdminister: false });
  });
  after(() => front.close());

  for (const [caller, path, status] of [
    ['owner', '/_all_dbs', 403],
    ['owner', '/db/doc', 403],
    ['owner', '/_up', 200],
    ['reader', '/db/doc', 200],
  ] as const) {
    it(`${status} – GET ${path} as ${caller}`, async () => {
      front.takeAll();
      const answer = await fetch(`${front.url}${path}`, { headers: { [CALLER_HEADER]: caller } });
      await answer.text();
      assert.equal(answer.status, status);
      assert.equal(front.takeAll().length, status === 200 ? 1 : 0);
    });
  }
});

describe('a form that names the database – POST /api/set_permissions', () => {
  let front: PolicyFront;
  before(async () => {
    front = await startPolicyFront();
  });
  after(() => front.close());

  const FORM = 'application/x-www-form-urlencoded';
  it('names the database in the line of a refusal – 403', async () => {
    const headers = { 'content-type': FORM, [CALLER_HEADER]: 'reader', [EXCHANGE_HEADER]: 'payroll-1' };
    const body = 'database=payroll&username=me&roles=_admin';
    const answer = await fetch(`${front.url}/api/set_permissions`, { method: 'POST', headers, body });
    assert.equal(answer.status, 403);
    assert.equal((await front.lineOf('payroll-1'))['dbName'], 'payroll');
  });

  const TABLE: readonly (readonly [caller: string, body: string, type: string, status: number])[] = [
    ['security', 'database=db&username=x&roles=_reader', FORM, 200],
    ['admin', 'database=a%2Fb&username=x&roles=_reader', FORM, 200],
    ['owner', 'database=db&username=x&roles=_reader', FORM, 200],
    ['owner', 'database=_replicator&username=x&roles=_reader', FORM, 200],
    ['reader', 'database=db&username=x', FORM, 403],
    ['security', 'username=x', FORM, 400],
    ['security', 'database=db&database=other', FORM, 400],
    ['security', 'database=db&d%61tabase=other', FORM, 400],
    ['security', 'database=%ff', FORM, 400],
    ['security', 'database=couchgate', FORM, 403],
    ['owner', 'database=couchgate', FORM, 403],
    ['owner', 'database=x/_replicator', FORM, 403],
    ['owner', 'database=_users', FORM, 403],
    ['owner', 'database=Ep-A', FORM, 403],
    ['security', '{"database":"db"}', 'application/json', 415],
    ['security', `database=db&pad=${'x'.repeat(70_000)}`, FORM, 413],
    ['nobody', 'database=db', FORM, 401],
  ];
  for (const [caller, body, type, status] of TABLE) {
    it(`${status} – ${body.slice(0, 50)} as ${caller}`, async () => {
      const headers: Record<string, string> = { 'content-type': type };
      if (caller !== 'nobody') headers[CALLER_HEADER] = caller;
      const answer = await fetch(`${front.url}/api/set_permissions`, { method: 'POST', headers, body });
      await answer.text();
      assert.equal(answer.status, status);
      assert.deepEqual(front.takeAll(), []);
    });
  }
});
