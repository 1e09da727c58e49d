// The decision after a slow body falls on the permissions and the credentials of that moment (H19). The
// revocation watch is switched off here: in operation it ends most of these requests earlier.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parseTarget } from '../../src/admit/target.ts';
import { authorizeOperation } from '../../src/authorize/index.ts';
import { createBodyBudget } from '../../src/body/budget.ts';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { contextOf } from '../../src/context.ts';
import { type Role, roleSet } from '../../src/permissions/role.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { testBodies } from '../support/bodies.ts';
import { serveSteps } from '../support/steps-server.ts';
import { until } from '../support/until.ts';
import { NO_OTHER_GRANTS } from '../support/prefix-grants.ts';
import { testSettings } from '../support/settings.ts';

interface Case {
  readonly line: string;
  readonly type?: string;
  readonly encoding?: string;
  readonly body: Buffer;
}

const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const CASES: readonly Case[] = [
  { line: 'POST /db/_bulk_docs', body: Buffer.from('{"docs":[{"_id":"_design/x"}]}') },
  { line: 'POST /db', body: Buffer.from('{"_id":"_design/x"}') },
  { line: 'POST /db/_all_docs', encoding: 'gzip', body: gzipSync('{"keys":["a"]}') },
  { line: 'PUT /db/doc', body: Buffer.from('{"a":1}') },
  { line: 'PUT /db/doc', encoding: 'gzip', body: gzipSync('{"a":1}') },
  {
    line: 'POST /api/set_permissions',
    type: FORM,
    body: Buffer.from('database=db&username=k&roles=_reader'),
  },
];

const permissions = (roles: readonly Role[]): DatabasePermissions => ({
  database: 'db',
  grants: new Map([['k', roleSet(roles)]]),
  couchdbAuthOnly: false,
  marked: true,
});

/** Sends all but the last byte, calls `meanwhile`, sends the last byte. `rule` = what the access log says. */
async function endAfter(
  { line, type = JSON_TYPE, encoding, body }: Case,
  meanwhile: (state: { roles: readonly Role[]; isAuthenticated: boolean }) => void,
): Promise<{ readonly status: number | undefined; readonly rule: string | undefined }> {
  const state = { roles: ['_admin', '_security'] as readonly Role[], isAuthenticated: true };
  const classify = createClassify(testSettings());
  let received = 0;
  let rule: string | undefined;
  const server = await serveSteps([
    (req, res, next) => {
      const context = contextOf(req);
      res.on('close', () => (rule = context.outcome.refusal?.rule ?? context.decision?.rule));
      context.client = { ip: '192.0.2.1', port: 1, secure: false, schemeKnown: false, mayAdminister: true };
      context.identified = { principal: { kind: 'key', name: 'k' }, method: 'basic' };
      context.target = parseTarget(req.url, { maxUrlBytes: 4096 });
      context.operation = classify(req.method, context.target, undefined);
      req.on('newListener', (name) => {
        if (name === 'data') received += 1;
      });
      next();
    },
    authorizeOperation({
      grants: NO_OTHER_GRANTS,
      ...{ usersOwnDocument: 'off', usersSignUp: 'off' },
      markDatabase: () => Promise.resolve(),
      permissions: { permissionsOf: () => permissions(state.roles) },
      storeDatabase: 'couchgate',
      bodies: testBodies(),
      inspectLimitBytes: 1e6,
      isStillAuthenticated: () => state.isAuthenticated,
      maxBodyBytes: 1e6,
      maxJsonBody: 1e6,
      maxQueryValues: 1000,
      maxWriteValues: 1e6,
      valueBudget: createBodyBudget(1e9),
      atoms: new AtomCount(),
      revocationWatch: { register: () => () => undefined },
    }),
    (_req, res) => {
      res.end();
    },
  ]);
  try {
    const [method = '', path = ''] = line.split(' ');
    const headers = {
      'content-type': type,
      'content-length': String(body.length),
      ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
    };
    const req = http.request(server.url + path, { method, agent: false, headers });
    const response = once(req, 'response') as Promise<[IncomingMessage]>;
    req.write(body.subarray(0, -1));
    await until(() => received > 0, 'the body is read');
    meanwhile(state);
    req.end(body.subarray(-1));
    const [res] = await response;
    res.resume();
    await once(res, 'close');
    return { status: res.statusCode, rule };
  } finally {
    server.close();
  }
}

describe('after a slow body', () => {
  for (const each of CASES) {
    const text = `${each.line}${each.encoding === undefined ? '' : ` (${each.encoding})`}`;

    it(`permits what is still permitted – ${text} – 200`, async () => {
      assert.equal((await endAfter(each, () => undefined)).status, 200);
    });

    it(`refuses what the permissions permit no longer – ${text} – 403`, async () => {
      const end = await endAfter(each, (state) => (state.roles = []));
      assert.deepEqual(end, { status: 403, rule: 'grant' });
    });

    it(`refuses credentials that became invalid – ${text} – 401`, async () => {
      const end = await endAfter(each, (state) => (state.isAuthenticated = false));
      assert.deepEqual(end, { status: 401, rule: 'revoked' });
    });
  }
});
