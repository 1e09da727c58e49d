// H33: an export as a way to documents without the role, past a revocation, or as formulas in a spreadsheet.
import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, it } from 'node:test';
import { FieldPath } from '../../src/export/field-path.ts';
import { csvHeader, csvRows } from '../../src/export/csv-rows.ts';
import { Work } from '../../src/export/work.ts';
import {
  basic,
  startCouchgate,
  type Answer,
  type Couchgate,
  type Credentials,
} from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

const FORMULAS = ['=1+1', '+1', '-1+2', '@SUM(A1)', '\t=1', '\r=1', '＝1', '=HYPERLINK("http://evil","x")'];

describe('H33: exports', () => {
  const started = closedAfterSuite();
  let gate: Couchgate;
  let reader: Credentials;
  let writer: Credentials;

  before(async () => {
    gate = await started(startCouchgate());
    [reader, writer] = [await gate.key(), await gate.key()];
    const grants = { [reader.name]: ['_reader'], [writer.name]: ['_writer', '_replicator', '_design'] };
    await gate.database('fruit', grants);
    await gate.database('other', {});
    const docs = [
      ...FORMULAS.map((formula, at) => ({ _id: `f${at}`, formula, number: -at, [`=field${at}`]: 1 })),
      ...Array.from({ length: 300 }, (_, at) => ({ _id: `x${at}`, text: 'y'.repeat(60_000) })),
    ];
    for (let at = 0; at < docs.length; at += 20)
      await gate.ask('POST', '/fruit/_bulk_docs', {
        as: gate.owner,
        body: { docs: docs.slice(at, at + 20) },
      });
  });

  const path = (database: string, query = ''): string =>
    `/_api/v2/db/${encodeURIComponent(database)}/_export${query}`;
  const get = (where: string, as?: Credentials): Promise<Answer> => gate.ask('GET', where, { as });

  it('needs _reader on this database – a _writer gets 403, nobody 401', async () => {
    assert.equal((await get(path('fruit'), reader)).status, 200);
    assert.equal((await get(path('fruit'), writer)).status, 403);
    assert.equal((await get(path('fruit'))).status, 401);
    assert.equal((await get(path('other'), reader)).status, 403);
  });

  it('is closed on system databases and on those of Couchgate, for the owner too', async () => {
    for (const database of [
      '_users',
      '_replicator',
      '_global_changes',
      'x/_replicator',
      'couchgate',
      'couchgate_history',
    ])
      for (const as of [gate.owner, reader]) {
        const { status } = await get(path(database), as);
        assert.ok([403, 404].includes(status), `${database}: ${status}`);
      }
  });

  it('reads with the token of the caller, never with that of Couchgate', async () => {
    gate.recorder.take();
    await get(path('fruit'), reader);
    const reads = gate.recorder.takeEverything().filter(({ url }) => url.startsWith('/fruit/_all_docs'));
    assert.notEqual(reads.length, 0);
    for (const { claims } of reads) {
      assert.equal(claims?.sub, reader.name);
      assert.equal(claims.roles.includes('_admin'), false);
    }
  });

  it('writes no cell that a spreadsheet runs, in the header either', async () => {
    const { body } = await get(path('fruit', '?format=csv&fields=_id,formula,number'), reader);
    const cells = String(body)
      .split('\r\n')
      .slice(1)
      .flatMap((line) => line.split(','));
    for (const cell of cells) {
      const bare = cell.replace(/^"/, '');
      if (!/^-\d+$/.test(bare)) assert.doesNotMatch(bare, /^[=+\-@\t\r＝＋－＠]/, JSON.stringify(cell));
    }
    const all = String((await get(path('fruit', '?format=csv'), reader)).body);
    assert.match(all.split('\r\n')[0] ?? '', /,'=field0,/);
  });

  it('writes no formula where another separator of a spreadsheet begins a cell', () => {
    const columns = ['_id', 'x\t=h'].map((field) => new FieldPath(field));
    const table = (text: unknown): string =>
      csvHeader(columns, 'escape') +
      [...csvRows([{ _id: 'a', 'x\t=h': text }], columns, new Work(), 'escape')].join('');
    for (const text of [
      'x;=1+1;y',
      'x\t+1',
      'x\n-1\ny',
      'x\r@a',
      'x;＝1',
      '=1;y',
      { a: 'x;=1+1;y' },
      'a\n- b',
    ])
      for (const separator of [';', '\t'])
        // Quotes within a cell mean nothing: only those at its beginning do.
        for (const cell of table(text).split(new RegExp(`[${separator}\r\n]`)))
          assert.doesNotMatch(cell, /^[=+\-@\t\r＝＋－＠]/, JSON.stringify(table(text)));
    assert.match(table('x;y'), /,"x;y"\r\n$/);
    assert.match(table('x\ty'), /,"x\ty"\r\n$/);
    assert.match(table('=1;y'), /,"'=1;y"\r\n$/);
    assert.match(table(-1), /,-1\r\n$/);
  });

  it('is cut when the permission is revoked, and the client sees that it is incomplete', async () => {
    const outcome = await new Promise<{ code: string }>((resolve, reject) => {
      const request = http.get(
        gate.url + path('fruit'),
        { headers: { Authorization: basic(reader) } },
        (answer) => {
          answer.on('error', (error: NodeJS.ErrnoException) => resolve({ code: error.code ?? '' }));
          answer.on('end', () => resolve({ code: answer.complete ? 'complete' : 'incomplete' }));
          answer.pause();
          answer.once('readable', () => undefined);
          gate.grant('fruit', {}).then(async () => {
            await until(() => gate.running.services.revocationWatch.count === 0, 'the end of the export');
            answer.resume();
          }, reject);
        },
      );
      request.on('error', reject);
    });
    assert.equal(outcome.code, 'ECONNRESET');
    await gate.grant('fruit', { [reader.name]: ['_reader'] });
  });

  it('holds a feed slot, and gives it back', async () => {
    const feeds = (): number =>
      gate.running.services.nodes.report().reduce((sum, node) => sum + node.feeds, 0);
    const before = feeds();
    await new Promise<void>((resolve, reject) => {
      const request = http.get(
        gate.url + path('fruit'),
        { headers: { Authorization: basic(reader) } },
        (answer) => {
          answer.pause();
          assert.equal(feeds(), before + 1);
          request.destroy();
          resolve();
        },
      );
      request.on('error', reject);
    });
    await until(() => feeds() === before, 'the slot of the export');
  });

  it('runs two at once for one caller, and cuts one whose client does not read', async () => {
    const other = await gate.key();
    await gate.grant('fruit', { [reader.name]: ['_reader'], [other.name]: ['_reader'] });
    const open = (as: Credentials, from = gate): Promise<http.IncomingMessage> =>
      new Promise((resolve, reject) => {
        const headers = { Authorization: basic(as) };
        http
          .get(from.url + path('fruit'), { headers }, (answer) => {
            answer.on('error', () => undefined);
            resolve(answer.pause());
          })
          .on('error', reject);
      });
    const running = await Promise.all([1, 2].map(() => open(reader)));
    assert.deepEqual(
      running.map(({ statusCode }) => statusCode),
      [200, 200],
    );
    const refused = await open(reader);
    assert.deepEqual([refused.statusCode, refused.headers['retry-after']], [503, '5']);
    refused.resume();
    const ofOther = await open(other);
    assert.equal(ofOther.statusCode, 200);
    ofOther.destroy();
    for (const answer of running) answer.destroy();
    await until(() => gate.running.services.revocationWatch.count === 0, 'the end of the exports');
    assert.equal((await get(path('fruit'), reader)).status, 200);

    const impatient = await started(
      startCouchgate({ backend: gate.backend, settings: { clientIdleTimeoutMs: 300 } }),
    );
    const idle = await open(reader, impatient);
    assert.equal(idle.statusCode, 200);
    await until(() => impatient.running.services.revocationWatch.count === 0, 'the end of the idle export');
    idle.destroy();
  });

  it('refuses what it does not understand, and fields that no document has – 400', async () => {
    for (const query of [
      '?format=xls',
      '?feilds=a',
      '?fields=',
      '?fields=a,a',
      '?deleted=yes',
      '?format=csv&format=json',
      '?formulas=keep',
      '?format=csv&formulas=escape',
    ])
      assert.equal((await get(path('fruit', query), reader)).status, 400, query);
    const missing = await get(path('fruit', '?format=csv&fields=_id,nothing'), reader);
    assert.deepEqual(
      [missing.status, /"nothing": in no document/.test(JSON.stringify(missing.body))],
      [400, false],
    );
    assert.match(JSON.stringify(missing.body), /nothing/);
    const empty = await get(path('fruit', '?format=csv&fields=_id,nothing&missing=empty'), reader);
    assert.equal(empty.status, 200);
  });
});
