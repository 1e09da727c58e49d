// One line of the access log: what stands in it, and what never does.
import assert from 'node:assert/strict';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTarget } from '../../src/admit/target.ts';
import { Context, type CutReason } from '../../src/context.ts';
import { type Endpoint } from '../../src/catalogue/endpoint.ts';
import { ConnectionFacts } from '../../src/audit/connection.ts';
import { terminationState } from '../../src/audit/outcome.ts';
import { accessLine, describePermit, quote } from '../../src/audit/line.ts';
import { maskTarget, startOf } from '../../src/audit/mask.ts';
import { isRequestId, requestIdMaker } from '../../src/audit/request-id.ts';
import { grantedTo } from '../../src/catalogue/parse.ts';
import { roleSet } from '../../src/permissions/role.ts';

const endpoint: Endpoint = {
  id: 'doc-get',
  methods: ['GET', 'HEAD'],
  path: '/{db}/{docid}',
  scope: 'doc',
  permit: grantedTo([['_reader']]),
  privilege: 'member',
  servedBy: 'couchdb',
  pool: 'pooled',
  body: 'query',
  action: 'read',
  manual: '',
};

interface Fake {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Record<string, string>;
  readonly complete?: boolean;
  readonly status?: number;
  readonly finished?: boolean;
  readonly headersSent?: boolean;
}

function lineOf(context: Context, fake: Fake = {}): Record<string, unknown> {
  const req = { method: 'GET', url: '/db/doc', headers: {}, complete: true, ...fake };
  const res = {
    statusCode: fake.status ?? 200,
    headersSent: fake.headersSent ?? true,
    writableFinished: fake.finished ?? true,
  };
  const socket = { remoteAddress: '192.0.2.1', remotePort: 4711 };
  const line = accessLine({
    context,
    req: req as unknown as IncomingMessage,
    status: res.headersSent ? res.statusCode : 0,
    termination: terminationState(
      context,
      req as unknown as IncomingMessage,
      res as unknown as ServerResponse,
    ),
    connection: new ConnectionFacts(socket as unknown as Socket),
    bytesRead: 10,
    bytesUploaded: 20,
    endedAt: context.startedAt + 12.34,
  });
  assert.equal(line.endsWith('}\n'), true);
  assert.equal(line.indexOf('\n'), line.length - 1);
  return JSON.parse(line) as Record<string, unknown>;
}

function allowed(): Context {
  const context = new Context();
  context.id = 'id-1';
  context.client = { ip: '203.0.113.9', port: 99, secure: true, schemeKnown: false, mayAdminister: true };
  context.target = { segments: ['db', 'doc'], path: '/db/doc', query: '?rev=1-x' };
  context.operation = {
    endpoint,
    alternatives: [],
    decidedByBody: undefined,
    database: 'db',
    documentId: 'doc',
  };
  context.identified = { principal: { kind: 'key', name: 'abc' }, method: 'basic' };
  context.decision = {
    allow: true,
    endpoint,
    privilege: 'member',
    identity: 'marker',
    roles: roleSet(['_reader']),
    rule: 'grant',
  };
  return context;
}

describe('accessLine', () => {
  it("says who did what, in Cloudant's names where Cloudant has one", () => {
    const context = allowed();
    context.upstream.node = 'http://node1:5984';
    context.upstream.status = 200;
    context.upstream.sentAt = context.startedAt + 1;
    context.upstream.answeredAt = context.startedAt + 5;
    const { time, ...line } = lineOf(context, { headers: { 'user-agent': 'curl/8 "x"' } });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000, true);
    assert.deepEqual(line, {
      id: 'id-1',
      clientIp: '203.0.113.9',
      clientPort: 99,
      httpMethod: 'GET',
      httpRequest: '/db/doc',
      rawQueryString: 'rev=1-x',
      principal: 'abc',
      principalKind: 'key',
      authMethod: 'basic',
      dbName: 'db',
      operation: 'doc-get',
      dbRequest: '/{db}/{docid}',
      requestClass: 'read',
      needed: '_reader',
      decision: 'allow',
      rule: 'grant',
      statusCode: 200,
      bytesRead: 10,
      bytesUploaded: 20,
      terminationState: '----',
      node: 'http://node1:5984',
      nodeStatus: 200,
      timings: { wait: 1, upstream: 4, transfer: 7.3, response: 12.3 },
      userAgent: 'curl/8 "x"',
    });
  });

  const refusals: readonly [title: string, change: (context: Context) => void, rule: string][] = [
    ['an address', (c) => c.outcome.refuse('address'), 'address'],
    ['a malformed target', (c) => (c.target = undefined), 'malformed'],
    ['wrong credentials', (c) => (c.identified = undefined), 'credentials'],
  ];
  for (const [title, change, rule] of refusals)
    it(`names the rule that refused ${title}, before anything was decided`, () => {
      const context = allowed();
      context.decision = undefined;
      change(context);
      const line = lineOf(context, { status: 403 });
      assert.equal(line['decision'], 'deny');
      assert.equal(line['rule'], rule);
      assert.equal(line['terminationState'], 'PR--');
    });

  it('carries what a management event changed, and marks it', () => {
    const context = allowed();
    context.outcome.change = { key: 'abc', label: 'x\n' };
    assert.deepEqual(lineOf(context)['change'], { key: 'abc', label: 'x\n' });
    assert.equal(lineOf(context)['management'], true);
    assert.equal(lineOf(allowed())['management'], undefined);
  });

  const endings: readonly [ended: CutReason | undefined, fake: Fake, state: string][] = [
    ['client left', { finished: false }, 'CD--'],
    [undefined, { finished: false, headersSent: false }, 'CH--'],
    [undefined, { finished: false, headersSent: false, complete: false }, 'CR--'],
    ['upstream truncated', { finished: false }, 'SD--'],
    ['revoked', { finished: false }, 'KD--'],
    ['revoked', { finished: true }, 'KD--'],
    ['draining', { finished: true }, 'KD--'],
  ];
  for (const [ended, fake, state] of endings)
    it(`says that it ended early: ${ended ?? 'client left'} ${JSON.stringify(fake)} is ${state}`, () => {
      const context = allowed();
      if (ended !== undefined) context.outcome.cut(ended);
      assert.equal(lineOf(context, fake)['terminationState'], state);
    });

  const WRITTEN: readonly (readonly [raw: string, shown: string, database: string])[] = [
    ['/http://admin:canary@host/db', '/http://***@host/db', 'http:'],
    ['/http:/admin:canary@host/db', '/http:/***@host/db', 'http:'],
    ['/db/http://admin:can%40ary@host', '/db/http://***%40***@host', 'db'],
    ['//admin:canary@host/db', '/***/db', '***'],
    ['/admin:canary%40host/db', '/***/db', '***'],
    ['/admin:canary%2540host/db', '/***/db', '***'],
    ['/db//a@b', '/db/a%40b', 'db'],
    ['/db/p%61ssword=canary', '/db/password%3D***', 'db'],
  ];
  for (const [raw, shown, database] of WRITTEN)
    it(`masks a target as it was written, refused unread or not – ${raw}`, () => {
      const unread = new Context();
      assert.doesNotMatch(JSON.stringify(lineOf(unread, { url: `${raw}?pwd=canary` })), /canary/);
      const context = new Context();
      context.target = parseTarget(raw, { maxUrlBytes: 1000 });
      context.operation = {
        endpoint,
        alternatives: [],
        decidedByBody: undefined,
        database: context.target.segments[0],
        documentId: undefined,
      };
      const line = lineOf(context, { url: raw });
      assert.doesNotMatch(JSON.stringify(line), /canary/);
      assert.equal(line['dbName'], database);
      assert.equal(line['httpRequest'], shown);
    });

  it('shows no target that was refused unread, unless it is a path', () => {
    const context = new Context();
    assert.equal(lineOf(context, { url: 'http://admin:canary@host/db' })['httpRequest'], '(not a path)');
    assert.equal(lineOf(context, { url: '//admin:canary@host/db/x' })['httpRequest'], '//***/db/x');
    assert.equal(lineOf(context, { url: '//admin:canary@host' })['httpRequest'], '//***');
    assert.equal(lineOf(context, { url: '/db/\u001b[31m\u2028' })['httpRequest'], '/db/\u001b[31m\u2028');
  });
});

describe('quote', () => {
  it('is JSON, on one line, without signs that terminals obey', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const quoted = quote(text);
        assert.equal(JSON.parse(quoted), text);
        // eslint-disable-next-line no-control-regex
        assert.doesNotMatch(quoted, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
      }),
    );
  });
});

describe('maskTarget', () => {
  const table: readonly [target: string, shown: string][] = [
    ['/db/a@example.com', '/db/a@example.com'],
    ['/_replicate?source=http://bob:canary@host/db', '/_replicate?source=http://***@host/db'],
    ['/db/https%3A%2F%2Fbob%3Acanary%40host', '/db/https%3A%2F%2F***%40host'],
    ['/x:/%2Fbob:canary@host', '/x:/%2F***@host'],
    ['/x%3A%2F/bob%3Ac%2Fanary@host', '/x%3A%2F/***@host'],
    ['?a=http://u:canary@h&b=http://v:canary@i/c@d', '?a=http://***@h&b=http://***@i/c@d'],
    ['?a=http://h/p&b=c@d', '?a=http://h/p&b=c@d'],
    ['?a=http://u:can%40ary@h', '?a=http://***%40***@h'],
    ['?q=1&Password=canary&x=2', '?q=1&Password=***&x=2'],
    ['?access_token=canary', '?access_token=***'],
    ['?a=1;password=canary;x=2&token=canary', '?a=1;password=***;x=2&token=***'],
    ['?key=%22tokens%22', '?key=%22tokens%22'],
  ];
  for (const [target, shown] of table) it(`shows ${shown}`, () => assert.equal(maskTarget(target), shown));
});

describe('request ids', () => {
  it('are taken over as CouchDB takes them, and made unlike each other', () => {
    for (const id of ['a', 'A-z_09', 'a'.repeat(36)]) assert.ok(isRequestId(id), id);
    for (const id of ['', 'a'.repeat(37), 'a b', 'ä', 'a\n', 'a, b', undefined, ['a']])
      assert.equal(isRequestId(id), false);
    const [one, two] = [requestIdMaker(), requestIdMaker()];
    const made = new Set([one(), one(), two(), two()]);
    assert.equal(made.size, 4);
    for (const id of made) assert.equal(isRequestId(id), true);
  });
});

describe('describePermit', () => {
  it('says in words who may call a row', () => {
    assert.equal(describePermit({ kind: 'public' }), 'public');
    assert.equal(describePermit(grantedTo([])), 'owner');
    assert.equal(
      describePermit(grantedTo([['_reader'], ['_design', '_writer']])),
      '_reader or _design+_writer',
    );
  });
});

describe('the start of a long target', () => {
  for (const [text, shown] of [
    ['/short', '/short'],
    [`/a/${'x'.repeat(30)}`, '/a/...'],
    [`/http://name:pass${'word'.repeat(9)}@host/db`, '/http://...'],
    [`/a?key=${'x'.repeat(30)}`, '/a?...'],
    ['x'.repeat(30), '...'],
  ] as const)
    it(`ends at a sign that no password has – ${shown}`, () => assert.equal(startOf(text, 20), shown));
});
