// H7: a name that every object inherits, such as `__proto__`, is a name like any other in every place of a request.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, it } from 'node:test';
import { parseTarget } from '../../src/admit/target.ts';
import { LateLines } from '../../src/audit/late-lines.ts';
import { describePermit } from '../../src/audit/line.ts';
import { parseLogLine } from '../../src/audit/line-filter.ts';
import { recordRequest } from '../../src/audit/record.ts';
import { RequestMetrics } from '../../src/audit/request-metrics.ts';
import { decide } from '../../src/authorize/decide.ts';
import { endpoint, ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { type Endpoint, METHODS } from '../../src/catalogue/endpoint.ts';
import { type Operation } from '../../src/catalogue/operation.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { tokensOf, type Token } from '../../src/classify/pattern.ts';
import { onClosed } from '../../src/closed-response.ts';
import { contextOf } from '../../src/context.ts';
import { isPasswordOf } from '../../src/identity/user-password.ts';
import { NOBODY } from '../../src/principal/principal.ts';
import { memoryAccessLog } from '../support/memory-access-log.ts';
import {
  CALLER_HEADER,
  EXCHANGE_HEADER,
  type PolicyFront,
  startPolicyFront,
} from '../support/policy-front.ts';
import { testSettings } from '../support/settings.ts';
import { serveSteps } from '../support/steps-server.ts';
import { until } from '../support/until.ts';

const INHERITED = Object.getOwnPropertyNames(Object.prototype);

const textOf = (token: Token): string =>
  token.kind === 'literal' ? token.text : token.first === 'underscored' ? '_x' : 'x';

/** Every path of the catalogue, with `name` in place of each segment and behind the last one. */
function pathsWith(name: string): readonly string[] {
  const spellings = ENDPOINTS.flatMap(({ path }) => tokensOf(path)).map((tokens) => tokens.map(textOf));
  const paths = spellings.flatMap((segments) =>
    [...segments, 'end'].map(
      (_, at) => `/${[...segments.slice(0, at), name, ...segments.slice(at + 1)].join('/')}`,
    ),
  );
  return [...new Set(paths)];
}

describe('a name that every object inherits (H7)', () => {
  it('is a segment like any other in every path of the catalogue, for every method', () => {
    const classify = createClassify(testSettings());
    for (const name of INHERITED)
      for (const path of pathsWith(name))
        for (const method of METHODS) {
          const operation = classify(method, parseTarget(path, { maxUrlBytes: 8000 }), undefined);
          const { permit } = operation.endpoint;
          assert.equal(typeof describePermit(permit), 'string', `${method} ${path}`);
          const decision = decide(NOBODY, operation, undefined, undefined);
          assert.equal(decision.allow, permit.kind === 'public', `${method} ${path}`);
        }
  });

  it('is refused and recorded as a handler of a design document – PUT /x/_design/y/__proto__ – 401, 400', async () => {
    const front = await startPolicyFront();
    const handlers = INHERITED.filter((name) => name.startsWith('_'));
    try {
      for (const [caller, status] of [
        [undefined, 401],
        ['owner', 400],
      ] as const)
        for (const path of handlers.flatMap((name) => [name, `${name}/a`])) {
          const id = `${caller ?? 'nobody'}-${path.replace('/', '-')}`;
          const headers = new Headers({ [EXCHANGE_HEADER]: id });
          if (caller !== undefined) headers.set(CALLER_HEADER, caller);
          const answer = await fetch(`${front.url}/x/_design/y/${path}`, {
            method: 'PUT',
            headers,
            body: '1',
          });
          assert.equal(answer.status, status, path);
          assert.equal((await front.lineOf(id))['statusCode'], status);
        }
      assert.deepEqual([front.failures, front.takeAll()], [[], []]);
    } finally {
      await front.close();
    }
  });
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

/**
 * A request for every endpoint and method, with the name in its last free segment, in its query or in its body.
 * Couchgate answers some itself: they get each parameter and each body, because one may hide another.
 */
function requestsWith(name: string): readonly Sent[] {
  const nested = { [name]: { [name]: [name] } };
  const bodies = [
    { ...nested, docs: [{ _id: name, ...nested }], keys: [name], queries: [nested], headers: nested },
    { name, password: name, roles: [name], principal: name, prefix: name, method: name, database: name },
    { admins: { names: [name], roles: [name] }, members: nested, cloudant: { [name]: ['_reader'] } },
    { cloudant: { x: [name] }, selector: nested, bookmark: name, source: name, target: name },
  ].map((body) => JSON.stringify(body));
  const parameters = [name, 'since', 'filter', 'show', 'search', 'after', 'limit', 'principal'];
  let turn = 0;
  return ENDPOINTS.flatMap(({ path, methods, servedBy, permit }) =>
    tokensOf(path).flatMap((tokens) => {
      const free = tokens.findLastIndex(({ kind }) => kind !== 'literal');
      const named = `/${tokens.map((token, at) => (at === free ? name : textOf(token))).join('/')}`;
      return (methods === '*' ? METHODS : methods).flatMap((method) => {
        const all = isRead(method)
          ? parameters.map((parameter) => ({ method, path: `${named}?${parameter}=${name}`, body: '' }))
          : bodies.map((body) => ({ method, path: named, body }));
        const isOwn = servedBy === 'couchgate' && permit.kind !== 'blocked' && method !== 'HEAD';
        return isOwn ? all : all.slice((turn += 1) % all.length).slice(0, 1);
      });
    }),
  );
}

const isRead = (method: string): boolean => method === 'GET' || method === 'HEAD';

describe('a name that every object inherits, in a whole request (H7)', () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

  const statusOf = ({ port }: PolicyFront, name: string, { method, path, body }: Sent): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = {
        [CALLER_HEADER]: 'owner',
        ...{ [name]: name, accept: name, destination: name, cookie: `${name}=${name}` },
        ...(isRead(method)
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      };
      const req = http.request({ port, method, path, headers, agent }, (res) => {
        res.resume().once('end', () => resolve(res.statusCode ?? 0));
      });
      req.once('error', reject).end(isRead(method) ? undefined : body);
    });

  it('is answered without a fault – every endpoint and method', async () => {
    const front = await startPolicyFront();
    try {
      for (const name of ['__proto__', 'constructor']) {
        const sent = requestsWith(name);
        const statuses = await Promise.all(sent.map((each) => statusOf(front, name, each)));
        const failed = sent.filter((_, at) => (statuses[at] ?? 500) >= 500);
        assert.deepEqual(failed, [], name);
      }
      assert.deepEqual(front.failures, []);
    } finally {
      agent.destroy();
      await front.close();
    }
  });
});

describe('a name that every object inherits, read from a document (H7)', () => {
  it('is no hash function: the password is wrong', async () => {
    const stored = { password_scheme: 'pbkdf2', salt: 's', derived_key: '00', iterations: 1 };
    for (const name of INHERITED)
      assert.equal(await isPasswordOf({ ...stored, pbkdf2_prf: name }, 'p'), false, name);
  });
});

describe('a fault of Couchgate in a request (H7)', () => {
  /** A permit of an unknown kind, as the prototype of objects once was. */
  const unknown = { ...endpoint('all-docs'), permit: {} } as unknown as Endpoint;

  it('opens no endpoint – a permit of an unknown kind, also to the owner', () => {
    const operation = {
      endpoint: unknown,
      alternatives: [],
      decidedByBody: undefined,
      database: 'x',
      documentId: undefined,
    };
    for (const principal of [NOBODY, { kind: 'owner', name: 'admin', roles: [] } as const])
      assert.equal(decide(principal, operation, undefined, undefined).allow, false);
  });

  it('ends no process at the end of the response, and the request has a line', async () => {
    const accessLog = memoryAccessLog();
    const faults: unknown[] = [];
    const fault = new Error('broken');
    let isReleased = false;
    const server = await serveSteps([
      recordRequest({
        accessLog,
        metrics: new RequestMetrics(),
        lateLines: new LateLines(),
        report: (thrown, id) => faults.push(thrown, id),
      }),
      (req, res) => {
        const operation = { endpoint: unknown, database: 'x' } as unknown as Operation;
        contextOf(req).operation = operation;
        onClosed(res, () => {
          throw fault;
        });
        onClosed(res, () => (isReleased = true));
        res.end();
      },
    ]);
    try {
      const id = (await fetch(server.url)).headers.get('x-couch-request-id');
      await until(() => isReleased);
      assert.equal(faults.length, 4);
      assert.deepEqual(faults.slice(1), [id, fault, id]);
      const [line = '', ...others] = accessLog.lines;
      const { statusCode, decision, operation, failure } = parseLogLine(line) ?? {};
      assert.deepEqual([others, statusCode, decision, operation], [[], 200, 'deny', 'all-docs']);
      assert.match(String(failure), /cannot be built/);
    } finally {
      server.close();
    }
  });
});
