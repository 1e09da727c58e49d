// An explanation says what the pipeline then does: random requests, with bodies and Destination, are explained first and
// then sent over sockets. The line of the access log must say the same. COUCHGATE_EXPLAIN_REQUESTS sets their number.
import assert from 'node:assert/strict';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type Explanation, type Explainer } from '../../src/answer/explained-request.ts';
import { AtomCount } from '../../src/body/erlang-terms.ts';
import { createExplainer } from '../../src/explain-steps.ts';
import { type DatabasePermissions } from '../../src/permissions/grants.ts';
import { NOBODY, type Principal } from '../../src/principal/principal.ts';
import { readTable, spelled } from '../matrix/table.ts';
import {
  type AccessLine,
  CALLER_HEADER,
  EXCHANGE_HEADER,
  GRANTS_BY_NAME,
  type PolicyFront,
  startPolicyFront,
} from '../support/policy-front.ts';
import { NO_PREFIX_GRANTS } from '../support/prefix-grants.ts';

const REQUESTS = Number(process.env['COUCHGATE_EXPLAIN_REQUESTS'] ?? 2000);
const AT_ONCE = 20;
const ORIGIN = 'https://app.example.com';

const SPELLED = readTable().map(({ request }) => spelled(request));
const CALLERS = [...(readTable()[0]?.cells.keys() ?? [])];
const DATABASES = [
  'db',
  'a%2Fb',
  'missing',
  'left',
  '_replicator',
  '_users',
  'couchgate',
  'Illegal',
  'x%2F_users',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH', 'OPTIONS', 'PROPFIND'];
const IDS = ['a', '_design/d', '_local/l', '_other', '_local/shard-sync-x', '\\u005fdesign/d', 'ü', ''];
const TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'application/x-www-form-urlencoded',
];

interface Sent {
  readonly caller: string;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Decoded. */
  readonly body: string | undefined;
  readonly isGzip: boolean;
}

const id = fc.constantFrom(...IDS).map((one) => `"${one}"`);
const document = fc.oneof(
  { weight: 6, arbitrary: id.map((one) => `{"_id":${one},"v":1}`) },
  fc.constantFrom(
    '{}',
    '[]',
    '{"_id":7}',
    '{"_id":"a","_id":"_design/d"}',
    '{',
    '',
    '{"v":[{"_id":"_design/x"}]}',
  ),
);
const body = fc.oneof(
  document,
  fc.array(document, { maxLength: 3 }).map((docs) => `{"docs":[${docs.join()}]}`),
  fc.constantFrom(
    ...DATABASES.map((name) => `database=${name}&username=k&roles=_reader`),
    'database=db&database=b',
    '{"keys":["db"]}',
    'x',
  ),
);

/** Other spellings of a target: some are read as the same request, some are refused. */
const respelled = fc.constantFrom<(target: string) => string>(
  (target) => target.replace('/', '//'),
  (target) => `${target}/`,
  (target) => `${target}?rev=1-a&new_edits=false`,
  (target) => target.replace('_design/', '_design%2F'),
  (target) => target.replace(/[a-z]/, (one) => `%${one.charCodeAt(0).toString(16)}`),
  (target) => `${target}/..`,
  (target) => `${target}/%2e%2e/_all_docs`,
  (target) => `${target}%`,
  (target) => `${target}%ff`,
  (target) => `${target}#x`,
  (target) => target.replaceAll('_', '%5F'),
  (target) => `${target}/_security`,
);

/** Mostly undefined: in `times` of `times + 1` cases. */
function rarely<T>(arbitrary: fc.Arbitrary<T>, times: number): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: times, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

const sent: fc.Arbitrary<Sent> = fc
  .record({
    template: fc.constantFrom(...SPELLED),
    caller: fc.constantFrom(...CALLERS),
    database: rarely(fc.constantFrom(...DATABASES), 2),
    method: rarely(fc.constantFrom(...METHODS), 5),
    respell: rarely(respelled, 3),
    destination: rarely(
      fc.constantFrom(
        'b',
        '_design/x',
        '_local/y',
        '_design%2Fz',
        'b?rev=1-a',
        'http://h/b',
        '',
        '_z',
        'b?x=1',
      ),
      3,
    ),
    body: rarely(body, 2),
    type: rarely(fc.constantFrom(...TYPES), 2),
    header: rarely(
      fc.constantFrom<readonly [string, string]>(
        ['origin', ORIGIN],
        ['origin', 'https://evil.example.com'],
        ['sec-fetch-site', 'cross-site'],
        ['access-control-request-method', 'PUT'],
        ['x-http-method-override', 'DELETE'],
        ['content-range', 'bytes 0-1/2'],
        ['content-encoding', 'br'],
        ['expect', 'x'],
      ),
      8,
    ),
    isGzip: rarely(fc.constant(true), 3),
  })
  .map(({ template, caller, database, method, respell, destination, body: other, type, header, isGzip }) => {
    const ofDatabase =
      database === undefined
        ? template.target
        : template.target.replace(/^\/(?:db|a%2Fb)(?=[/?]|$)/, `/${database}`);
    const target = respell === undefined ? ofDatabase : respell(ofDatabase);
    const given = other ?? template.body;
    const to = destination ?? template.destination;
    const contentType = type ?? template.type;
    const isPacked = isGzip === true && given !== undefined && header?.[0] !== 'content-encoding';
    const headers = [
      ...(to === undefined ? [] : [['destination', to] as const]),
      ...(contentType === undefined || given === undefined ? [] : [['content-type', contentType] as const]),
      ...(header === undefined ? [] : [header]),
      ...(isPacked ? [['content-encoding', 'gzip'] as const] : []),
    ];
    return { caller, method: method ?? template.method, target, headers, body: given, isGzip: isPacked };
  });

function permissionsOf(database: string): DatabasePermissions | undefined {
  if (database === 'missing') return undefined;
  return { database, grants: GRANTS_BY_NAME, couchdbAuthOnly: database === 'left', marked: true };
}

function principalNamed(caller: string): Principal {
  if (caller === 'nobody') return NOBODY;
  if (caller === 'owner') return { kind: 'owner', name: 'admin', roles: ['_admin'] };
  return { kind: 'key', name: caller };
}

describe('an explanation', () => {
  let front: PolicyFront;
  let explainer: Explainer;
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const counts = new Map<string, number>();
  let exchanges = 0;

  before(async () => {
    front = await startPolicyFront({ corsOrigin: ORIGIN, permissions: permissionsOf });
    explainer = createExplainer({
      settings: front.settings,
      live: { current: front.settings },
      atoms: new AtomCount(),
      prefixGrants: NO_PREFIX_GRANTS,
      // The grant of the policy front.
      serverGrants: { isMonitor: ({ name }) => name === 'monitor' },
    });
  });
  after(async () => {
    agent.destroy();
    await front.close();
  });

  function explain({ caller, method, target, headers, body: given, isGzip }: Sent): Promise<Explanation> {
    const decoded = Buffer.from(given ?? '');
    const length = (isGzip ? gzipSync(decoded) : decoded).length;
    const framing = [['content-length', String(length)] as const];
    return explainer.explain(
      {
        ...{ principal: principalNamed(caller), method, path: target, address: undefined },
        ...{ headers: [['host', 'gate'], ...headers, ...framing], body: decoded },
      },
      (database) => {
        const permissions = permissionsOf(database);
        return Promise.resolve(
          permissions === undefined ? undefined : { permissions, generation: '0', revision: 1 },
        );
      },
    );
  }

  async function send({ caller, method, target, headers, body: given, isGzip }: Sent) {
    const exchange = `explained-${++exchanges}`;
    const body = given === undefined ? undefined : isGzip ? gzipSync(given) : Buffer.from(given);
    const all = [['host', 'gate'], ...headers, [EXCHANGE_HEADER, exchange]];
    if (caller !== 'nobody') all.push([CALLER_HEADER, caller]);
    all.push(['content-length', String(body?.length ?? 0)]);
    const status = await new Promise<number>((resolve, reject) => {
      const req = http.request(
        { port: front.port, method, path: target, headers: all.flat(), agent },
        (res) => {
          text(res).then(() => resolve(res.statusCode ?? 0), reject);
        },
      );
      req.once('error', reject);
      req.end(body);
    });
    return { status, line: await front.lineOf(exchange) };
  }

  /** What explanation and log must agree on. */
  const compared = (from: AccessLine | Explanation): unknown => {
    const { decision, rule, operation, needed } = from as Explanation;
    // A preflight is answered before it is classified.
    return { decision, rule, operation: rule === 'preflight' ? undefined : operation, needed };
  };

  async function hold(request: Sent): Promise<void> {
    const explained = await explain(request);
    const { status, line } = await send(request);
    counts.set(explained.decision, (counts.get(explained.decision) ?? 0) + 1);
    const where = `${JSON.stringify(request)}\n${JSON.stringify(explained)}\n${status} ${JSON.stringify(line)}`;
    if (explained.decision === 'unknown') return;
    assert.deepEqual(compared(explained), compared(line), where);
    if (explained.decision === 'deny') assert.equal(explained.status, status, where);
    if (line['reason'] !== undefined) assert.equal(explained.reason, line['reason'], where);
  }

  it(`says what the pipeline then does – ${REQUESTS} random requests`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(sent, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (requests) => {
        await Promise.all(requests.map(hold));
      }),
      { numRuns: Math.ceil(REQUESTS / AT_ONCE), endOnFailure: true },
    );
    const [allow = 0, deny = 0, unknown = 0] = ['allow', 'deny', 'unknown'].map((word) => counts.get(word));
    if (REQUESTS > 2000) console.log(JSON.stringify({ allow, deny, unknown }));
    // The comparison would be empty without these.
    assert.ok(
      allow > REQUESTS / 10 && deny > REQUESTS / 3 && unknown < REQUESTS / 10,
      `${allow} ${deny} ${unknown}`,
    );
  });

  it('names sets of roles that permit the request', async () => {
    const small = fc.record({ template: fc.constantFrom(...SPELLED), caller: fc.constantFrom(...CALLERS) });
    let named = 0;
    await fc.assert(
      fc.asyncProperty(small, async ({ template, caller }) => {
        const { method, target, destination, body: given, type } = template;
        const headers = [
          ...(destination === undefined ? [] : [['destination', destination] as const]),
          ...(type === undefined ? [] : [['content-type', type] as const]),
        ];
        const request = { caller, method, target, headers, body: given, isGzip: false };
        const explained = await explain(request);
        for (const roles of explained.missing) {
          named += 1;
          const held = caller === 'nobody' || caller === 'user' ? [] : caller.split('+');
          const more = [...new Set([...held, ...roles.map((role) => role.slice(1))])];
          const { decision } = await explain({ ...request, caller: more.join('+') });
          assert.notEqual(decision, 'deny', `${method} ${target} as ${more.join('+')}`);
        }
      }),
      { numRuns: Math.min(REQUESTS, 1000) },
    );
    assert.ok(named > 100, `${named} > 100`);
  });
});
