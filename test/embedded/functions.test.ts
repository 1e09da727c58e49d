// Tests design functions of the embedded node: results, limits, isolation and validate_doc_update.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bearer, Client } from './client.ts';

describe('embedded node: design functions', () => {
  let client: Client;
  before(async () => {
    client = await Client.start();
  });
  after(() => client.node.close());

  /** Creates a database with documents and one design document. */
  async function createDatabase(name: string, design: object, docs = 3): Promise<void> {
    await client.send('PUT', `/${name}`);
    const list = Array.from({ length: docs }, (_, i) => ({
      _id: `d${i}`,
      n: i,
      kind: i % 2 === 0 ? 'even' : 'odd',
    }));
    await client.send('POST', `/${name}/_bulk_docs`, { body: { docs: list } });
    const put = await client.send('PUT', `/${name}/_design/d`, { body: design });
    assert.equal(put.status, 201, put.text);
  }
  const queryMap = async (name: string, map: string) => {
    await createDatabase(name, { views: { v: { map } } });
    return client.send('GET', `/${name}/_design/d/_view/v`);
  };

  it('indexes, reduces and groups documents – GET /db/_design/d/_view/v – 200', async () => {
    await createDatabase('views', {
      views: {
        v: { map: 'function (doc) { emit([doc.kind, doc.n], doc.n); }', reduce: '_sum' },
        own: {
          map: 'function (doc) { emit(doc.kind, 2); }',
          reduce: 'function (k, v) { return sum(v) * 10; }',
        },
      },
    });
    const rows = async (query: string) =>
      (await client.send('GET', `/views/_design/d/_view/${query}`)).at('rows');
    assert.deepEqual(await rows('v'), [{ key: null, value: 3 }]);
    assert.deepEqual(await rows('v?group_level=1'), [
      { key: ['even'], value: 2 },
      { key: ['odd'], value: 1 },
    ]);
    assert.deepEqual(await rows('own?key="odd"'), [{ key: null, value: 20 }]);
    assert.deepEqual(await rows('v?reduce=false&startkey=["odd"]'), [
      { id: 'd1', key: ['odd', 1], value: 1 },
    ]);
    await client.send('PUT', '/views/d9', { body: { kind: 'odd', n: 9 } });
    assert.deepEqual(await rows('v'), [{ key: null, value: 12 }]);
  });

  it('skips a document whose map function throws – GET view – 200', async () => {
    const answer = await queryMap(
      'throws',
      'function (doc) { if (doc.n === 1) throw new Error("no"); emit(doc.n); }',
    );
    assert.deepEqual([answer.status, answer.at('total_rows')], [200, 2]);
  });

  const exceedingLimits: [title: string, map: string][] = [
    ['an endless loop', 'function (doc) { while (1); }'],
    [
      'an endless loop that catches all errors',
      'function (doc) { while (1) { try { while (1); } catch (e) {} } }',
    ],
    ['endless allocation', 'function (doc) { var a = []; while (1) a.push(new Array(1000).join("x")); }'],
    ['a string that doubles', 'function (doc) { var t = "x"; while (1) t += t; }'],
    ['endless recursion', 'function f(doc) { return f(doc) + 1; }'],
    [
      'a regular expression that backtracks',
      'function (doc) { /^(a+)+$/.test(new Array(40).join("a") + "b"); while (1); }',
    ],
  ];
  for (const [i, [title, map]] of exceedingLimits.entries()) {
    it(`terminates ${title} and keeps serving – GET view`, async () => {
      const answer = await queryMap(`endless${i}`, map);
      assert.ok(answer.status === 500 || answer.at('total_rows') === 0, answer.text);
      assert.equal((await client.send('GET', '/_up')).status, 200);
    });
  }

  it('reports a terminated map function on every query, never a partial result – GET view – 500', async () => {
    await createDatabase('cut', {
      views: { v: { map: 'function (doc) { if (doc.n === 1) while (1); emit(doc.n); }' } },
    });
    for (let i = 0; i < 2; i += 1) {
      const answer = await client.send('GET', '/cut/_design/d/_view/v');
      assert.deepEqual([answer.status, answer.at('error')], [500, 'timeout']);
    }
  });

  it('reports a reduce function that throws – GET view – 500', async () => {
    await createDatabase('reduce', {
      views: { v: { map: 'function (doc) { emit(1); }', reduce: 'function () { throw 1; }' } },
    });
    assert.equal((await client.send('GET', '/reduce/_design/d/_view/v')).status, 500);
  });

  const escapes: [title: string, expression: string][] = [
    ['process', 'typeof process'],
    [
      'require of a module',
      '(function () { try { return typeof require("fs"); } catch (e) { return "undefined"; } })()',
    ],
    [
      'process through the constructor of a function',
      '(function () {}).constructor("return typeof process")()',
    ],
    ['process through the constructor of emit', 'emit.constructor("return typeof process")()'],
    ['process through the global object', 'typeof globalThis.process'],
    ['process through the document', 'doc.constructor.constructor("return typeof process")()'],
    [
      'import',
      '(function () { try { return eval("typeof import(\'fs\')") && "undefined"; } catch (e) { return "undefined"; } })()',
    ],
    ['fetch', 'typeof fetch'],
    ['timers', 'typeof setTimeout'],
    ['WebAssembly', 'typeof WebAssembly'],
  ];
  for (const [i, [title, expression]] of escapes.entries()) {
    it(`gives design functions no access to ${title} – map function – undefined`, async () => {
      const answer = await queryMap(`escape${i}`, `function (doc) { emit(doc._id, ${expression}); }`);
      assert.equal(answer.at('rows', 0, 'value'), 'undefined', answer.text);
    });
  }

  const hostileMaps = [
    'function (doc) { JSON.stringify = function () { return "[["; }; JSON.parse = function () { return {}; }; emit(1); }',
    'function (doc) { Array.prototype.push = function () { while (1); }; emit(1); }',
    'function (doc) { Object.prototype.toJSON = function () { return 7; }; emit(1); }',
    'function (doc) { __call = function () { return "x"; }; emit = 1; }',
    'function (doc) { throw { toString: function () { while (1); } }; }',
    'function (doc) { var a = {}; a.a = a; emit(a); }',
    'function (doc) { emit("__proto__", { "__proto__": 1, "constructor": 2 }); }',
    'function (doc) { var a = []; for (var i = 0; i < 20000; i += 1) a = [a]; emit(a); }',
    'function (doc) { this.x = (this.x || 0) + 1; emit(this.x); }) && (function () { emit(2); }',
  ];
  for (const [i, map] of hostileMaps.entries()) {
    it(`keeps serving after the hostile map function ${map.slice(18, 60)}… – GET view`, async () => {
      await client.send('PUT', `/hostile${i}`);
      await client.send('PUT', `/hostile${i}/a`, { body: {} });
      const put = await client.send('PUT', `/hostile${i}/_design/d`, { body: { views: { v: { map } } } });
      assert.ok([201, 400].includes(put.status), put.text);
      if (put.status === 201) await client.send('GET', `/hostile${i}/_design/d/_view/v`);
      assert.equal((await client.send('GET', `/hostile${i}/a`)).status, 200);
      assert.equal(({} as { toJSON?: unknown }).toJSON, undefined);
    });
  }

  it('isolates global variables of equal functions – the same map in two databases – GET view', async () => {
    const map =
      'function (doc) { globalThis.seen = globalThis.seen || []; globalThis.seen.push(doc._id); emit(globalThis.seen.join()); }';
    await client.send('PUT', '/apart1');
    await client.send('PUT', '/apart1/secret', { body: {} });
    await client.send('PUT', '/apart1/_design/d', { body: { views: { v: { map } } } });
    await client.send('GET', '/apart1/_design/d/_view/v');
    await client.send('PUT', '/apart2');
    await client.send('PUT', '/apart2/own', { body: {} });
    await client.send('PUT', '/apart2/_design/d', { body: { views: { v: { map } } } });
    const answer = await client.send('GET', '/apart2/_design/d/_view/v');
    assert.equal(answer.at('rows', 0, 'key'), 'own');
  });

  it('refuses a function that does not compile – PUT /db/_design/x – 400 compilation_error', async () => {
    await client.send('PUT', '/compile');
    for (const map of ['function (', '5', 'nonsense nonsense']) {
      const answer = await client.send('PUT', '/compile/_design/x', { body: { views: { v: { map } } } });
      assert.deepEqual([answer.status, answer.at('error')], [400, 'compilation_error'], map);
    }
  });

  it('passes caller, old document and security object to validate_doc_update – PUT /db/doc – 401, 403', async () => {
    const source = `function (doc, old, user, security) {
      if (doc.why === 'who') throw { unauthorized: 'sign in' };
      if (doc.why) throw { forbidden: user.name + '/' + user.roles.join() + '/' + (old ? old.n : 'new') + '/' + security.members.roles[0] };
      if (doc.loop) while (1);
    }`;
    await createDatabase('vdu', { validate_doc_update: source }, 1);
    await client.send('PUT', '/vdu/_security', { body: { members: { roles: ['m'] } } });
    const ann = bearer('ann', ['m', 'x']);
    const put = async (path: string, body: object) => {
      const answer = await client.send('PUT', `/vdu/${path}`, { headers: ann, body });
      return [answer.status, answer.at('reason')];
    };
    assert.deepEqual(await put('new', { why: 1 }), [403, 'ann/m,x/new/m']);
    const rev = (await client.send('GET', '/vdu/d0')).at('_rev');
    assert.deepEqual(await put('d0', { _rev: rev, why: 1 }), [403, 'ann/m,x/0/m']);
    assert.deepEqual(await put('new', { why: 'who' }), [401, 'sign in']);
    assert.equal((await put('new', { loop: true }))[0], 500);
    assert.equal((await put('new', {}))[0], 201);
    assert.equal((await client.send('GET', '/vdu/d0')).at('why'), undefined);
  });

  it('validates replicated documents and deletions – _bulk_docs with new_edits=false, DELETE – 403', async () => {
    await createDatabase(
      'vdu2',
      { validate_doc_update: 'function (doc) { throw { forbidden: "never" }; }' },
      1,
    );
    const replicated = { new_edits: false, docs: [{ _id: 'r', _rev: '1-a' }] };
    const answer = await client.send('POST', '/vdu2/_bulk_docs', { body: replicated });
    assert.deepEqual(answer.json, [{ id: 'r', error: 'forbidden', reason: 'never' }]);
    const { etag } = Object.fromEntries((await client.send('GET', '/vdu2/d0')).headers) as { etag: string };
    const removed = await client.send('DELETE', `/vdu2/d0?rev=${etag.replaceAll('"', '')}`);
    assert.equal(removed.status, 403);
    assert.equal((await client.send('PUT', '/vdu2/_design/other', { body: {} })).status, 201);
  });
});
