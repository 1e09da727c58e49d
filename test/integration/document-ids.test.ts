// One reading of an id: what a body can write, a path can name – read, change, copy, delete, with attachments. COUCHGATE_PROPERTY_FACTOR=10 takes ten times as many.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { markersOf } from '../../src/principal/marker.ts';
import { bytesOf, couchReading, routed, spell } from '../support/couch-path.ts';
import { describeHostile, type Answer, type Gate } from '../support/hostile.ts';

const FACTOR = Number(process.env['COUCHGATE_PROPERTY_FACTOR'] ?? 1);
const DATABASE = 'ids';
const CALLER = 'reader+writer+design';
const JSON_TYPE = 'Content-Type: application/json';

/** Ids that a parser on the way may change, and names that CouchDB routes by. */
const TELLING = [
  ...['.', '..', '...', '../x', './x', 'x/..', 'a/../b', '../../_users/x', '%2e', '%2E%2e', '%252e'],
  ...['\0', 'a\0b', '\0/\0', '\u0001', '\t', '\n', '\r\n', '\u007f', '\u0080', '\u2028', '\ufeff', '\uffff'],
  ...[
    '/',
    '//',
    '/x',
    'x/',
    'a//b',
    '\\',
    '#',
    '?',
    '?rev=1-a',
    '&',
    ';',
    '%',
    '%zz',
    '%00',
    '+',
    ' ',
    ' x ',
  ],
  ...[
    '"',
    "'",
    '<',
    '>',
    '|',
    '^',
    '`',
    '{}',
    '[]',
    '*',
    ':',
    '@',
    'http://x',
    'http:/x',
    '~',
    '!',
    '$',
    '(',
  ],
  ...['é', 'e\u0301', 'ß', '啊', '\u{1f600}', '\u{10ffff}', 'x_all_docs', '%5Fdesign/x', ' _design/x'],
  ...['favicon.ico', 'generate_api_key', 'org.couchdb.user:x', 'constructor', 'x__proto__'],
];

const plainId = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(...TELLING) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }) },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.constantFrom(...TELLING), { minLength: 2, maxLength: 3 })
      .map((parts) => parts.join('')),
  },
);
const id = fc
  .tuple(fc.constantFrom('', '', '', '', '_design/', '_local/'), plainId)
  .map(([prefix, name]) => prefix + name)
  .filter((each) => !each.startsWith('_') || each.includes('/'))
  .filter((each) => !/^_local\/(?:purge-|shard-sync-)/.test(each));
const attachment = plainId.filter((name) => !name.startsWith('_'));
const choices = fc.array(fc.nat(59), { minLength: 1, maxLength: 20 });

/** The segments of a document's path, its first slash standing for itself behind `_design` and `_local`. */
function segmentsOf(document: string): readonly string[] {
  const [, kind, name] = /^(_design|_local)\/(.*)$/s.exec(document) ?? [];
  return kind === undefined || name === undefined ? [document] : [kind, name];
}

/** The path of a document in one of its spellings; a raw `#` or space cannot stand in a target. */
function pathOf(document: string, spelling: readonly number[], ...more: readonly string[]): string {
  return spell([DATABASE, ...segmentsOf(document), ...more].map(bytesOf), spelling);
}

/** Asserts that CouchDB got exactly one request, and that its target names the document. */
function assertNames(answer: Answer, document: string, ...more: readonly string[]): void {
  const [got, ...others] = answer.reached;
  assert.ok(got !== undefined && others.length === 0, `${JSON.stringify(document)}: ${answer.body}`);
  const reading = couchReading(got.url);
  assert.ok('segments' in reading, got.url);
  const named = [DATABASE, ...segmentsOf(document), ...more].map(bytesOf);
  assert.deepEqual(routed(reading.segments), routed(named), got.url);
  // A program that normalises paths finds nothing to normalise at the first look.
  assert.ok(!got.url.split(/[/?]/).some((part) => part === '.' || part === '..'), got.url);
}

const bodyOf = (answer: Answer): Readonly<Record<string, unknown>> =>
  JSON.parse(Buffer.from(answer.body, 'latin1').toString()) as Readonly<Record<string, unknown>>;

describeHostile('One reading of an id', { databases: [DATABASE] }, (gate) => {
  it('reaches by path every id that a body can write – GET, PUT, DELETE, COPY, attachments', async () => {
    await fc.assert(
      fc.asyncProperty(id, attachment, choices, async (document, name, spelling) => {
        const isLocal = document.startsWith('_local/');
        const rev = await writtenByBody(gate, document);
        const changed = await change(gate, document, rev, spelling);
        const withFile = isLocal ? changed : await attach(gate, document, changed, name, spelling);
        if (!isLocal) await copyAndBack(gate, document, spelling);
        await remove(gate, document, withFile, spelling);
      }),
      { numRuns: (gate.couchdb === undefined ? 400 : 150) * FACTOR },
    );
  });

  for (const [what, body] of [
    ['a lone high surrogate', '{"_id":"\\ud800"}'],
    ['a lone low surrogate', '{"_id":"a\\uDC00b"}'],
    ['a surrogate at the end', '{"_id":"_design/x\\ud83d"}'],
    ['two high surrogates', '{"_id":"\\ud83d\\ud83d\\ude00"}'],
  ] as const) {
    for (const [line, sent] of [
      ['POST /ids', body],
      ['POST /ids/_bulk_docs', `{"docs":[${body}]}`],
    ] as const) {
      it(`refuses an id that no path can name – ${line} – ${what} – 400 illegal_docid`, async () => {
        const answer = await gate.send({ line, as: CALLER, headers: [JSON_TYPE], body: sent });
        assert.deepEqual([answer.status, bodyOf(answer)['error']], [400, 'illegal_docid']);
        assert.deepEqual(answer.reached, []);
      });
    }
  }

  for (const line of [
    'GET /ids/%ed%a0%80',
    'PUT /ids/%ff',
    'DELETE /ids/_local/%c0%af',
    'PUT /ids/_design%2F%ff',
  ]) {
    it(`refuses the same id in a path – ${line} – 400 illegal_docid`, async () => {
      const answer = await gate.send({ line, as: CALLER });
      assert.deepEqual([answer.status, bodyOf(answer)['error']], [400, 'illegal_docid']);
      assert.deepEqual(answer.reached, []);
    });
  }

  it('refuses the same id as a destination – COPY /ids/a – 400 illegal_docid', async () => {
    for (const destination of ['%ed%a0%80', '%ff', '\u00e9']) {
      const answer = await gate.send({
        line: 'COPY /ids/a',
        as: CALLER,
        headers: [`Destination: ${destination}`],
      });
      assert.deepEqual([answer.status, bodyOf(answer)['error']], [400, 'illegal_docid'], destination);
      assert.deepEqual(answer.reached, []);
    }
  });

  it('sends a path with dots with the marker of its own database alone – PUT /ids/../other/doc', async () => {
    for (const line of [
      'PUT /ids/../other/doc',
      'PUT /ids/%2e%2e/other/doc',
      'DELETE /ids/..',
      'GET /ids/./x',
    ]) {
      const { reached } = await gate.send({ line, as: 'reader+writer' });
      assert.equal(reached.length, 1, line);
      const [{ url, claims } = { url: '', claims: undefined }] = reached;
      assert.ok(url.startsWith('/ids/%2E'), url);
      const roles = claims?.roles ?? [];
      assert.ok(roles.includes(markersOf('ids').member), line);
      assert.ok(!roles.includes('_admin') && !roles.includes(markersOf('other').member), line);
    }
  });
});

/** Writes the document by `_bulk_docs`, over whatever has that id, and returns its revision. */
async function writtenByBody(gate: Gate, document: string): Promise<string> {
  const write = (more: object): Promise<Answer> =>
    gate.send({
      line: `POST /${DATABASE}/_bulk_docs`,
      as: CALLER,
      headers: [JSON_TYPE],
      body: JSON.stringify({ docs: [{ _id: document, ...more }] }),
    });
  const answer = await write({});
  if (gate.couchdb === undefined) return '1-a';
  assert.equal(answer.status, 201, answer.body);
  const [row] = JSON.parse(Buffer.from(answer.body, 'latin1').toString()) as { id: string; rev: string }[];
  assert.ok(row !== undefined, 'row is missing');
  assert.equal(row.id, document);
  return row.rev;
}

async function change(
  gate: Gate,
  document: string,
  rev: string,
  spelling: readonly number[],
): Promise<string> {
  const path = pathOf(document, spelling);
  const found = await gate.send({ line: `GET ${path}`, as: CALLER });
  assertNames(found, document);
  const body = JSON.stringify({ _rev: rev, changed: true });
  const put = await gate.send({ line: `PUT ${path}`, as: CALLER, headers: [JSON_TYPE], body });
  assertNames(put, document);
  if (gate.couchdb === undefined) return rev;
  assert.deepEqual([found.status, bodyOf(found)['_id']], [200, document], path);
  assert.equal(put.status, 201, `${path}: ${put.body}`);
  return String(bodyOf(put)['rev']);
}

async function attach(
  gate: Gate,
  document: string,
  rev: string,
  name: string,
  spelling: readonly number[],
): Promise<string> {
  const path = pathOf(document, spelling, name);
  const headers = ['Content-Type: text/plain'];
  const put = await gate.send({ line: `PUT ${path}?rev=${rev}`, as: CALLER, headers, body: 'file' });
  assertNames(put, document, name);
  const found = await gate.send({ line: `GET ${path}`, as: CALLER });
  assertNames(found, document, name);
  if (gate.couchdb === undefined) return rev;
  assert.equal(put.status, 201, `${path}: ${put.body}`);
  assert.deepEqual([found.status, found.body], [200, 'file'], path);
  const removed = await gate.send({
    line: `DELETE ${path}?rev=${String(bodyOf(put)['rev'])}`,
    as: CALLER,
  });
  assert.equal(removed.status, 200, `${path}: ${removed.body}`);
  return String(bodyOf(removed)['rev']);
}

/** Copies from the id, and to the id spelt raw and escaped in Destination. */
async function copyAndBack(gate: Gate, document: string, spelling: readonly number[]): Promise<void> {
  const from = await gate.send({
    line: `COPY ${pathOf(document, spelling)}`,
    as: CALLER,
    headers: ['Destination: copies'],
  });
  assertNames(from, document);
  const destination = encodeURIComponent(document);
  const headers = [`Destination: ${destination}?rev=9-none`];
  const to = await gate.send({ line: `COPY /${DATABASE}/copies`, as: CALLER, headers });
  assert.equal(to.reached[0]?.headers['destination'], `${destination}?rev=9-none`);
  if (gate.couchdb === undefined) return;
  assert.ok([201, 409].includes(from.status), from.body);
  // It exists in another revision, so CouchDB has understood which document is meant.
  assert.equal(to.status, 409, to.body);
}

async function remove(gate: Gate, document: string, rev: string, spelling: readonly number[]): Promise<void> {
  const path = pathOf(document, spelling);
  const gone = await gate.send({ line: `DELETE ${path}?rev=${rev}`, as: CALLER });
  assertNames(gone, document);
  if (gate.couchdb === undefined) return;
  assert.equal(gone.status, 200, `${path}: ${gone.body}`);
  const after = await gate.send({ line: `GET ${path}`, as: CALLER });
  assert.equal(after.status, 404);
  assert.equal((await gate.couchdb.ask('GET', `/${DATABASE}`)).status, 200, 'the database is still there');
}
