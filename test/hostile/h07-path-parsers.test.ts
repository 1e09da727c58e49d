// H7: targets that CouchDB and others read differently are refused; every other spelling is judged, and sent, as what CouchDB would have made of it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTarget } from '../../src/admit/target.ts';
import { createClassify } from '../../src/classify/classify.ts';
import { type Operation } from '../../src/catalogue/operation.ts';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { bytesOf, couchReading, spell } from '../support/couch-path.ts';
import { CLOSED_OR_MISTAKEN, describeHostile, refuseAll, type Attack } from '../support/hostile.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { testSettings } from '../support/settings.ts';

const as = (caller: string, lines: readonly string[]): readonly Attack[] =>
  lines.map((line) => ({ line, as: caller }));

/** Two readings: CouchDB's, and somebody else's. */
const AMBIGUOUS = [
  'DELETE /h07#/doc?rev=1-x',
  'PUT /h07/_security#/doc',
  'GET /h07?x=1#y',
  'GET http://evil.example/h07/doc',
  'GET https://evil.example:99/h07/doc',
  'GET http://couchgate.example:81/h07/doc',
  'GET http://couchgate.example.evil.example/h07/doc',
  'GET http://x@couchgate.example/h07/doc',
  'GET http://couchgate.example:y@evil.example/h07/doc',
  'GET http://evil.example#@couchgate.example/h07/doc',
  'GET http://couchgate.example#/h07/doc',
  'GET http:///h07/doc',
  'GET ftp://couchgate.example/h07',
  'GET /../h07',
  'GET /%2e%2e/h07',
  'GET /./h07',
  'DELETE /..',
  'PUT /.%2e',
  'GET /_utils/../h07',
  'GET /_utils/%2e%2e/h07',
  'GET /_node/../h07',
  'PUT /_api/v2/db/../h07/_security',
  'PUT /h07/_design%2F',
  'PUT /h07/_local%2F',
  'GET /h07%00/doc',
  'GET /%00',
  'GET /h07/%',
  'GET /h07/%2',
  'GET /h07/%zz',
  'GET /h07/%u0041',
  'GET /h07/%c0%af',
  'GET /h07/%e0%80%af',
  'GET /h07/%ff',
  'PUT /h07/%ed%a0%80',
  'PUT /h07/%ed%b0%80%ed%a0%80',
  'GET /h07/%f5%80%80%80',
];

/** Refused by Node's parser, or by ours behind it. */
const UNPRINTABLE = [
  'GET /h07/d\u0001c',
  'GET /h07/d\u007fc',
  'GET /h07/d\u00e9c',
  'GET /h07?k=\u00ff',
  'GET /h07/d\tc',
  'GET /h07/d c',
  'GET h07/doc',
  'OPTIONS *',
  'GET *',
];

/** Spellings of one path, and what CouchDB gets for each of them. */
const SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  '/h07/doc': ['/h07/doc', '//h07//doc/', '/h07/doc//', '/%68%307/doc', '/h07/%64oc', '/h07/d%6Fc/'],
  '/h07/_all_docs': ['/h07/_all_docs', '/h07/%5Fall_docs', '/h07/_all%5fdocs', '//h07/%5fall%5Fdocs//'],
  '/h07/_design/d/_view/v': [
    '/h07/_design/d/_view/v',
    '/h07/_design/d/%5Fview/v',
    '/h07/_design%2Fd/_view/v',
    '/h07/%5Fdesign%2fd/%5fview/v/',
  ],
  '/h07/_design/d': [
    '/h07/_design/d',
    '/h07/_design%2Fd',
    '/h07/_design%2fd',
    '/h07/%5Fdesign%2Fd',
    '/h07//_design//d/',
  ],
  '/h07/_local/l': ['/h07/_local/l', '/h07/_local%2Fl', '/h07/%5Flocal/l', '/h07/%5Flocal%2fl'],
  '/h07/a%20b': ['/h07/a%20b', '/h07/a+b', '/h07/%61+b'],
  '/h07/a%2Bb': ['/h07/a%2Bb', '/h07/a%2bb'],
  '/h07%2Fx/doc': ['/h07%2Fx/doc', '/h07%2fx/doc', '//h07%2fx//doc'],
  '/h07/doc/a/b.txt': ['/h07/doc/a/b.txt', '/h07//doc/a//b.txt', '/h07/doc/a/b%2Etxt'],
  '/h07/doc/a%2Fb.txt': ['/h07/doc/a%2Fb.txt', '/h07/doc/a%2fb.txt'],
};

/** What closed or privileged endpoints are called by others; `_reader` and `_writer` get none of them. */
const DISGUISED = [
  'PUT /h07/%5f%73ecurity',
  'PUT /h07//_security/',
  'GET /h07/_securit%79',
  'GET /h07/_design%252Fd',
  'PUT /h07/_design%252Fx',
  'PUT /h07/_design%2Fx',
  'PUT /h07/%5Fdesign%2Fx',
  'DELETE /h07/%5Fdesign%2Fd?rev=1-x',
  'PUT /h07/_design%2Fd/att',
  'POST /h07/_design%2Fd',
  'PUT /h07/_local%2Fx/att',
  'GET /%5Fmembership',
  'GET /%5fnode/_local/%5Fconfig/chttpd_auth',
  'PUT /%5Fusers/org.couchdb.user:x',
  'GET /_session/x',
  'GET /_up/x',
  'GET /_uuids/x',
  'GET /_active_tasks/x',
  'DELETE /h07/',
  'DELETE //h07//',
  'DELETE /%6807',
  'GET /H07/doc',
  'GET /h07/_ALL_DOCS',
  'GET /h07/_Design/d',
  'GET /h07;/doc',
  'GET /h07%2F../x',
  'GET /h07/../_security',
  'PUT /h07/%2e%2e/_security',
  'GET /h07/./_all_docs',
  'POST /h07/../_bulk_docs',
  'PUT /h07/../_design/x',
  'DELETE /h07/%2E%2E/_local/x',
  'PUT /h07/_design/..',
  'PUT /h07/_design%2F..',
  'GET /h07/_design/../_rewrite/x',
  'GET /h07/_partition/../_rewrite',
  'PUT /h07/_local/../att',
  'GET /h07\\doc',
  'POST /h07/_compact/d/x',
  'POST /h07/_nouveau_cleanup/x',
];

describeHostile('H7: path parsers', { databases: ['h07', 'h07/x'], prepare: fill }, (gate) => {
  refuseAll(gate, 400, as('owner', AMBIGUOUS));
  refuseAll(gate, CLOSED_OR_MISTAKEN, as('reader+writer', DISGUISED));
  refuseAll(
    gate,
    403,
    as(
      'user',
      DISGUISED.filter((line) => / \/h07\//u.test(line)),
    ),
  );
  refuseAll(gate, 414, as('reader', [`GET /h07/${'a'.repeat(16_384)}`, `GET /h07?k=${'a'.repeat(16_384)}`]));

  for (const line of UNPRINTABLE) {
    it(`refuses ${JSON.stringify(line)} – CouchDB is not called`, async () => {
      gate.front.takeAll();
      const { status } = await gate.send({ line, as: 'owner' });
      // OPTIONS of the server as a whole asks for nothing.
      assert.ok(status === 400 || (line === 'OPTIONS *' && status < 500), String(status));
      assert.deepEqual(gate.front.takeAll(), []);
    });
  }

  for (const [sent, spellings] of Object.entries(SPELLINGS)) {
    for (const spelling of spellings) {
      it(`sends ${sent} for GET ${spelling}`, async () => {
        const { reached, status, body } = await gate.send({ line: `GET ${spelling}?limit=1`, as: 'reader' });
        assert.deepEqual(
          reached.map(({ url }) => url),
          [`${sent}?limit=1`],
        );
        if (gate.couchdb !== undefined) {
          const direct = await gate.couchdb.ask('GET', `${sent}?limit=1`).catch(() => undefined);
          assert.equal(status, direct?.status ?? 200, body);
        }
      });
    }
  }

  for (const method of ['get', 'Get', 'FOO', 'PROPFIND', 'PATCH', 'TRACE', 'LOCK']) {
    it(`refuses the method ${method} – ${method} /h07/_design/d/_update/f – CouchDB is not called`, async () => {
      gate.front.takeAll();
      const { status } = await gate.send({ line: `${method} /h07/_design/d/_update/f`, as: 'owner' });
      assert.ok(status === 400 || status === 405, String(status));
      assert.deepEqual(gate.front.takeAll(), []);
    });
  }

  it('leaves the connection usable after a refusal – two requests on one socket', async () => {
    const request = (target: string, connection: string) =>
      `GET ${target} HTTP/1.1\r\nHost: a\r\nx-test-caller: reader\r\nConnection: ${connection}\r\n\r\n`;
    const answers = await exchangeBytes(
      gate.front.url,
      request('/h07/%zz', 'keep-alive') + request('/h07/doc', 'close'),
    );
    assert.deepEqual(
      [...answers.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status),
      ['400', '200'],
    );
  });
});

async function fill(couchdb: Admin): Promise<void> {
  await couchdb.ask('PUT', '/h07/doc', { _attachments: attachments(['a/b.txt']) });
  await couchdb.ask('PUT', '/h07/a%20b', {});
  await couchdb.ask('PUT', '/h07/a%2Bb', {});
  await couchdb.ask('PUT', '/h07/_local/l', {});
  const docs = ['.', '..', 'a\0b', '_design/..'].map((_id) => ({
    _id,
    _attachments: attachments(['..', 'x/.', '\0']),
  }));
  await couchdb.ask('POST', '/h07/_bulk_docs', { docs });
  await couchdb.ask('PUT', '/h07%2Fx/doc', {});
  await couchdb.ask('PUT', '/h07/_design/d', {
    views: { v: { map: 'function (doc) { emit(doc._id) }' } },
    _attachments: attachments(['att']),
  });
}

function attachments(names: readonly string[]): object {
  return Object.fromEntries(names.map((name) => [name, { content_type: 'text/plain', data: 'eA==' }]));
}

/** What an answer of CouchDB looks like when it came from the handler and the database of a row. */
const SIGNATURES: Readonly<Record<string, (body: Record<string, unknown>, operation: Operation) => boolean>> =
  {
    'db-info': (body, { database }) => body['db_name'] === database,
    'doc-get': (body, { documentId }) => body['_id'] === documentId,
    'ddoc-get': (body, { documentId }) => body['_id'] === documentId,
    'local-get': (body, { documentId }) => body['_id'] === documentId,
    'all-docs': (body) => Array.isArray(body['rows']) && 'total_rows' in body,
    'design-docs': (body) => Array.isArray(body['rows']) && 'total_rows' in body,
    'local-docs': (body) => Array.isArray(body['rows']),
    'security-get': (body) => 'admins' in body && 'members' in body,
    'revs-limit-get': (body) => body['value'] === 1000,
    changes: (body) => 'last_seq' in body,
    'ddoc-info': (body) => 'view_index' in body,
    view: (body) => Array.isArray(body['rows']),
    'index-list': (body) => Array.isArray(body['indexes']),
    shards: (body) => 'shards' in body || 'range' in body,
    'session-get': (body) => 'userCtx' in body,
    uuids: (body) => 'uuids' in body,
    'all-dbs': (body) => Array.isArray(body['value']),
  };

/**
 * Differential: random spellings go to CouchDB as they are and as Couchgate would send them. Both answers have to be the same, and they
 * have to come from the handler and the database that were classified.
 */
describe('H7: random spellings, as CouchDB itself reads them', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  const classify = createClassify(testSettings());
  const FIRST = ['h07', 'h07/x', 'h07', 'H07', '_all_dbs', '_session', '_uuids', 'h07 x'];
  const SECOND = [
    'doc',
    'a b',
    'a+b',
    '_all_docs',
    '_security',
    '_design',
    '_design/d',
    '_local',
    '_local/l',
    '_changes',
    '_index',
    '..',
    '.',
    'a\0b',
    '_design/..',
  ];
  const REST = [
    'd',
    'l',
    '_view',
    'v',
    '_info',
    'att',
    'a',
    'b.txt',
    'x',
    'a/b.txt',
    'doc',
    '_design_docs',
    '_revs_limit',
    '_shards',
    '..',
    '.',
    '\0',
  ];

  before(async () => {
    backend = await startBackend();
  });
  after(() => backend.close());

  async function get(
    target: string,
  ): Promise<{ status: number; body: Record<string, unknown>; text: string }> {
    const { name, password } = backend.owner;
    const authorization = Buffer.from(`${name}:${password}`).toString('base64');
    const answer = await exchangeBytes(
      backend.urls[0] ?? '',
      `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ${authorization}\r\nConnection: close\r\n\r\n`,
    );
    const [head = '', ...rest] = answer.split('\r\n\r\n');
    const whole = rest.join('\r\n\r\n');
    const text = /^transfer-encoding: chunked/im.test(head) ? unchunked(whole) : whole;
    return { status: Number(answer.split(' ')[1]), body: asObject(text), text };
  }

  it('reaches the handler and the database that were classified', async () => {
    const couchdb = openAdmin({
      url: backend.urls[0] ?? '',
      credentials: backend.owner,
    });
    for (const name of ['/h07', '/h07%2Fx']) await couchdb.ask('PUT', `${name}?q=1`);
    await fill(couchdb);
    const path = fc
      .tuple(fc.constantFrom(...FIRST), fc.array(fc.constantFrom(...SECOND, ...REST), { maxLength: 4 }))
      .map(([first, rest]) => [first, ...rest])
      // Outside a database these are refused.
      .filter(
        ([first = '', ...rest]) => !(first.startsWith('_') && rest.some((name) => /^\.|\0/.test(name))),
      );
    const choices = fc.array(fc.nat(59), { minLength: 1, maxLength: 30 });
    let signed = 0;
    await fc.assert(
      fc.asyncProperty(path, choices, async (names, spelling) => {
        const raw = spell(names.map(bytesOf), spelling);
        const target = parseTarget(raw, { maxUrlBytes: 4096 });
        const operation = classify('GET', target, undefined);
        if (operation.endpoint.permit.kind === 'blocked') return;
        const [asItIs, asSent] = [await get(raw), await get(target.path)];
        assert.equal('segments' in couchReading(raw), true);
        // CouchDB redirects a GET of `_design%2Fx` to the spelling that Couchgate uses at once.
        if (asItIs.status !== 301) assert.equal(withoutTimes(asSent.text), withoutTimes(asItIs.text), raw);
        const signature = SIGNATURES[operation.endpoint.id];
        if (asSent.status === 200 && signature !== undefined) {
          assert.ok(signature(asSent.body, operation), `${raw} is ${operation.endpoint.id}: ${asSent.text}`);
          signed += 1;
        }
      }),
      { numRuns: 600 * Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1) },
    );
    assert.ok(signed > 100, `only ${signed} answers could be told by their look`);
  });
});

/** Random ids, sequence numbers and sizes on disk differ from answer to answer. */
function withoutTimes(text: string): string {
  return text
    .replaceAll(/"sizes":\{[^}]*\}/g, '"sizes"')
    .replaceAll(/"[0-9]+-g1[^"]*"/g, '"seq"')
    .replaceAll(/\["[0-9a-f]{32}"\]/g, '["uuid"]');
}

function asObject(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : { value };
  } catch {
    return {};
  }
}

function unchunked(text: string): string {
  let whole = '';
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, end), 16);
    if (!(size > 0)) break;
    whole += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
  return whole;
}
