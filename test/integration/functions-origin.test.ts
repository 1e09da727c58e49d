// The request as functions of design documents see it: from the client's side, not from the proxy's.
import assert from 'node:assert/strict';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { runsWithRequest } from '../../src/catalogue/functions.ts';
import { publicOrigin } from '../../src/forward/public-origin.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const DESIGN = {
  shows: {
    headers: 'function (doc, req) { return { json: { headers: req.headers, peer: req.peer } }; }',
    redirect:
      'function (doc, req) { return { code: 302, headers: { Location: "http://" + req.headers.Host + "/db/x" }, body: "" }; }',
  },
  lists: {
    headers: 'function (head, req) { send(JSON.stringify({ headers: req.headers, peer: req.peer })); }',
  },
  updates: {
    headers:
      'function (doc, req) { return [null, JSON.stringify({ headers: req.headers, peer: req.peer })]; }',
  },
  filters: { host: 'function (doc, req) { return req.headers.Host === req.query.host; }' },
  views: { all: { map: 'function (doc) { emit(null); }' } },
};
const FUNCTIONS = [
  ['GET', '_show/headers'],
  ['GET', '_list/headers/all?limit=0'],
  ['POST', '_update/headers'],
] as const;

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: string;
}

interface Seen {
  readonly headers: Readonly<Record<string, string>>;
  readonly peer: string;
}

/** fetch does not send a Host of one's own. */
function send(
  url: string,
  method: string,
  path: string,
  as: Credentials,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = http.request(new URL(path, url), {
      method,
      headers: { authorization: basic(as), ...headers },
    });
    req.on('response', (res) => {
      const { statusCode: status = 0 } = res;
      text(res).then((body) => resolve({ status, location: res.headers.location, body }), reject);
    });
    req.on('error', reject).end();
  });
}

for (const publicUrl of ['', 'https://db.example.org']) {
  const title = publicUrl === '' ? 'without public_url' : `with public_url ${publicUrl}`;
  describe(`functions of design documents, ${title}`, () => {
    let gate: Couchgate;
    let key: Credentials;
    before(async () => {
      gate = await startCouchgate({ settings: { publicUrl } });
      key = await gate.key();
      await gate.database('db', { [key.name]: ['_reader', '_writer', '_design'] });
      const put = await gate.ask('PUT', '/db/_design/d', { as: key, body: DESIGN });
      assert.equal(put.status, 201, JSON.stringify(put.body));
      gate.recorder.take();
    });
    after(() => gate.close());

    const seenHost = publicUrl === '' ? 'couch.client.example:8443' : 'db.example.org';
    const host = { host: 'couch.client.example:8443' };

    for (const [method, path] of FUNCTIONS) {
      it(`see the public host and scheme, and the client's address – ${method} ${path}`, async () => {
        const answer = await send(gate.url, method, `/db/_design/d/${path}`, key, {
          ...host,
          'x-forwarded-host': 'evil.example',
          'x-forwarded-proto': 'gopher',
          'x-forwarded-for': '192.0.2.1',
        });
        const [sent] = gate.recorder.take();
        assert.equal(sent?.headers.host, seenHost);
        assert.equal(sent.headers['x-forwarded-host'], seenHost);
        if (gate.backend.kind === 'embedded') return;
        const { headers, peer } = JSON.parse(answer.body) as Seen;
        assert.equal(headers['Host'], seenHost);
        assert.equal(headers['X-Forwarded-Host'], seenHost);
        assert.equal(headers['X-Forwarded-Proto'], publicUrl === '' ? 'http' : 'https');
        assert.equal(headers['X-Forwarded-For'], '127.0.0.1');
        assert.equal(peer, '127.0.0.1');
      });
    }

    // CouchDB ignores the case of names of parameters here.
    for (const name of ['filter', 'Filter', '%66ilter']) {
      it(`see the public host in a filter – GET /db/_changes?${name}=d/host`, async () => {
        const path = `/db/_changes?${name}=d/host&host=${encodeURIComponent(seenHost)}`;
        const { body } = await send(gate.url, 'GET', path, key, host);
        assert.equal(gate.recorder.take()[0]?.headers.host, seenHost);
        if (gate.backend.kind === 'embedded') return;
        assert.equal((JSON.parse(body) as { readonly results: readonly unknown[] }).results.length, 1);
      });
    }

    it('leave Location as it is rewritten everywhere – GET _show/redirect', async () => {
      if (gate.backend.kind === 'embedded') return;
      const redirected = await send(gate.url, 'GET', '/db/_design/d/_show/redirect', key, host);
      assert.deepEqual([redirected.status, redirected.location], [302, `${publicUrl}/db/x`]);
    });

    it('alone get it: every other request names the node – GET /db, PUT /db/doc, GET /, GET /db/_changes', async () => {
      gate.recorder.take();
      for (const [method, path] of [
        ['GET', '/db'],
        ['PUT', '/db/doc'],
        ['GET', '/'],
        ['GET', '/db/_changes?limit=1'],
      ] as const) {
        await send(gate.url, method, path, key, host);
      }
      const sent = gate.recorder.take();
      assert.equal(sent.length, 4);
      for (const { headers } of sent) {
        assert.equal(headers.host, new URL(gate.recorder.url).host);
        assert.equal(headers['x-forwarded-host'] ?? headers['x-forwarded-proto'], undefined);
      }
    });
  });
}

describe('the public origin of a request', () => {
  const ODD = [
    'evil.example/_all_dbs',
    'user@evil.example',
    'evil example',
    'evil.example:',
    'evil.example:x',
    'evil.example:123456',
    '[::1',
    '::1',
    '*.example',
    'a,b',
    'ex\tample',
    'bücher.example',
    `${'a'.repeat(300)}.example`,
    '',
    '..',
  ];
  for (const host of ODD) {
    it(`is unknown for a Host that is no plain host (H6) – ${JSON.stringify(host.slice(0, 40))}`, () => {
      assert.equal(publicOrigin('', host, false), undefined);
    });
  }
  for (const host of [
    'localhost',
    'localhost:5984',
    'db.example.org',
    '[::1]:5984',
    '192.0.2.1:80',
    'my_host',
  ]) {
    it(`is the client's own Host – ${host}`, () => {
      assert.deepEqual(publicOrigin('', host, true), { host, scheme: 'https' });
    });
  }

  it('is asked for by every endpoint whose functions get the request', () => {
    for (const endpoint of ENDPOINTS) {
      const { path, servedBy, scope, id } = endpoint;
      const isOrdinary = path.startsWith('/{db}') && servedBy === 'couchdb' && scope !== 'server';
      const gets = isOrdinary && /\/\(?_(?:show|list|update|changes)\b/u.test(path);
      assert.equal(runsWithRequest(endpoint), gets, id);
    }
  });
});
