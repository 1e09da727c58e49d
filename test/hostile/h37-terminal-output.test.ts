// H37: no text that others wrote controls the terminal of an operator, or adds a line of its own.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { leafOfText } from '../../src/backup/leaf.ts';
import { LeafWriter } from '../../src/backup/leaf-writer.ts';
import { openOrCreateRepository } from '../../src/backup/repository.ts';
import { newSnapshotId, writeBox, writeSnapshot, type Snapshot } from '../../src/backup/snapshot.ts';
import { runCommand } from '../../src/cli/commands.ts';

/** Clears the screen, goes up, begins lines of its own, and turns the writing direction. */
const HOSTILE = 'x\u001b[2J\u009b1A\u007f\r\nFORGED line\u0085\u2028FORGED\u202e\u061c\u200e\u200f';
/* eslint-disable no-control-regex */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const ROOT = join(import.meta.dirname, '../..');
const FOLDER = mkdtempSync(join(tmpdir(), 'couchgate-h37-'));
const FILES = mkdtempSync(join(FOLDER, 'files-'));
const CONFIG = mkdtempSync(join(FOLDER, 'config-'));
const REPOSITORY = join(FOLDER, 'repository');
const HASH = 'a'.repeat(64);
const NOW = '2026-01-01T00:00:00.000Z';

interface Result {
  readonly code: number | undefined;
  readonly out: string;
  readonly err: string;
}

async function run(words: readonly string[], options: { env?: object; tty?: boolean; stdin?: string } = {}) {
  const written = { out: '', err: '' };
  const output = (to: 'out' | 'err') => ({
    isTTY: options.tty === true,
    write: (text: string) => (written[to] += text),
  });
  const [name = '', ...args] = words;
  const code = await runCommand(name, args, {
    env: { COUCHGATE_CONFIG: CONFIG, COUCHGATE_ADMIN_PASSWORD: 'secret', ...options.env },
    stdin: Readable.from([options.stdin ?? '']),
    stdout: output('out'),
    stderr: output('err'),
  }).catch((error: unknown) => {
    // As src/main.ts does; it is checked below.
    written.err += error instanceof Error ? error.name : 'error';
    return undefined;
  });
  return { code, ...written } satisfies Result;
}

/** The text is there, as a part of other lines, and nothing in it controls the terminal. */
function assertHarmless({ out, err }: Result): void {
  const all = out + err;
  assert.match(all, /FORGED line/, 'the text of the attacker is printed');
  assert.doesNotMatch(all, CONTROLS);
  assert.doesNotMatch(all, /^FORGED/m);
}

/** JSON keeps the text: control characters are escaped, not replaced. */
function assertWholeIn({ out }: Result): void {
  const lines = out.trim().split('\n');
  const texts: string[] = [];
  for (const line of lines)
    JSON.parse(line, (_, value: unknown) => (typeof value === 'string' ? texts.push(value) : 0, value));
  assert.ok(
    texts.some((text) => text.includes(HOSTILE)),
    out,
  );
}

describe('H37 a hostile repository', () => {
  before(async () => {
    const { repository } = await openOrCreateRepository(REPOSITORY, undefined);
    const writer = new LeafWriter(repository);
    const leaf = (rev: string, n: string) =>
      leafOfText(JSON.stringify({ _id: HOSTILE, _rev: rev, [HOSTILE]: n }));
    const stored = (rev: string, n: string) => ({
      leaf: leaf(rev, n),
      hash: leaf(rev, n).bareHash ?? '',
      attachments: [],
    });
    await writer.add([{ id: HOSTILE, leaves: [stored(`1-${HOSTILE}`, HOSTILE)] }]);
    const first = await (await writer.endBatch()).finish();
    await writer.add([{ id: HOSTILE, leaves: [stored(`2-${HOSTILE}`, 'later')] }]);
    const second = await (await writer.endBatch()).finish();
    const broken = { name: HASH, entries: 1 };
    const snapshot = (time: string, index: Snapshot['index'], database = HOSTILE): Snapshot => ({
      ...{ format: 1, database, index, started: new Date(time).toISOString(), finished: NOW },
      id: newSnapshotId(repository, database, new Date(time)),
      ...{ full: true, parent: HOSTILE, complete: false, instance_start_time: HOSTILE, since: HOSTILE },
      ...{
        purge_seq: HOSTILE,
        problems: [{ id: HOSTILE, reason: HOSTILE }],
        security: { [HOSTILE]: HOSTILE },
      },
      properties: { q: 1, n: 1, partitioned: false, revs_limit: 1, purged_infos_limit: 1 },
      counts: { documents: 1, deleted: 0, leaves: 1, attachments: 0 },
    });
    await writeSnapshot(repository, snapshot('2026-01-01T00:00:00Z', first === undefined ? [] : [first]));
    await writeSnapshot(repository, snapshot('2026-01-02T00:00:00Z', second === undefined ? [] : [second]));
    await writeSnapshot(repository, snapshot('2026-01-03T00:00:00Z', [broken], `broken ${HOSTILE}`));
    const section = '20260101T000000000Z-instance-aaaaaa';
    await writeBox(repository, 'instance', section, 'instance', {
      ...{ format: 1, id: section, started: NOW, finished: NOW, complete: false, store: HOSTILE },
      ...{ snapshots: { [HOSTILE]: HOSTILE }, files: [], problems: [HOSTILE] },
    });
  });

  const commands: Readonly<Record<string, readonly string[]>> = {
    snapshots: ['snapshots'],
    'find of a document': ['find', HOSTILE, HOSTILE],
    'diff of two snapshots': ['diff', HOSTILE, HOSTILE, '--from', '20260101', '--to', '20260102'],
    'forget, only shown': ['forget', HOSTILE, '--keep-last', '1', '--dry-run'],
    verify: ['verify'],
    'verify with all data': ['verify', '--read-data'],
    'restore, only shown': ['restore', HOSTILE, '--dry-run'],
    'restore of an older snapshot': [
      'restore',
      HOSTILE,
      '--snapshot',
      '20260101',
      '--dry-run',
      '--to',
      'new',
    ],
    'restore of a missing one': ['restore', HOSTILE, '--snapshot', '2025', '--dry-run'],
    'restore of grants that are not valid': ['restore', HOSTILE, '--security', '--to', 'new', '--dry-run'],
    'restore of the store': ['restore', '--store', '--dry-run'],
  };
  for (const [name, words] of Object.entries(commands))
    it(`is shown without control of the terminal – ${name}`, async () => {
      assertHarmless(await run([...words, '--repository', REPOSITORY]));
    });

  for (const name of ['snapshots', 'find of a document', 'diff of two snapshots', 'forget, only shown'])
    it(`is whole in JSON without control of the terminal – ${name}`, async () => {
      const result = await run([...(commands[name] ?? []), '--repository', REPOSITORY, '--json']);
      assertHarmless(result);
      assertWholeIn(result);
    });
});

describe('H37 a hostile CouchDB or Couchgate', () => {
  const server = createServer((req, res) => {
    req.resume();
    answer(req.method ?? '', (req.url ?? '').split('?')[0] ?? '', res);
  });
  let refuses = false;
  let url = '';

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(FOLDER, { recursive: true });
  });

  function answer(method: string, path: string, res: ServerResponse): void {
    const send = (body: unknown, status = 200): void => {
      res.writeHead(status, { 'X-Couchgate-Revision': '1.1', ETag: '"1.1"' });
      res.end(JSON.stringify(body));
    };
    if (refuses) {
      send({ error: HOSTILE, reason: HOSTILE }, 403);
      return;
    }
    if (path.endsWith('/_export')) return void res.end(`a,${HOSTILE}\n`);
    if (path === '/_all_dbs') {
      send(['fruit', HOSTILE]);
      return;
    }
    if (path.startsWith('/_api/v2/api_keys')) {
      send({
        ...{ key: HOSTILE, label: HOSTILE, password: HOSTILE, created_at: HOSTILE, created_by: HOSTILE },
        ...{ grants_removed_on: [HOSTILE], granted_on: [HOSTILE] },
        ...(method === 'GET' ? { api_keys: [{ key: HOSTILE, label: HOSTILE, created_at: HOSTILE }] } : {}),
      });
      return;
    }
    if (path === '/_api/v2/access') {
      send({
        ...{ kind: HOSTILE, label: HOSTILE, last_used: HOSTILE, couchdb_auth_only: true, couchdb: HOSTILE },
        names: [
          { name: HOSTILE, roles: ['_reader', HOSTILE], source: HOSTILE, kind: HOSTILE, label: HOSTILE },
        ],
        databases: [{ database: HOSTILE, roles: [HOSTILE, '_reader'], source: HOSTILE }],
      });
      return;
    }
    if (path === '/_api/v2/explain') {
      send({ decision: 'deny', rule: HOSTILE, reason: HOSTILE, needed: [[HOSTILE]] });
      return;
    }
    if (path.endsWith('/_security') && method === 'PUT') {
      send({ ok: true, warnings: [HOSTILE] });
      return;
    }
    if (path.endsWith('/_security')) {
      send({ cloudant: { [HOSTILE]: ['_reader'] } });
      return;
    }
    if (path.endsWith('_grants')) {
      send({ prefix_grants: [], server_grants: [], grants: [], warnings: [HOSTILE] });
      return;
    }
    send({ error: HOSTILE, reason: HOSTILE }, 400);
  }

  const backupWords = ['--databases', '*', '--repository', join(FOLDER, 'new'), '--user', 'admin'];
  const client: Readonly<Record<string, readonly string[]>> = {
    'keys list': ['keys', 'list'],
    'keys show': ['keys', 'show', 'k'],
    'keys create': ['keys', 'create'],
    'keys revoke': ['keys', 'revoke', 'k', '--remove-grants'],
    grant: ['grant', HOSTILE, '_writer', 'fruit'],
    'revoke-grant': ['revoke-grant', HOSTILE, 'all', 'fruit'],
    explain: ['explain', '--as', 'k', 'GET', '/fruit'],
    'who-can': ['who-can', '_reader', 'fruit'],
    'what-can': ['what-can', 'k'],
    'permissions export': ['permissions', 'export', 'fruit'],
    'permissions plan': ['permissions', 'plan', join(FILES, 'permissions.yaml')],
    backup: ['backup', ...backupWords],
    'permissions apply': ['permissions', 'apply', join(FILES, 'permissions.yaml'), '--yes'],
  };
  /** A backup does not print the reason of CouchDB. */
  const refusing = Object.fromEntries(Object.entries(client).filter(([name]) => name !== 'backup'));
  before(() => {
    writeFileSync(
      join(FILES, 'permissions.yaml'),
      `version: 1\ndatabases:\n  fruit:\n    grants: [{ name: ${JSON.stringify(HOSTILE)}, roles: [_writer] }]\n`,
    );
  });

  for (const [name, words] of Object.entries(client))
    for (const form of name.startsWith('permissions export') ? ['text'] : ['text', 'JSON'])
      it(`is shown without control of the terminal – ${name}, ${form}`, async () => {
        refuses = false;
        const result = await run([...words, '--url', url, ...(form === 'JSON' ? ['--json'] : [])]);
        assertHarmless(result);
        if (form === 'JSON' && !name.startsWith('permissions')) assertWholeIn(result);
      });

  for (const [name, words] of Object.entries({ ...refusing, export: ['export', 'fruit'] }))
    it(`refuses without control of the terminal – ${name}`, async () => {
      refuses = true;
      assertHarmless(await run([...words, '--url', url]));
    });

  it('refuses without control of the terminal – setup', async () => {
    refuses = true;
    const { out, err } = await run(['setup', url]);
    assert.match(out, /FORGED line/);
    assert.doesNotMatch(out + err, CONTROLS);
  });

  it('keeps the value of a name in the YAML of an export of permissions', async () => {
    refuses = false;
    const { out } = await run(['permissions', 'export', 'fruit', '--url', url]);
    const { databases } = parse(out) as { databases: { fruit: { grants: readonly { key: string }[] } } };
    assert.deepEqual(
      databases.fruit.grants.map(({ key }) => key),
      [HOSTILE],
    );
  });

  it('is shown without control of a terminal, and otherwise kept byte for byte – export', async () => {
    refuses = false;
    const words = ['export', 'fruit', '--url', url];
    assert.doesNotMatch((await run(words, { tty: true })).out, CONTROLS);
    assert.equal((await run(words)).out, `a,${HOSTILE}\n`);
  });
});

describe('H37 other input', () => {
  it('of a log is shown without control of the terminal – audit', async () => {
    const line = `{"time":"2026-01-01T00:00:00.000Z","id":"r","principal":"\u009bFORGED line","statusCode":200,"decision":"allow","httpMethod":"GET","httpRequest":"/"}\n`;
    assertHarmless(await run(['audit'], { stdin: line }));
    assertHarmless(await run(['audit', '--short'], { stdin: line }));
    assertHarmless(
      await run(['explain', '--log', 'r'], { stdin: line.replace('"/"', JSON.stringify(HOSTILE)) }),
    );
  });

  it('of the command line is shown without control of the terminal – an unknown command', async () => {
    const { err } = await run([HOSTILE]);
    assert.doesNotMatch(err, CONTROLS);
  });

  /** Every other file writes through the `CommandIo` that `runCommand` wraps. */
  it('has no way around the wrapped output in the commands', () => {
    const around = readdirSync(join(ROOT, 'src/cli'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .filter((name) =>
        /process\.std(?:out|err)|console\./.test(readFileSync(join(ROOT, 'src/cli', name), 'utf8')),
      );
    assert.deepEqual(around.sort(), ['ask-password.ts', 'backup/report.ts', 'backup/task.ts', 'export.ts']);
    const main = readFileSync(join(ROOT, 'src/main.ts'), 'utf8');
    assert.match(main, /stderr\.write\(`couchgate: \$\{withoutControls\(/);
  });
});
