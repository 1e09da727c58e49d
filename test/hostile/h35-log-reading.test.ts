// H35: reading the access log stops no request, holds no file in memory, shows no other file, and is logged itself.
import assert from 'node:assert/strict';
import { type IncomingMessage } from 'node:http';
import { type Socket } from 'node:net';
import { appendFile, copyFile, mkdtemp, open, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ConnectionFacts } from '../../src/audit/connection.ts';
import { accessLine } from '../../src/audit/line.ts';
import { lineFilter } from '../../src/audit/line-filter.ts';
import { searchFile, type FilePlace, type FileSearch, type Found } from '../../src/audit/log-file-search.ts';
import { createLogReader } from '../../src/audit/log-reader.ts';
import { RecentLines } from '../../src/audit/recent-lines.ts';
import { Context } from '../../src/context.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { countTurns } from '../support/turns.ts';
import { until } from '../support/until.ts';

const NOW = Date.parse('2026-01-31T12:00:00.000Z');

/** Line `at` of the log, one a second. */
function lineOf(at: number, fields: Readonly<Record<string, unknown>> = {}): string {
  const time = new Date(NOW + at * 1000).toISOString();
  const line = {
    time,
    id: `id-${at}`,
    httpRequest: '/db/doc',
    decision: 'allow',
    statusCode: 200,
    ...fields,
  };
  return `${JSON.stringify(line)}\n`;
}

const linesOf = (count: number, fields: Readonly<Record<string, unknown>> = {}): string =>
  Array.from({ length: count }, (_, at) => lineOf(at, fields)).join('');

describe('H35: a reader of the access log', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'couchgate-log-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const search = (
    name: string,
    conditions: Parameters<typeof lineFilter>[0] = {},
    { from, ...more }: { readonly from?: FilePlace | undefined } & Partial<FileSearch> = {},
  ): Promise<Found> =>
    searchFile({
      path: join(folder, name),
      filter: lineFilter(conditions, NOW),
      limit: 50,
      from,
      isAborted: () => false,
      ...more,
    });
  const idsIn = ({ lines }: Found): readonly unknown[] => lines.map((line) => line['id']);

  it('takes an empty first line for no line', async () => {
    await writeFile(join(folder, 'emptied.log'), `\n${linesOf(2)}`);
    for (const conditions of [{}, { since: '2020-01-01' }, { without: 'nobody' }]) {
      const found = await search('emptied.log', conditions);
      assert.deepEqual([idsIn(found), found.next], [['id-1', 'id-0'], undefined]);
    }
    assert.deepEqual(idsIn(await search('emptied.log', { decision: 'deny' })), []);
  });

  it('finds every line once, the newest first, over chunks of all lengths', async () => {
    const wide = Array.from({ length: 900 }, (_, at) =>
      lineOf(at, { userAgent: 'é'.repeat((at * 37) % 700) }),
    );
    await writeFile(join(folder, 'pages.log'), wide.join(''));
    const found: unknown[] = [];
    let from: FilePlace | undefined;
    do {
      const page = await search('pages.log', {}, { from, limit: 7, mostBytes: 100_000 });
      found.push(...idsIn(page));
      from = page.next;
    } while (from !== undefined);
    assert.deepEqual(
      found,
      Array.from({ length: 900 }, (_, at) => `id-${899 - at}`),
    );
  });

  it('lets other work run after every chunk, and reads no more than its part of a large file', async () => {
    await writeFile(join(folder, 'large.log'), linesOf(20_000, { userAgent: 'x'.repeat(400) }));
    const stop = countTurns();
    const mostBytes = 4_194_304;
    const page = await search('large.log', { status: '200', principal: 'nobody' }, { mostBytes });
    const turns = stop();
    assert.ok(turns >= mostBytes / 65_536, `${turns} turns of the event loop`);
    assert.deepEqual(page.lines, []);
    const file = await open(join(folder, 'large.log'));
    const { size } = await file.stat();
    await file.close();
    const rest = page.next?.end ?? 0;
    assert.ok(size - rest <= mostBytes + 65_536 && rest > 0, String(rest));
    assert.notEqual(page.searchedTo, undefined);
  });

  it('ends soon after its client has left', async () => {
    let chunks = 0;
    const { size } = await stat(join(folder, 'large.log'));
    const { next } = await search(
      'large.log',
      { principal: 'nobody' },
      { isAborted: () => (chunks += 1) > 2 },
    );
    assert.equal(size - (next?.end ?? 0) <= 3 * 65_536, true);
  });

  it('ends a page at some megabytes of lines, and goes on with the next one', async () => {
    await writeFile(join(folder, 'wide.log'), linesOf(24, { userAgent: 'x'.repeat(500_000) }));
    const first = await search('wide.log');
    assert.ok(first.lines.length < 12, String(first.lines.length));
    const second = await search('wide.log', {}, { from: first.next, limit: 1 });
    assert.deepEqual(idsIn(second), [`id-${23 - first.lines.length}`]);
  });

  it('never goes on in a file of another name, whatever the place says', async () => {
    await writeFile(join(folder, 'other.txt'), lineOf(7, { secret: true }));
    const { ino, size } = await stat(join(folder, 'other.txt'), { bigint: true });
    await writeFile(join(folder, 'own.log'), lineOf(1));
    const page = await search('own.log', {}, { from: { file: String(ino), end: Number(size) } });
    assert.deepEqual([idsIn(page), page.isRotated], [['id-1'], true]);
  });

  it('lets other work run while it searches the memory', async () => {
    const recent = new RecentLines();
    for (let at = 0; at < 5000; at += 1) recent.add(lineOf(at));
    const read = createLogReader('stdout', { recent });
    const stop = countTurns();
    const filter = lineFilter({ principal: 'nobody' }, NOW);
    const page = await read({ filter, limit: 50, cursor: undefined, isAborted: () => false });
    const turns = stop();
    assert.deepEqual(page.lines, []);
    assert.ok(turns >= 20, `${turns} turns of the event loop`);
  });

  it('skips text that is no line, however long it is', async () => {
    const noise = [`${'x'.repeat(3_000_000)}\n`, '{"time":1}\n', '\n', 'null\n', '{"a":\n'];
    await writeFile(join(folder, 'noise.log'), `${lineOf(1)}${noise.join('')}${lineOf(2)}{"time":"20`);
    assert.deepEqual(idsIn(await search('noise.log')), ['id-2', 'id-1']);
  });

  it('goes on in the file that was rotated away, and says so', async () => {
    await writeFile(join(folder, 'old.log'), linesOf(10));
    const first = await search('old.log', {}, { limit: 4 });
    await rename(join(folder, 'old.log'), join(folder, 'old.log.1'));
    await writeFile(join(folder, 'old.log'), lineOf(100));
    const second = await search('old.log', {}, { from: first.next, limit: 4 });
    assert.deepEqual([idsIn(second), second.isRotated], [['id-5', 'id-4', 'id-3', 'id-2'], true]);
    await rm(join(folder, 'old.log.1'));
    const third = await search('old.log', {}, { from: second.next });
    assert.deepEqual([idsIn(third), third.isRotated], [['id-100'], true]);
  });

  it('goes on at the newest line of a file that was cut, and says so', async () => {
    await writeFile(join(folder, 'cut.log'), linesOf(2000));
    const { next } = await search('cut.log', {}, { limit: 4 });
    await copyFile(join(folder, 'cut.log'), join(folder, 'copy'));
    await truncate(join(folder, 'cut.log'), 0);
    await appendFile(join(folder, 'cut.log'), lineOf(5000));
    const page = await search('cut.log', {}, { from: next });
    assert.deepEqual([idsIn(page), page.isRotated], [['id-5000'], true]);
  });

  it('ends at the beginning of the time', async () => {
    await writeFile(join(folder, 'time.log'), linesOf(5000, { userAgent: 'x'.repeat(200) }));
    const since = new Date(NOW + 4990 * 1000).toISOString();
    const page = await search('time.log', { since });
    assert.equal(page.lines.length, 10);
    assert.equal(page.next, undefined);
  });

  it('keeps a bounded part in memory, where the log goes to stdout', () => {
    const recent = new RecentLines({ lines: 4, characters: 30 });
    for (const line of ['a', 'b', 'c', 'd', 'e']) recent.add(line);
    const kept = (): readonly string[] =>
      Array.from({ length: recent.end - recent.start }, (_, at) => recent.at(recent.start + at));
    assert.deepEqual(kept(), ['b', 'c', 'd', 'e']);
    recent.add('x'.repeat(29));
    assert.deepEqual(kept(), ['e', 'x'.repeat(29)]);
    recent.add('y'.repeat(100));
    assert.deepEqual(kept(), ['y'.repeat(100)]);
  });
});

describe('H35: GET /_api/v2/log', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
    await gate.database('fruit', {});
    await gate.ask('GET', '/fruit/secret?token=hidden', { headers: { 'User-Agent': '<img src=x>' } });
    await until(async () => (await gate.accessLog()).some((line) => line['statusCode'] === 401), 'the line');
  });
  after(() => gate.close());

  const read = (query: string) => gate.ask('GET', `/_api/v2/log?${query}`, { as: gate.owner });
  const linesIn = (body: unknown): readonly Readonly<Record<string, unknown>>[] =>
    (body as { lines: readonly Readonly<Record<string, unknown>>[] }).lines;

  it('shows what was refused, without the secrets of its query', async () => {
    const { status, body, headers } = await read('decision=deny&database=fruit');
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    const [line] = linesIn(body);
    assert.deepEqual([line?.['statusCode'], line?.['userAgent']], [401, '<img src=x>']);
    assert.doesNotMatch(JSON.stringify(body), /hidden/);
    assert.equal((body as { source: string }).source, 'file');
  });

  it('is a management event of the log itself', async () => {
    const { headers } = await read('principal=watched');
    const id = headers.get('x-couch-request-id');
    await until(async () => (await gate.accessLog()).some((line) => line['id'] === id), 'the line');
    const [line] = linesIn((await read('operation=api-log&management=true')).body);
    assert.equal(line?.['rawQueryString'], 'principal=watched');
    assert.deepEqual((line['change'] as { action: string }).action, 'read log');
    for (const without of ['api-log', 'dashboard,api-log'])
      assert.deepEqual(linesIn((await read(`without=${without}&operation=api-log`)).body), []);
  });

  it('shows a change of permissions, whatever names a client writes beside it to make the line long', async () => {
    await gate.database('crowded');
    const names = Array.from({ length: 749 }, (_, at) => `${at}${'\u200e'.repeat(252)}`);
    const cloudant = { thief: ['_admin'], ...Object.fromEntries(names.map((name) => [name, ['_reader']])) };
    const path = '/_api/v2/db/crowded/_security';
    assert.equal((await gate.ask('PUT', path, { as: gate.owner, body: { cloudant } })).status, 200);
    const lineOfChange = async (): Promise<Readonly<Record<string, unknown>> | undefined> =>
      linesIn((await read('database=crowded&management=true')).body).find(
        ({ httpRequest }) => httpRequest === path,
      );
    await until(async () => (await lineOfChange()) !== undefined, 'the line');
    const { grants } = (await lineOfChange())?.['change'] as { grants: readonly { name: string }[] };
    assert.equal(grants.length, 750);
    assert.equal(grants[0]?.name, 'thief');
  });

  it('shows that there was a change, though its lists are too long for a line', () => {
    const context = new Context();
    context.outcome.change = {
      action: 'revoke',
      key: 'k',
      grantsRemovedOn: Array(5000).fill('\u200e'.repeat(99)),
    };
    const line = accessLine({
      context,
      req: { method: 'DELETE', url: '/', headers: {} } as unknown as IncomingMessage,
      status: 200,
      termination: '--',
      connection: new ConnectionFacts({ remoteAddress: '192.0.2.1' } as unknown as Socket),
      bytesRead: 1,
      bytesUploaded: 1,
      endedAt: context.startedAt,
    });
    const { change } = JSON.parse(line) as { change: unknown };
    assert.deepEqual(change, { action: 'revoke', key: 'k', notShown: ['grantsRemovedOn'] });
  });

  const REFUSED = [
    'cursor=..%2F..%2Fetc%2Fpasswd',
    'cursor=1-99999999999999999999',
    'file=%2Fetc%2Fpasswd',
    'limit=0',
    'limit=501',
    'status=40',
    'decision=maybe',
    'since=yesterday',
    'decision=deny&decision=allow',
  ];
  for (const query of REFUSED)
    it(`refuses ${query} – 400`, async () => {
      assert.equal((await read(query)).status, 400);
    });

  it('takes a cursor of another file as a rotation, and reads the log alone – 200', async () => {
    const { status, body } = await read('cursor=1-100');
    assert.equal(status, 200);
    assert.equal((body as { rotated: boolean }).rotated, true);
    for (const line of linesIn(body)) assert.equal(typeof line['id'], 'string');
  });

  it('is for the owner alone – 401, 403', async () => {
    assert.equal((await gate.ask('GET', '/_api/v2/log')).status, 401);
    assert.equal((await gate.ask('GET', '/_api/v2/log', { as: await gate.key() })).status, 403);
  });

  it('refuses more than a few searches at once – 429, and goes on afterwards', async () => {
    const log = join(dirname(gate.configFolder), 'access.log');
    await appendFile(log, linesOf(20_000, { userAgent: 'x'.repeat(400) }));
    const answers = await Promise.all(Array.from({ length: 12 }, () => read('principal=somebody')));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length > 0 && refused.length <= 8, String(refused.length));
    assert.equal(refused[0]?.headers.get('retry-after'), '1');
    assert.equal((await read('principal=somebody')).status, 200);
  });

  it('has the last lines of the process where the log goes to stdout', async () => {
    const other = await startCouchgate({ backend: gate.backend, settings: { accessLog: 'stdout' } });
    await other.ask('GET', '/nothing-here');
    await until(async () => {
      const { body } = await other.ask('GET', '/_api/v2/log?database=nothing-here', { as: other.owner });
      return (body as { source: string }).source === 'memory' && linesIn(body).length === 1;
    }, 'the line in memory');
    await other.close();
  });
});
