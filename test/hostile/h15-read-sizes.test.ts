// H15: a small request must not make Couchgate read, keep and parse any amount of CouchDB's data.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { createCouch, type CouchClient } from '../../src/couch/client.ts';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { AnswerTooLarge } from '../../src/couch/failure.ts';
import { createTransfer } from '../../src/couch/transfer.ts';
import { refuseOthersJobs } from '../../src/guard/replication-jobs.ts';
import { Forbidden, TooLarge } from '../../src/http-errors.ts';
import { answerJson, startScriptedNode, type Script, type ScriptedNode } from '../support/scripted-node.ts';
import { until } from '../support/until.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(script: Script): Promise<{ node: ScriptedNode; couch: CouchClient; failed: string[] }> {
  const node = await startScriptedNode(script);
  const failed: string[] = [];
  const couch = createCouch({
    pickNode: (tried) => (tried.size > 3 ? undefined : { url: node.url }),
    authorization: () => 'Bearer own',
    nodeFailed: (_url, reason) => failed.push(reason),
    connectTimeoutMs: 500,
  });
  closers.push(
    () => node.close(),
    () => couch.close(),
  );
  return { node, couch, failed };
}

describe('H15 an answer to a request of Couchgate', () => {
  it('is broken off at its limit, once, and is no fault of the node', async () => {
    const { node, couch, failed } = await open((_request, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' });
      const more = (): void => {
        while (res.write('x'.repeat(16_384)));
        res.once('drain', more);
      };
      more();
    });
    for (const exact of [true, false])
      await assert.rejects(
        couch.ask({ method: 'GET', path: '/a', maxBytes: 100_000, exact }),
        AnswerTooLarge,
      );
    assert.equal(node.received.length, 2);
    assert.deepEqual(failed, []);
  });

  it('is broken off at its limit, once, in a transfer too', async () => {
    const { node, failed } = await open((_request, res) => void res.end('x'.repeat(100)));
    const couch = createTransfer({
      pickNode: (tried) => (tried.has(node.url) ? undefined : { url: node.url }),
      authorization: () => 'Bearer own',
      nodeFailed: (_url, reason) => failed.push(reason),
      connectTimeoutMs: 500,
    });
    closers.push(() => couch.close());
    await assert.rejects(couch.ask({ method: 'GET', path: '/a' }, 99), AnswerTooLarge);
    assert.equal((await couch.ask({ method: 'GET', path: '/a' }, 100)).bytes.length, 100);
    assert.deepEqual([node.received.length, failed], [2, []]);
  });

  it('is parsed in portions when it is large, so that other work goes on', async () => {
    const json = JSON.stringify({ rows: Array.from({ length: 300_000 }, (_, n) => ({ n })) });
    const { couch } = await open((_request, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' }).end(json);
    });
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    const parse = JSON.parse;
    let largest = 0;
    JSON.parse = (text: string) => {
      largest = Math.max(largest, text.length);
      return parse(text) as unknown;
    };
    try {
      const asked = couch.ask({ method: 'GET', path: '/a' });
      count();
      const { body, bytes } = await asked;
      assert.equal(JSON.stringify(body), json);
      assert.equal(bytes, json.length);
    } finally {
      isOver = true;
      JSON.parse = parse;
    }
    assert.ok(largest < 300_000, `${largest} characters were parsed at once`);
    assert.ok(turns > 1, `${turns} > 1`);
  });

  it('is a smaller page when a page of changes is too large', async () => {
    const limits: number[] = [];
    const { couch } = await open(({ url }, res) => {
      const query = new URL(url, 'http://x').searchParams;
      const limit = Number(query.get('limit'));
      const since = Number(query.get('since') === 'now' ? 0 : query.get('since'));
      const results = Array.from({ length: Math.min(limit, 20 - since) }, (_, n) => ({
        seq: since + n + 1,
        id: 'a',
      }));
      if (query.get('feed') === 'continuous') {
        res.writeHead(200, { 'Content-Type': 'application/json' });
        // The first feed ends, so that the next one catches up.
        if (limits.length === 0) res.end('\n');
        else res.write('\n');
        return;
      }
      if (limit > 0) limits.push(limit);
      if (limit > 16) {
        res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000000000' });
        const piece = Buffer.alloc(1 << 20, ' ');
        const more = (): void => {
          while (res.write(piece));
          res.once('drain', more);
        };
        more();
      } else answerJson(res, 200, { results, last_seq: results.at(-1)?.seq ?? since });
    });
    let changes = 0;
    couch.follow('db', { change: () => (changes += 1), state: () => undefined });
    await until(() => changes === 20);
    assert.deepEqual(limits, [1000, 125, 16, 16]);
  });
});

describe('H15 the owners of replication documents', () => {
  const principal = { kind: 'key', name: 'mine' } as const;

  /** A cluster with 100 jobs of the caller, `a0` to `a99`, and one of another. */
  function jobs(bytesOf: (keys: readonly string[]) => number) {
    const asked: CouchRequest[] = [];
    const ask = (request: CouchRequest) => {
      asked.push(request);
      const { keys } = request.body as { readonly keys: readonly string[] };
      const bytes = bytesOf(keys);
      if (bytes > (request.maxBytes ?? Infinity)) return Promise.reject(new AnswerTooLarge('too large'));
      const rows = keys.map((key) =>
        /^(a\d+|theirs)$/.test(key)
          ? { id: key, key, value: { rev: '1-a' }, doc: { owner: key === 'theirs' ? 'somebody' : 'mine' } }
          : { key, error: 'not_found' },
      );
      return Promise.resolve({ status: 200, body: { rows }, bytes });
    };
    return { asked, couch: { ask } };
  }
  const documentsAsked = (asked: readonly CouchRequest[]): number =>
    asked
      .filter(({ path }) => path.includes('include_docs'))
      .reduce((sum, { body }) => sum + (body as { keys: unknown[] }).keys.length, 0);

  it('are read once for each document, and only of those that exist, few at once, as reads of the caller', async () => {
    const { asked, couch } = jobs(() => 100);
    const ids = [...Array<string>(20_000).fill('a1'), ...Array.from({ length: 2000 }, (_, n) => `new${n}`)];
    await refuseOthersJobs(couch, [...ids, ...Array.from({ length: 20 }, (_, n) => `a${n}`)], principal);
    assert.equal(documentsAsked(asked), 20);
    for (const { path, body, caller, maxBytes } of asked) {
      assert.equal(caller, 'mine');
      assert.equal((maxBytes ?? Infinity) <= 64 * 1024 * 1024, true);
      if (path.includes('include_docs')) assert.equal((body as { keys: unknown[] }).keys.length <= 8, true);
    }
    await assert.rejects(refuseOthersJobs(couch, ['a1', 'theirs'], principal), Forbidden);
  });

  it('are not read beyond 64 MiB for a request – 413', async () => {
    const { asked, couch } = jobs((keys) => keys.length * 1_000_000);
    const ids = Array.from({ length: 100 }, (_, n) => `a${n}`);
    await assert.rejects(refuseOthersJobs(couch, ids, principal), TooLarge);
    assert.equal(documentsAsked(asked) <= 72, true);
  });
});
