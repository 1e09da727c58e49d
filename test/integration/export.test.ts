// Exports of a database: formats, columns, what is in it, and the command.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { closedAfterSuite } from '../support/started.ts';

const LONG_NAME = 'k'.repeat(30_000);

describe('the export of a database', () => {
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-export-'));
  let gate: Couchgate;
  let reader: Credentials;

  before(async () => {
    await started({ close: () => rmSync(folder, { recursive: true, force: true }) });
    gate = await started(startCouchgate());
    reader = await gate.key();
    await gate.database('fruit', { [reader.name]: ['_reader'] });
    const leaf = (id: string, hash: string, more: object) => ({ _id: id, _rev: `1-${hash}`, ...more });
    const docs = [
      leaf('apple', 'b', { name: 'Apple, "red"', address: { city: 'Köln', lines: ['a\nb', 2] }, ok: true }),
      leaf('apple', 'a', { name: 'loser' }),
      leaf('bean', 'a', { name: null, count: 1.5 }),
      leaf('gone', 'a', { _deleted: true }),
      leaf('_design/d', 'a', { views: {} }),
    ];
    const body = { docs, new_edits: false };
    assert.equal((await gate.ask('POST', '/fruit/_bulk_docs', { as: gate.owner, body })).status, 201);
    await gate.database('many', { [reader.name]: ['_reader'] });
    const many = Array.from({ length: 2500 }, (_, at) => ({ _id: `d${String(at).padStart(5, '0')}`, at }));
    for (let at = 0; at < many.length; at += 500)
      await gate.ask('POST', '/many/_bulk_docs', {
        as: gate.owner,
        body: { docs: many.slice(at, at + 500) },
      });
    await gate.ask('PUT', '/many/z', { as: gate.owner, body: { late: true, [LONG_NAME]: 1 } });
  });

  async function get(database: string, query: string): Promise<string> {
    const url = `${gate.url}/_api/v2/db/${database}/_export${query}`;
    const answer = await fetch(url, { headers: { Authorization: basic(reader) } });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text;
  }
  const ids = (text: string): readonly string[] =>
    (JSON.parse(text) as { _id: string }[]).map(({ _id }) => _id);

  it('has the winners without design documents, and more if asked', async () => {
    assert.deepEqual(ids(await get('fruit', '')), ['apple', 'bean']);
    assert.deepEqual([...ids(await get('fruit', '?design=true'))].sort(), ['_design/d', 'apple', 'bean']);
    assert.deepEqual(ids(await get('fruit', '?conflicts=true')), ['apple', 'apple', 'bean']);
    assert.deepEqual([...ids(await get('fruit', '?deleted=true'))].sort(), ['apple', 'bean', 'gone']);
  });

  it('writes CSV with columns of the documents: JSON for nested values, nothing for null', async () => {
    const rows = (await get('fruit', '?format=csv')).split('\r\n');
    assert.equal(rows[0], '_id,_rev,name,address,ok,count');
    assert.match(rows[2] ?? '', /^bean,1-a,,,,1.5$/);
    const chosen = await get('fruit', '?format=csv&fields=_id,address.city,address.lines.0');
    assert.equal(chosen, '_id,address.city,address.lines.0\r\napple,Köln,"a\nb"\r\nbean,,\r\n');
  });

  it('keeps formulas and lists if a program asks for the exact text – formulas=keep', async () => {
    const text = '=1+1;x\n- a\n- b';
    const body = { _id: 'cell', text, '=field': -1 };
    await gate.database('formulas', { [reader.name]: ['_reader'] });
    assert.equal((await gate.ask('PUT', '/formulas/cell', { as: gate.owner, body })).status, 201);
    const query = '?format=csv&fields=_id,text,%3Dfield';
    const escaped = `_id,text,'=field\r\ncell,"'=1+1;x\n'- a\n'- b",-1\r\n`;
    assert.equal(await get('formulas', query), escaped);
    const exact = `_id,text,=field\r\ncell,"${text}",-1\r\n`;
    assert.equal(await get('formulas', `${query}&formulas=keep`), exact);
    const fields = '_id,text,=field';
    const { code, out } = await run('formulas', '--format', 'csv', '--fields', fields, '--keep-formulas');
    assert.deepEqual([code, out], [0, exact]);
  });

  it('has every document once over many pages', async () => {
    const lines = (await get('many', '?format=jsonl')).trim().split('\n');
    assert.equal(new Set(lines).size, 2501);
    assert.equal(ids(await get('many', '')).length, 2501);
    // A client refuses the whole answer if its trailer is as long as a name of a field may be.
    assert.equal((await get('many', '?format=csv')).trim().split('\r\n').length, 2502);
  });

  async function run(...words: string[]): Promise<{ code: number; out: string; err: string }> {
    const written = { out: '', err: '' };
    const code = await runCommand('export', words, {
      env: {
        COUCHGATE_URL: gate.url,
        COUCHGATE_ADMIN_USER: gate.owner.name,
        COUCHGATE_ADMIN_PASSWORD: gate.owner.password,
      },
      stdin: Readable.from([]),
      stdout: { write: (part: string) => (written.out += part) },
      stderr: { write: (part: string) => (written.err += part) },
    });
    return { code, ...written };
  }

  it('is the same for a client of HTTP/1.0, which has neither chunks nor trailers', async () => {
    for (const [database, format] of [
      ['fruit', 'json'],
      ['fruit', 'jsonl'],
      ['many', 'csv'],
    ] as const) {
      const client = await connectRaw(Number(new URL(gate.url).port));
      const target = `/_api/v2/db/${database}/_export?format=${format}`;
      client.send(head(`GET ${target} HTTP/1.0`, `Authorization: ${basic(reader)}`));
      await client.end();
      const [lines = '', body = ''] = splitOnce(client.received, '\r\n\r\n');
      assert.match(lines, /^HTTP\/1\.1 200 OK\r\n/);
      assert.doesNotMatch(lines, /transfer-encoding|trailer/i);
      assert.equal(Buffer.from(body, 'latin1').toString(), await get(database, `?format=${format}`));
    }
  });

  it('is a command for the owner or a key, and names fields that have no column – exit code 3', async () => {
    const all = await run('fruit', '--format', 'csv', '--fields', 'name');
    assert.deepEqual([all.code, all.out], [0, 'name\r\n"Apple, ""red"""\r\n""\r\n']);
    const output = join(folder, 'many.csv');
    const password = join(folder, 'password');
    writeFileSync(password, reader.password, { mode: 0o600 });
    const late = await run(
      'many',
      '--format',
      'csv',
      '--output',
      output,
      '--as',
      reader.name,
      '--password-file',
      password,
    );
    assert.equal(late.code, 3, late.err);
    assert.match(late.err, /"late"/);
    assert.equal(readFileSync(output, 'utf8').trim().split('\r\n').length, 2502);
    assert.equal((await run('many', '--output', output)).code, 1);
    assert.equal((await run('none')).code, 1);
    assert.equal((await run('fruit', '--fields', 'nmae')).code, 1);
  });
});

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}
