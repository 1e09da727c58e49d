// H10: ids that need other rights hide in bodies and headers; what decides is read as CouchDB reads it, and the very bytes that were read go on.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { markersOf } from '../../src/principal/marker.ts';
import { describeHostile, refuseAll, type Answer, type Attack } from '../support/hostile.ts';
import { connectRaw } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const JSON_TYPE = 'Content-Type: application/json';
const LIMIT = 100_000;

const post = (as: string, body: string | Buffer, ...headers: readonly string[]): Attack => ({
  line: 'POST /h10',
  as,
  headers: [JSON_TYPE, ...headers],
  body,
});
const bulk = (as: string, body: string | Buffer, ...headers: readonly string[]): Attack => ({
  ...post(as, body, ...headers),
  line: 'POST /h10/_bulk_docs',
});
const copy = (as: string, destination: string): Attack => ({
  line: 'COPY /h10/doc',
  as,
  headers: [`Destination: ${destination}`],
});
const GZIP = 'Content-Encoding: gzip';

/** Bodies that CouchDB reads as a design document. */
const DESIGNS: readonly string[] = [
  '{"_id":"_design/x"}',
  '  {"_id" : "_design/x"}\n',
  '{"_id":"\\u005fdesign/x"}',
  '{"_id":"\\u005Fdesign\\/x"}',
  '{"_id":"_design\\/x"}',
  '{"_id":"\\u005f\\u0064\\u0065\\u0073\\u0069\\u0067\\u006e\\u002f\\u0078"}',
  '{"\\u005fid":"_design/x"}',
  '{"_id":"doc","_id":"_design/x"}',
  '{"_id":"doc","\\u005fid":"\\u005fdesign/x"}',
  '{"_id":"_design/x","__proto__":{"_id":"doc"}}',
  '{"_id":"_design/x","a":{"_id":"doc"}}',
  `{"pad":"${' '.repeat(70_000)}","_id":"_design/x"}`,
];
/** Bodies that it reads as an ordinary one. */
const ORDINARY: readonly string[] = [
  '{}',
  '{"_id":"doc-1"}',
  '{"_id":" _design/x"}',
  '{"_id":"_Design/x"}',
  '{"_id":"_design/x","_id":"doc-2"}',
  '{"a":{"_id":"_design/x"}}',
  '{"__proto__":{"_id":"_design/x"}}',
  '{"text":"a quote \\" and \\u005f and _design/x"}',
  '{"big":12345678901234567890123,"_id":"doc-3"}',
];
/** Bulk writes with an ordinary document and one that CouchDB keeps for itself, or would if it did not drop it. */
const INTERNAL: readonly string[] = [
  '"_id":"_local/purge-x"',
  '"_id":"_local\\/purge-x"',
  '"_id":"\\u005flocal/purge-x"',
  '"_id":"\\u005F\\u006c\\u006Fcal\\u002fpurge\\u002dx"',
  '"_id" :\n"_local/shard-sync-a-b"',
  '"\\u005fid":"_local/purge-x"',
  '"_\\u0069d":"_local/purge-x"',
  '"_id":"doc","\\u005fid":"_local/purge-x"',
  '"_id":"_local/purge-x","_id":"doc"',
  '"_id":"_local/purge-x"}],"docs":[{"_id":"doc"',
].map((fields) => `{"docs":[{"_id":"with-internal"},{${fields}}]}`);
/** Members of an ordinary document that name such a document elsewhere than in its id. */
const HARMLESS =
  '"text":"_local/purge-x","rows":[{"id":"_local/purge-x","_local/purge-x":1,"doc":{"_id":"_local/shard-sync-a-b"}}]';
/** Bodies that have no reading, each with an id or an escape that must be read. */
const UNREADABLE: readonly (string | Buffer)[] = [
  '\ufeff{"_id":"_design/x"}',
  '{"_id":"_design/x"} {}',
  '{"_id":"_design/x"}x',
  '{"_id":"_design/x",}',
  "{'_id':'_design/x'}",
  '{"_id":"_design/x"/**/}',
  '{"a":NaN,"_id":"_design/x"}',
  '{"_id":"_design/x"',
  '["_design/x"]',
  '"_design/x"',
  '{"_id":["_design/x"]}',
  '{"_id":{"_design/x":1}}',
  Buffer.concat([Buffer.from('{"_id":"_design/'), Buffer.from([0xff]), Buffer.from('"}')]),
  Buffer.concat([Buffer.from('{"_id":"_design/'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
  Buffer.concat([Buffer.from('{"_id":"_design/'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
];

function privilegeOf(answer: Answer): string {
  const roles = answer.reached[0]?.claims?.roles ?? [];
  const { member, dbadmin } = markersOf('h10');
  if (roles.includes('_admin')) return 'server';
  return roles.includes(dbadmin) ? 'dbadmin' : roles.includes(member) ? 'member' : 'none';
}

const setup = { inspectLimitBytes: LIMIT };

describeHostile('H10: hidden ids', { databases: ['h10'], setup }, (gate) => {
  refuseAll(
    gate,
    403,
    DESIGNS.map((body) => post('writer', body)),
  );
  refuseAll(
    gate,
    403,
    DESIGNS.map((body) => post('reader+writer', gzipSync(body), GZIP)),
  );
  refuseAll(
    gate,
    400,
    UNREADABLE.map((body) => post('writer', body)),
  );
  refuseAll(
    gate,
    400,
    UNREADABLE.slice(0, 8).map((body) => bulk('design', `{"docs":[${body.toString()}]}`)),
  );
  refuseAll(gate, 403, [
    post('design', '{"_id":"doc"}'),
    post('design', '{}'),
    post('replicator', '{"_id":"doc"}'),
    post('replicator', '{"_id":"_design/x"}'),
    post('admin', '{"_id":"_local/purge-mrview-1"}'),
    post('writer', '{"_id":"\\u005flocal/shard-sync-a-b"}'),
    bulk('design', '{"docs":[{"_id":"_design/x"},{"_id":"doc"}]}'),
    bulk('design', '{"docs":[{"_id":"_design/x"},{}]}'),
    bulk('design', '{"docs":[{"_id":"_design/x"},{"_id":"_local/x"}]}'),
    bulk('design', '{"new_edits":false,"docs":[{"_id":"_design/x","_id":"doc","_rev":"1-a"}]}'),
    bulk('design', '{"docs":[{"_id":"_design/x"}],"docs":[{"_id":"doc"}]}'),
    bulk('replicator', '{"docs":[{"_id":"_local/x"},{"_id":"doc"}]}'),
    bulk('replicator', '{"docs":[{"_id":"_local/x"},{"_id":"_design/x"}]}'),
    bulk('replicator', '{"docs":[{"_id":"_local/purge-x"}]}'),
    bulk('reader', '{"docs":[{"_id":"_local/x"}]}'),
    bulk('admin', '{"docs":[{"_id":"_local/shard-sync-a-b"}]}'),
    bulk('design+writer', '{"docs":[{"_id":"_local/shard-sync-a-b"}]}'),
    bulk('owner', '{"docs":[{"_id":"_local\\/purge-x"}]}'),
  ]);

  for (const body of DESIGNS) {
    it(`asks as dbadmin for a holder of _design – POST /h10 ${body.slice(0, 60)}`, async () => {
      const answer = await gate.send(post('reader+design', body));
      assert.equal(privilegeOf(answer), 'dbadmin');
      assert.equal(answer.reached[0]?.body.toString(), body);
    });
  }
  for (const body of ORDINARY) {
    it(`asks as member, with the very bytes, decoded – POST /h10 ${body}`, async () => {
      for (const sent of [Buffer.from(body), gzipSync(body)]) {
        const headers = sent.length === Buffer.byteLength(body) ? [] : [GZIP];
        const answer = await gate.send(post('writer', sent, ...headers));
        assert.equal(privilegeOf(answer), 'member');
        const [request] = answer.reached;
        assert.deepEqual(request?.body, Buffer.from(body));
        assert.equal(request.headers['content-encoding'], undefined);
        if (gate.couchdb !== undefined) assert.ok([201, 400, 409].includes(answer.status), answer.body);
      }
    });
  }

  it('inflates every member of a gzip body, as CouchDB does – POST /h10 – 403', async () => {
    const body = Buffer.concat([gzipSync('{"a":1,"_id":"_des'), gzipSync('ign/x"}')]);
    const answer = await gate.send(post('writer', body, GZIP));
    assert.deepEqual([answer.status, answer.reached], [403, []]);
  });

  refuseAll(gate, 415, [
    ...['deflate', 'br', 'GZIP', 'x-gzip', 'gzip, gzip', 'Identity'].map((encoding) =>
      post('writer', '{"_id":"_design/x"}', `Content-Encoding: ${encoding}`),
    ),
    { line: 'POST /h10', as: 'writer', headers: ['Content-Type: text/plain'], body: '{"_id":"_design/x"}' },
    {
      line: 'POST /h10',
      as: 'writer',
      headers: ['Content-Type: multipart/form-data; boundary=x'],
      body: '--x--',
    },
    { line: 'POST /h10/_bulk_docs', as: 'design', headers: ['Content-Type: text/json'], body: '{"docs":[]}' },
  ]);
  refuseAll(gate, 400, [
    post('writer', '{"_id":"_design/x"}', GZIP),
    post('writer', gzipSync('{"_id":"_design/x"}').subarray(0, 20), GZIP),
  ]);
  refuseAll(gate, 413, [
    post('writer', gzipSync(`{"a":"${'x'.repeat(LIMIT)}"}`), GZIP),
    post('writer', gzipSync(Buffer.alloc(50_000_000, 32)), GZIP),
    { line: 'POST /h10', as: 'writer', headers: [JSON_TYPE, `Content-Length: ${LIMIT + 1}`] },
    bulk('design', `{"docs":[${' '.repeat(LIMIT)}]}`),
  ]);

  it('refuses a chunked body past the limit while it comes – POST /h10 – 413', async () => {
    const chunk = `${(50_000).toString(16)}\r\n${' '.repeat(50_000)}\r\n`;
    const headers = [JSON_TYPE, 'Transfer-Encoding: chunked'];
    const answer = await gate.send({ line: 'POST /h10', as: 'writer', headers, body: chunk.repeat(3) });
    assert.deepEqual([answer.status, answer.reached], [413, []]);
  });

  it('does not read a body that cannot help – POST /h10 as nobody and as a _reader – answered before it comes', async () => {
    const headers = [JSON_TYPE, 'Content-Length: 100'];
    assert.equal((await gate.send({ line: 'POST /h10', headers })).status, 401);
    assert.equal((await gate.send({ line: 'POST /h10', as: 'reader', headers })).status, 403);
    assert.equal((await gate.send({ line: 'POST /h10/_bulk_docs', as: 'reader', headers })).status, 403);
  });

  it('streams what need not be read, whatever its size – POST /h10/_bulk_docs as a _writer', async () => {
    const docs = Array.from({ length: 3 }, (_, index) => ({ _id: `big-${index}`, pad: 'x'.repeat(LIMIT) }));
    const answer = await gate.send(bulk('writer', JSON.stringify({ docs })));
    assert.equal(privilegeOf(answer), 'member');
    assert.ok(answer.status < 300, answer.body);
  });

  for (const body of INTERNAL) {
    it(`writes none of CouchDB's own documents – POST /h10/_bulk_docs ${body.slice(0, 60)} as a _writer – 403`, async () => {
      const plain = await gate.send(bulk('writer', body));
      const gzipped = await gate.send(bulk('writer', gzipSync(body), GZIP));
      // Too long to be kept in memory, so it is streamed.
      const long = await gate.send(bulk('writer', body.replace(']', `,{"pad":"${'x'.repeat(70_000)}"}]`)));
      assert.deepEqual([plain.status, gzipped.status, long.status], [403, 403, 403]);
      if (gate.couchdb === undefined) return;
      assert.equal((await gate.couchdb.ask('GET', '/h10/_local/purge-x')).status, 404);
      assert.equal((await gate.couchdb.ask('GET', '/h10/with-internal')).status, 404);
    });
  }

  for (const as of ['writer', 'design+writer'])
    it(`passes a text that is no id – POST /h10/_bulk_docs as ${as}`, async () => {
      const short = `{"new_edits":false,"docs":[{"_id":"harmless","_rev":"1-a",${HARMLESS}}]}`;
      const long = short.replace('"text"', `"pad":"${'x'.repeat(70_000)}","text"`);
      for (const [body, ...headers] of [[short], [gzipSync(short), GZIP], [long]] as const) {
        const answer = await gate.send(bulk(as, body, ...headers));
        assert.ok(answer.status < 300, answer.body);
      }
    });

  it('sees an id that comes in two pieces – POST /h10/_bulk_docs as a _writer – 403', async () => {
    const pad = `{"docs":[{"_id":"with-internal","pad":"${'x'.repeat(LIMIT)}"},{"_id":"_loc`;
    const rest = 'al/purge-x"}]}';
    const answer = await gate.send({
      ...bulk(
        'writer',
        `${pad.length.toString(16)}\r\n${pad}\r\n${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`,
      ),
      headers: [JSON_TYPE, 'Transfer-Encoding: chunked'],
    });
    assert.equal(answer.status, 403);
  });

  it('leaves the design documents of a bulk write to CouchDB – POST /h10/_bulk_docs as a _writer – asked as member', async () => {
    const body =
      '{"docs":[{"_id":"plain","text":"\\"_local/purge-x"},{"_id":"_design/by-writer"},{"_id":"_local/purge"}]}';
    const answer = await gate.send(bulk('writer', body));
    assert.equal(privilegeOf(answer), 'member');
    if (gate.couchdb === undefined) return;
    assert.match(answer.body, /"id":"_design\/by-writer","(rev":[^}]*,")?error":"forbidden"/);
    assert.equal((await gate.couchdb.ask('GET', '/h10/_design/by-writer')).status, 404);
    assert.equal((await gate.couchdb.ask('GET', '/h10/plain')).status, 200);
  });

  it('writes design documents in bulk for who holds both – POST /h10/_bulk_docs – asked as dbadmin', async () => {
    const answer = await gate.send(
      bulk('design+writer', '{"docs":[{"_id":"plain-2"},{"_id":"_design/by-both"}]}'),
    );
    assert.equal(privilegeOf(answer), 'dbadmin');
    if (gate.couchdb === undefined) return;
    assert.equal((await gate.couchdb.ask('GET', '/h10/_design/by-both')).status, 200);
  });

  it('takes the id of a PUT from its path – PUT /h10/put {"_id":"_design/x"} – asked as member', async () => {
    const answer = await gate.send({
      ...post('writer', '{"_id":"_design/from-body"}'),
      line: 'PUT /h10/put',
    });
    assert.equal(privilegeOf(answer), 'member');
    if (gate.couchdb === undefined) return;
    assert.equal((await gate.couchdb.ask('GET', '/h10/_design/from-body')).status, 404);
  });

  refuseAll(gate, 403, [
    copy('reader+writer', '_design/x'),
    copy('reader+writer', '_design%2Fx'),
    copy('reader+writer', '%5Fdesign/x'),
    copy('reader+writer', '%5fdesign%2fx?rev=1-abc'),
    copy('reader+writer', '_local/purge-mrview-1'),
    copy('reader+writer', '_local%2Fshard-sync-a-b'),
    copy('reader+writer', '%5Fdesign/%zz'),
    copy('reader+writer', '_local/%70urge-%'),
    copy('writer', 'copy'),
    copy('reader', 'copy'),
    copy('admin', '_local/purge-x'),
    { line: 'PUT /h10/_local/purge-mem3-1', as: 'owner', body: '{}' },
    { line: 'PUT /h10/_local%2Fshard-sync-a-b', as: 'admin', body: '{}' },
    { line: 'DELETE /h10/%5Flocal/%70urge-x', as: 'writer' },
  ]);
  refuseAll(gate, 400, [
    copy('reader+writer', 'http://couchgate.example/h10/x'),
    copy('reader+writer', 'https://couchgate.example/h10/x'),
    copy('reader+writer', 'HTTP://couchgate.example/h10/x'),
    copy('reader+writer', 'x?rev=1-a&rev=2-b'),
    copy('reader+writer', 'x?new_edits=false'),
    copy('reader+writer', '%ff'),
    copy('reader+writer', '%ed%a0%80'),
    copy('reader+writer', 'd\u00e9j\u00e0'),
    copy('reader+writer', '_design/'),
    copy('reader+writer', '_security'),
    copy('reader+writer', '_design%'),
    copy('reader+writer', '_design%2/x'),
    copy('reader+writer', ''),
    { line: 'COPY /h10/doc', as: 'reader+writer' },
  ]);
  for (const [destination, sent, privilege, as] of [
    ['_design%2Fcopy', '_design%2Fcopy', 'dbadmin', 'reader+design'],
    ['%5Fdesign/copy', '_design%2Fcopy', 'dbadmin', 'reader+design'],
    ['../h10-b/x', '..%2Fh10-b%2Fx', 'member', 'reader+writer'],
    ['a+b', 'a%20b', 'member', 'reader+writer'],
    ['my doc', 'my%20doc', 'member', 'reader+writer'],
    ['x\u00e5\u0095\u008ax', 'x%E5%95%8Ax', 'member', 'reader+writer'],
    ['h#x', 'h%23x', 'member', 'reader+writer'],
    ['100%', '100%25', 'member', 'reader+writer'],
    ['%zz', '%25zz', 'member', 'reader+writer'],
    ['%%5Fdesign/x', '%25_design%2Fx', 'member', 'reader+writer'],
    [' _design/x', '_design%2Fx', 'dbadmin', 'reader+design'],
    ['%20_design/x', '%20_design%2Fx', 'member', 'reader+writer'],
    ['a%00b', 'a%00b', 'member', 'reader+writer'],
    ['..', '..', 'member', 'reader+writer'],
    ['_local/copy', '_local%2Fcopy', 'member', 'reader+writer'],
  ] as const) {
    it(`sends Destination: ${sent} for ${destination} – COPY /h10/doc – asked as ${privilege}`, async () => {
      const answer = await gate.send(copy(as, destination));
      assert.equal(answer.reached[0]?.headers['destination'], sent);
      assert.equal(privilegeOf(answer), privilege);
    });
  }

  it('bounds what all bodies take together – POST /h10, 12 of three callers held back at once – 503 for the last, and room again after', async () => {
    const senders = await Promise.all(Array.from({ length: 12 }, () => connectRaw(gate.front.port)));
    for (const [at, sender] of senders.entries()) {
      const caller = ['writer', 'reader+writer', 'design+writer'][at % 3] ?? '';
      const head = `POST /h10 HTTP/1.1\r\nHost: a\r\nx-test-caller: ${caller}\r\n${JSON_TYPE}\r\nContent-Length: ${LIMIT}\r\n\r\n`;
      sender.send(`${head}{"_id":"x","pad":"${'x'.repeat(LIMIT - 100)}`);
    }
    await until(
      () => senders.filter(({ received }) => received.includes(' 503 ')).length === 4,
      'four are refused',
    );
    assert.equal(
      senders.every(({ received }) => received === '' || received.includes('Retry-After: 1')),
      true,
    );
    for (const { socket } of senders) socket.destroy();
    await until(async () => (await gate.front.connections()) === 0, 'all connections are closed');
    const answer = await gate.send(post('writer', `{"pad":"${'x'.repeat(LIMIT - 100)}"}`));
    assert.ok(answer.status < 300, answer.body);
  });

  it('forgets bodies whose senders leave – POST /h10, cut short 50 times – nothing is kept or forwarded', async () => {
    gate.front.takeAll();
    const head = `POST /h10 HTTP/1.1\r\nHost: a\r\nx-test-caller: writer\r\n${JSON_TYPE}\r\nContent-Length: 50000\r\n\r\n`;
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const socket = connect(gate.front.port, '127.0.0.1');
        socket.on('error', () => undefined);
        await new Promise<void>((resolve) => socket.write(`${head}{"_id":"x`, () => resolve()));
        socket.destroy();
      }),
    );
    await until(async () => (await gate.front.connections()) === 0, 'all connections are closed');
    assert.deepEqual(gate.front.takeAll(), []);
    assert.deepEqual(gate.front.failures, []);
  });
});
