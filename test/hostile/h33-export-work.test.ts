// H33: an export as a way to stop the other requests of the process, or to take all its memory.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { documentPages } from '../../src/export/document-pages.ts';
import { exportText } from '../../src/export/export-text.ts';
import { parseExportOptions } from '../../src/export/options.ts';
import { HttpError } from '../../src/http-errors.ts';
import { countTurns } from '../support/turns.ts';

type Doc = Readonly<Record<string, unknown>> & { readonly _id: string };

const PIECE = 256 * 1024;

/** Where a page begins. */
const startIn = (body: TransferRequest['body']): string | undefined =>
  (JSON.parse(typeof body === 'string' ? body : '{}') as { readonly start_key?: string }).start_key;

/** A CouchDB with these documents, and with `leaf` as every losing revision. */
function couchWith(docs: readonly Doc[], leaf?: object): Pick<CouchTransfer, 'ask'> & { leaves: number } {
  const couch = {
    leaves: 0,
    ask: async ({ path, body }: TransferRequest) => {
      await Promise.resolve();
      const query = new URL(path, 'http://couch').searchParams;
      if (path.endsWith('/_bulk_get')) couch.leaves += 1;
      const start = startIn(body) ?? '';
      const rows = docs
        .filter(({ _id: id }) => id >= start)
        .slice(0, Number(query.get('limit')))
        .map((doc) => ({ id: doc._id, doc }));
      const answer = path.endsWith('/_bulk_get') ? { results: [{ docs: [{ ok: leaf }] }] } : { rows };
      return { status: 200, bytes: Buffer.from(JSON.stringify(answer)) };
    },
  };
  return couch;
}

/** A CouchDB with one document, in these bytes. */
function couchWithText(text: string): Pick<CouchTransfer, 'ask'> {
  const rows = `{"rows":[{"id":"a","doc":${text}}]}`;
  return {
    ask: ({ body }) => {
      const text = startIn(body) === undefined ? rows : '{"rows":[]}';
      return Promise.resolve({ status: 200, bytes: Buffer.from(text) });
    },
  };
}

/** A long number may be quoted, a list and an object are. */
const cellOf = (json: string): string => (/^\d+$/.test(json) ? json : `"${json.replaceAll('"', '""')}"`);

function piecesOf(couch: Pick<CouchTransfer, 'ask'>, query: string): AsyncGenerator<string> {
  const options = parseExportOptions(query);
  const source = { couch, database: 'db', signal: new AbortController().signal };
  return exportText(documentPages(source, options), options, { documents: 0, leftOut: [] });
}

const idOf = (at: number): string => `d${String(at).padStart(5, '0')}`;
const docsOf = (count: number, more: (at: number) => object): readonly Doc[] =>
  Array.from({ length: count }, (_, at) => ({ _id: idOf(at), ...more(at) }));
const namesOf = (count: number, begin = 'k'): readonly string[] =>
  Array.from({ length: count }, (_, at) => `${begin}${at}`);
const fieldsOf = (names: readonly string[], value: unknown = 0): object =>
  Object.fromEntries(names.map((name) => [name, value]));
const cellsIn = (piece: string): number => piece.split(/,|\r\n/).length;

/** Runs an export and returns its longest piece, its text, and how many turns of the event loop it took. */
async function run(
  pieces: AsyncGenerator<string>,
): Promise<{ longest: string; text: string; turns: number }> {
  const turns = countTurns();
  let longest = '';
  let text = '';
  try {
    for await (const piece of pieces) {
      text += piece;
      if (piece.length > longest.length) longest = piece;
    }
  } finally {
    turns();
  }
  return { longest, text, turns: turns() };
}

async function refusalOf(query: string, couch = couchWith([])): Promise<string> {
  try {
    await run(piecesOf(couch, query));
  } catch (error) {
    assert.ok(error instanceof HttpError && error.status === 400, String(error));
    return error.message;
  }
  throw new Error(`not refused: ${query.slice(0, 100)}`);
}

describe('H33: the work and the memory of exports', () => {
  it('refuses fields that are long, deep or many, and names every problem – 400', async () => {
    const deep = 'a.'.repeat(21) + 'a';
    const reason = await refusalOf(`fields=b,b,${deep},${'c'.repeat(1001)}`);
    for (const part of ['"b"', '20 dots: "a.a.', '1000 bytes: "ccc'])
      assert.ok(reason.includes(part), reason);
    assert.match(await refusalOf(`fields=${namesOf(1001).join(',')}`), /more than 1000 names/);
    const most = `fields=${'a.'.repeat(20)}a,${'c'.repeat(1000)}&missing=empty`;
    assert.equal((await run(piecesOf(couchWith([]), most))).text, '[\n]\n');
  });

  it('finds names with dots, and paths through them', async () => {
    const doc = { _id: 'a', a: { b: 1, 'b.c': { d: 2 } }, 'a.b': { e: [{ f: 3 }] }, 'a.b.g': 7 };
    const couch = couchWith([doc]);
    const { text: found } = await run(piecesOf(couch, 'format=jsonl&fields=a.b.c.d,a.b.e.0.f,a.b.g,a.b'));
    assert.equal(found, '{"a.b.c.d":2,"a.b.e.0.f":3,"a.b.g":7,"a.b":{"e":[{"f":3}]}}\n');
  });

  it('looks a name of a document with many dots up once in each document', async (t: TestContext) => {
    const lookups = t.mock.method(Object, 'hasOwn');
    const docs = docsOf(100, (at) => (at === 0 ? { ['a.'.repeat(500) + 'a']: 1 } : {}));
    await run(piecesOf(couchWith(docs), 'format=csv'));
    assert.ok(lookups.mock.callCount() < 1000, `${lookups.mock.callCount()} lookups`);
  });

  it('lets other requests run while it looks for fields, and while it leaves them out', async () => {
    const couch = couchWith(docsOf(1000, () => ({})));
    const fields = `fields=${namesOf(300, 'a.b.c').join(',')}`;
    const searching = countTurns();
    await refusalOf(fields, couch).finally(searching);
    assert.ok(searching() >= 100, `${searching()} turns of the event loop`);
    for (const format of ['json', 'jsonl', 'csv']) {
      const { turns } = await run(piecesOf(couch, `format=${format}&missing=empty&${fields}`));
      assert.ok(turns >= 100, `${format}: ${turns} turns of the event loop`);
    }
  });

  it('refuses a table of more than 1000 columns that nobody chose – 400', async () => {
    const couch = couchWith(docsOf(50, (at) => fieldsOf(namesOf(30, `k${at}-`))));
    assert.match(await refusalOf('format=csv', couch), /more than 1000 fields.*`fields=`/);
    assert.equal((await run(piecesOf(couch, 'format=csv&fields=_id'))).text.split('\r\n').length, 52);
  });

  it('writes a wide table in pieces of some thousand cells, and the same table', async () => {
    const names = namesOf(900);
    const { longest, text, turns } = await run(
      piecesOf(couchWith(docsOf(200, () => fieldsOf(names))), 'format=csv'),
    );
    assert.ok(cellsIn(longest) <= 20_000, `${cellsIn(longest)} cells`);
    assert.ok(turns >= 20, `${turns} turns of the event loop`);
    const rows = text.split('\r\n');
    assert.equal(rows[0], ['_id', '_rev', ...names].join(','));
    for (const [at, row] of rows.slice(1, -1).entries())
      assert.equal(row, `${idOf(at)},,${names.map(() => 0).join(',')}`);
  });

  it('reads losing revisions one by one, as the client takes them', async () => {
    const revs = namesOf(200, '1-');
    const leaf = { _id: 'a', text: 'x'.repeat(100_000) };
    for (const query of ['format=json', 'format=jsonl', 'fields=_id', 'format=csv']) {
      const couch = couchWith([{ _id: 'a', _conflicts: revs, text: '' }], leaf);
      const pieces = piecesOf(couch, `conflicts=true&${query}`);
      await pieces.next();
      await pieces.next();
      // A table needs a sample of 8 MB to find its columns.
      assert.ok(couch.leaves <= (/csv|fields/.test(query) ? 90 : 10), `${query}: ${couch.leaves}`);
      const { longest } = await run(pieces);
      assert.equal(couch.leaves, revs.length);
      assert.ok(longest.length <= PIECE + 100_100, `${query}: a piece of ${longest.length}`);
    }
  });

  it('writes a value that several fields repeat in several pieces', async () => {
    const size = 400_000;
    let nested: object = { a: 'x'.repeat(size) };
    for (let depth = 0; depth < 20; depth += 1) nested = { a: nested };
    const couch = couchWith([{ _id: 'a', ...nested }]);
    const fields = Array.from({ length: 20 }, (_, at) => 'a.'.repeat(at) + 'a');
    for (const format of ['json', 'jsonl', 'csv']) {
      const { longest, text } = await run(piecesOf(couch, `format=${format}&fields=${fields.join(',')}`));
      assert.ok(text.length > 20 * size, `${text.length} > 20 * size`);
      assert.ok(longest.length <= PIECE + 1.1 * size, `${format}: a piece of ${longest.length}`);
      if (format === 'json') assert.deepEqual(Object.keys((JSON.parse(text) as object[])[0] ?? {}), fields);
    }
  });

  it('reads a large page in portions, whatever it holds', async () => {
    const number = 12345678901234567890n;
    const text = `{"_id":"a","n":${number},"x":"${'\\u0001'.repeat(200_000)}","y":[${'{},'.repeat(300_000)}1]}`;
    const { turns, text: found } = await run(piecesOf(couchWithText(text), 'format=jsonl'));
    assert.ok(turns >= 20, `${turns} turns of the event loop`);
    assert.ok(found === `${text}\n`, 'the document is the same');
    const broken = { ask: () => Promise.resolve({ status: 200, bytes: Buffer.from('{"rows":[') }) };
    await assert.rejects(run(piecesOf(broken, 'format=jsonl')), { status: 502 });
  });

  it('writes a value of many exact numbers, of long names or many levels in short pieces, and the same value', async () => {
    for (const value of [
      `[${'12345678901234567,'.repeat(100_000)}-12345678901234567]`,
      `{"a":[${'{},'.repeat(500_000)}{}],"${'\\u0001'.repeat(200_000)}":1,"toJSON":12345678901234567}`,
      '7'.repeat(1_000_000),
      `${'[{"a":'.repeat(20_000)}12345678901234567${'}]'.repeat(20_000)}`,
    ]) {
      const text = `{"_id":"a","x":${value}}`;
      for (const [query, expected] of [
        ['format=json', `[\n${text}\n]\n`],
        ['format=jsonl', `${text}\n`],
        ['format=jsonl&fields=x,_id', `{"x":${value},"_id":"a"}\n`],
        ['format=csv&fields=_id,x', `_id,x\r\na,${cellOf(value)}\r\n`],
      ] as const) {
        const { longest, text: found } = await run(piecesOf(couchWithText(text), query));
        assert.ok(found === expected, `${query}: ${value.slice(0, 30)}`);
        assert.ok(
          value.startsWith('7') || longest.length <= 2 * PIECE,
          `${query}: a piece of ${longest.length}`,
        );
      }
    }
  });

  it('converts no number of a million digits for a table', async (t: TestContext) => {
    const converted = t.mock.method(globalThis, 'BigInt');
    const digits = '9'.repeat(1_000_000);
    const { text } = await run(
      piecesOf(couchWithText(`{"_id":"a","x":${digits},"y":-12345678901234567}`), 'format=csv'),
    );
    assert.equal(text, `_id,_rev,x,y\r\na,,${digits},-12345678901234567\r\n`);
    assert.equal(converted.mock.callCount(), 1);
  });

  it('writes a row for each document in a table of one column, also for one without a value', async () => {
    const couch = couchWith([{ _id: 'a', x: 1 }, { _id: 'b' }, { _id: 'c', x: '' }, { _id: 'd', x: 4 }]);
    assert.equal((await run(piecesOf(couch, 'format=csv&fields=x'))).text, 'x\r\n1\r\n""\r\n""\r\n4\r\n');
  });

  it('writes a cell with a million formulas in slices, and the same cell', async () => {
    // The value begins with one unit, so that a slice ends between the two of a pair, and of a formula.
    for (const unit of [';=', '"', '\ud83d\ude00', 'a;=']) {
      const value = `=${unit.repeat(300_000)}`;
      for (const formulas of ['escape', 'keep']) {
        const couch = couchWith([{ _id: 'a', x: value, y: 'z' }, { _id: 'b', x: 1, y: value }, { _id: 'c' }]);
        const { longest, text } = await run(
          piecesOf(couch, `format=csv&fields=_id,x,y${formulas === 'keep' ? '&formulas=keep' : ''}`),
        );
        const safe = `'${value.replaceAll(';=', ";'=")}`;
        const cell = `"${(formulas === 'keep' ? value : safe).replaceAll('"', '""')}"`;
        assert.ok(
          text === `_id,x,y\r\na,${cell},z\r\nb,1,${cell}\r\nc,,\r\n`,
          `${JSON.stringify(unit)} ${formulas}`,
        );
        assert.ok(longest.length <= PIECE, `a piece of ${longest.length}`);
        assert.ok(Buffer.from(longest).toString() === longest, 'no half of a pair');
      }
    }
  });
});
