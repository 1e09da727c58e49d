// The commands about configuration, CORS and the access log: what they write, and their exit codes.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { audit } from '../../src/cli/audit.ts';
import { checkConfig, printConfig } from '../../src/cli/check-config.ts';
import { type Command } from '../../src/cli/command.ts';
import { COMMANDS, runCommand } from '../../src/cli/commands.ts';
import { corsCheck } from '../../src/cli/cors-check.ts';

const ROOT = join(import.meta.dirname, '../..');
const WITH_REPOSITORY = 'src/cli/backup/repository-options.ts';
const WITH_COUCH = [WITH_REPOSITORY, 'src/cli/backup/couch-options.ts'];
/** Where a command parses its options. */
const SOURCES: Readonly<Record<string, readonly string[]>> = {
  setup: ['src/setup/arguments.ts'],
  keys: ['src/cli/keys.ts', 'src/cli/owner-client.ts'],
  grant: ['src/cli/grant.ts', 'src/cli/owner-client.ts'],
  'revoke-grant': ['src/cli/owner-client.ts'],
  explain: ['src/cli/explain.ts', 'src/cli/owner-client.ts'],
  'who-can': ['src/cli/owner-client.ts'],
  'what-can': ['src/cli/owner-client.ts'],
  audit: ['src/cli/audit.ts'],
  backup: ['src/cli/backup/backup.ts', ...WITH_COUCH],
  snapshots: [WITH_REPOSITORY],
  restore: ['src/cli/backup/restore.ts', 'src/cli/backup/restore-store.ts', ...WITH_COUCH],
  verify: ['src/cli/backup/verify.ts', ...WITH_COUCH],
  find: [WITH_REPOSITORY],
  diff: ['src/cli/backup/diff.ts', ...WITH_COUCH],
  export: ['src/cli/export.ts'],
  forget: ['src/cli/backup/forget.ts', WITH_REPOSITORY],
  'cors-check': ['src/cli/cors-check.ts'],
  permissions: ['src/cli/permissions/command.ts', 'src/cli/owner-client.ts'],
};
const folder = mkdtempSync(join(tmpdir(), 'couchgate-commands-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const CANARY = Buffer.from('canary-canary-canary-canary-canary').toString('base64');

async function run(
  command: Command,
  words: readonly string[],
  env: Record<string, string> = {},
  stdin = '',
): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const code = await command(words, {
    env: { COUCHGATE_CONFIG: folder, ...env },
    stdin: Readable.from([stdin]),
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
  });
  return { code, ...written };
}

describe('the help of every command', () => {
  for (const [name, { usage, hasArguments }] of Object.entries(COMMANDS)) {
    const asCommand: Command = (words, io) => runCommand(name, words, io);

    for (const help of ['--help', '-h'])
      it(`goes to stdout and runs nothing – ${name} ${help} – 0`, async () => {
        // An invalid configuration and an argument show that the command did not run.
        const words = hasArguments ? ['http://127.0.0.1:1', help] : [help];
        const { code, out, err } = await run(asCommand, words, { COUCHGATE_LISTEN: 'x' });
        assert.deepEqual([code, out, err], [0, usage, '']);
        assert.match(out, /^Usage: couchgate /);
      });

    if (hasArguments)
      it(`has every option of the command and no other – ${name} --nonsense – 2`, async () => {
        const blocks = (SOURCES[name] ?? []).map((file) =>
          /options: \{([^]*?)\n {6}\}|OPTIONS = \{([^]*?)\n\}|options: (\{.*\}) *,?\n/
            .exec(readFileSync(join(ROOT, file), 'utf8'))
            ?.slice(1)
            .join(''),
        );
        const known = [...blocks.join('').matchAll(/'?([a-z-]+)'?: \{ type/g)].map(
          ([, option]) => `--${option ?? ''}`,
        );
        const described = [...usage.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option]) => option);
        assert.ok(known.length > 1, `${known.length} > 1`);
        assert.deepEqual(described.toSorted(), known.toSorted());
        const { code, out, err } = await run(asCommand, ['--nonsense']);
        assert.equal(code, 2);
        assert.equal((out + err).includes(usage.trim()), true);
        assert.match(out + err, name === 'cors-check' ? /^Usage/ : /Unknown option '--nonsense'\n/);
      });
    else
      it(`refuses an argument – ${name} more – 2`, async () => {
        const { code, out, err } = await run(asCommand, ['more']);
        assert.deepEqual([code, out, err], [2, '', `couchgate: ${name} has no arguments\n${usage}`]);
      });
  }

  it('is on the list of commands', () => {
    const names = Object.keys(COMMANDS).filter((name) => name !== '-h');
    const list = COMMANDS['--help']?.usage ?? '';
    assert.deepEqual(
      [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name),
      names,
    );
  });

  it('suggests the nearest command – couchgate audt – 2', async () => {
    const { code, err } = await run((words, io) => runCommand('audt', words, io), []);
    assert.equal(code, 2);
    assert.match(err, /unknown command audt; did you mean audit\?\nUsage/);
  });

  it('leaves a word after -- to the command', async () => {
    const { code, err } = await run((words, io) => runCommand('audit', words, io), ['--', '--help']);
    assert.equal(code, 2);
    assert.match(err, /ENOENT.*--help/);
  });
});

describe('--check-config', () => {
  it('exits with 0 and tells the warnings when the configuration is good', async () => {
    const { code, out, err } = await run(checkConfig, [], {
      COUCHGATE_LISTEN: '0.0.0.0:5984',
      COUCHGATE_EMBEDDED: 'on',
    });
    assert.equal(code, 0);
    assert.match(out, /is valid/);
    assert.match(err, /Warning: listen: plain HTTP on a public address/);
  });

  it('exits with 1 and lists every problem', async () => {
    const { code, out, err } = await run(checkConfig, [], { COUCHGATE_LISTN: 'x', COUCHGATE_WORKERS: '0' });
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(
      err,
      /has 2 problems:\n.*COUCHGATE_LISTN: .*did you mean COUCHGATE_LISTEN\?\n.*COUCHGATE_WORKERS: /s,
    );
  });

  it('exits with 1 when a certificate cannot be used', async () => {
    const file = join(folder, 'none.pem');
    const files = { COUCHGATE_TLS_CERTIFICATE: file, COUCHGATE_TLS_KEY: file };
    for (const env of [
      { COUCHGATE_TLS_LISTEN: '127.0.0.1:0', ...files },
      { COUCHGATE_DASHBOARD_LISTEN: '127.0.0.1:0', ...files },
      { COUCHGATE_COUCHDB_CA: file },
    ]) {
      const { code, err } = await run(checkConfig, [], env);
      assert.equal(code, 1);
      assert.match(err, /none\.pem cannot be read \(ENOENT\)/);
    }
  });
});

describe('--print-config', () => {
  it('writes every setting with its origin as YAML that can be read again, secrets masked', async () => {
    const { code, out } = await run(printConfig, [], {
      COUCHGATE_JWT_SECRET: CANARY,
      COUCHGATE_LOG_LEVEL: 'warn',
    });
    assert.equal(code, 0);
    assert.match(out, /^log_level: "warn" +# COUCHGATE_LOG_LEVEL$/m);
    assert.match(out, /^jwt_secret: "\*\*\*" +# COUCHGATE_JWT_SECRET$/m);
    assert.match(out, /^listen: "127\.0\.0\.1:5984" +# default$/m);
    assert.equal(out.includes(CANARY), false);
    assert.equal((parse(out) as Record<string, unknown>)['enable_cors'], false);
  });
});

describe('cors-check', () => {
  const env = {
    COUCHGATE_ENABLE_CORS: 'true',
    COUCHGATE_CORS_ORIGINS: 'https://app.example.com,app://obsidian.md',
  };
  const rows: readonly [words: readonly string[], env: Record<string, string>, code: number, says: RegExp][] =
    [
      [
        ['https://app.example.com'],
        env,
        0,
        /^pass: .* is allowed by origins\[0\] \(COUCHGATE_CORS_ORIGINS\), without credentials/,
      ],
      [['app://obsidian.md', '--method', 'DELETE'], env, 0, /^pass: .* by origins\[1\]/],
      [['https://app.example.com/'], env, 1, /hint: no browser sends this origin/],
      [['http://app.example.com'], env, 1, /hint: the list contains https:\/\/app\.example\.com/],
      [['https://app.example.com', '--method', 'BREW'], env, 1, /the method is not one of/],
      [['https://app.example.com'], {}, 1, /enable_cors[^]*hint: set enable_cors: true/],
      [[], env, 2, /^Usage/],
      [['a', 'b'], env, 2, /^Usage/],
      [['https://x.example', '--nonsense'], env, 2, /^Usage/],
      [['https://x.example'], { COUCHGATE_LISTEN: 'x' }, 2, /COUCHGATE_LISTEN/],
    ];
  for (const [words, given, code, says] of rows)
    it(`exits with ${code} for ${words.join(' ') || 'nothing'}`, async () => {
      const result = await run(corsCheck, words, given);
      assert.equal(result.code, code);
      assert.match(result.out + result.err, says);
    });
});

describe('audit', () => {
  const line = (fields: Record<string, unknown>): string => `${JSON.stringify(fields)}\n`;
  const entry = (fields: Record<string, unknown>): string =>
    line({ time: at(0), id: '0', decision: 'deny', statusCode: 401, ...fields });
  const now = Date.now();
  const at = (agoMs: number): string => new Date(now - agoMs).toISOString();
  const LINES = [
    {
      time: at(7_200_000),
      id: '1',
      principal: 'abc',
      principalKind: 'key',
      dbName: 'db',
      operation: 'doc-get',
      requestClass: 'read',
      decision: 'allow',
      statusCode: 200,
      clientIp: '192.0.2.1',
      httpMethod: 'GET',
      httpRequest: '/db/doc',
      rule: 'role',
    },
    {
      time: at(60_000),
      id: '2',
      principal: 'abc',
      principalKind: 'key',
      dbName: 'db',
      operation: 'doc-put',
      requestClass: 'write',
      decision: 'deny',
      statusCode: 403,
      clientIp: '192.0.2.1',
    },
    {
      time: at(60_000),
      id: '3',
      principal: 'admin',
      principalKind: 'owner',
      operation: 'api-keys-post',
      requestClass: 'key',
      decision: 'allow',
      statusCode: 201,
      management: true,
      clientIp: '192.0.2.2',
    },
  ];
  const log = LINES.map(line).join('');
  const ids = (out: string): string =>
    out
      .split('\n')
      .filter(Boolean)
      .map((text) => (JSON.parse(text) as { id: string }).id)
      .join();

  const rows: readonly [words: readonly string[], found: string][] = [
    [[], '1,2,3'],
    [['--principal', 'abc'], '1,2'],
    [['--database', 'db', '--decision', 'deny'], '2'],
    [['--operation', 'doc-get'], '1'],
    [['--operation', 'key'], '3'],
    [['--status', '4xx'], '2'],
    [['--status', '201'], '3'],
    [['--address', '192.0.2.2'], '3'],
    [['--management'], '3'],
    [['--since', '1h'], '2,3'],
    [['--until', '1h'], '1'],
    [['--since', '2000-01-01', '--until', at(3_600_000)], '1'],
  ];
  for (const [words, found] of rows)
    it(`finds ${found} by ${words.join(' ') || 'nothing'}`, async () => {
      const { code, out } = await run(audit, words, {}, log);
      assert.equal(code, 0);
      assert.equal(ids(out), found);
    });

  it('reads files, compressed ones too, and counts what is no line of a log', async () => {
    const plain = join(folder, 'a.log');
    const packed = join(folder, 'b.log.gz');
    writeFileSync(plain, `${entry({ id: 'a' })}{"torn":\n\n`);
    writeFileSync(packed, gzipSync(entry({ id: 'b' })));
    const { code, out, err } = await run(audit, [plain, packed]);
    assert.equal(code, 0);
    assert.equal(ids(out), 'a,b');
    assert.equal(err, 'Skipped 1 line that is not an entry of an access log.\n');
  });

  /** What `docker compose logs` and other collectors put before, and a terminal after, each line. */
  const PREFIXES: Readonly<Record<string, readonly [before: string, after: string]>> = {
    'docker compose logs': ['couchgate-1  | ', ''],
    'docker compose logs on a terminal': ['\u001b[36mcouchgate-1  | \u001b[0m', ''],
    'a line that ends with an escape sequence': ['\u001b[2m', '\u001b[0m'],
    'docker logs --timestamps': ['2026-01-31T12:00:00.000000000Z ', '\r'],
    journalctl: ['Jan 31 12:00:00 host couchgate[17]: ', ''],
  };
  for (const [name, [before, after]] of Object.entries(PREFIXES))
    for (const words of [[], ['--short']])
      it(`reads what comes before and after an entry – ${name} ${words.join()}`, async () => {
        const other = [{ level: 30, time: now, msg: 'CouchDB node is up' }, { id: 'no status' }];
        const text = LINES.map((fields) => `${before}${JSON.stringify(fields)}${after}\n`).join('');
        const noise = [...other.map((each) => JSON.stringify(each)), '[notice] couchdb@1 {ok}']
          .map((each) => `${before}${each}${after}\n`)
          .join('');
        const { out, err } = await run(audit, words, {}, noise + text);
        assert.equal(out.split('\n').length - 1, LINES.length);
        assert.equal(out.includes('\u001b'), false);
        if (words.length === 0) assert.equal(out, log);
        assert.equal(err, 'Skipped 3 lines that are not entries of an access log.\n');
      });

  it('writes a few words a line with --short, none of which a terminal obeys', async () => {
    const { out } = await run(
      audit,
      ['--short'],
      {},
      log + entry({ principal: '\u001b[2J\u009b', httpRequest: '/a\nb' }),
    );
    assert.match(out, / allow 200 GET \/db\/doc by key abc from 192\.0\.2\.1 \(doc-get, role\)\n/);
    const refused = await run(audit, ['--short'], {}, entry({ loginName: '(unknown)' }));
    assert.match(refused.out, / by refused login \(unknown\) from /);
    assert.match(out, /\/a\\nb by - \\u001b\[2J\? from/);
  });

  for (const words of [
    ['--nonsense'],
    ['--decision', 'maybe'],
    ['--since', 'yesterday'],
    ['--status', '99'],
    [join(folder, 'none.log')],
  ])
    it(`exits with 2 for ${words.join(' ').replace(folder, '')}`, async () => {
      const { code, err } = await run(audit, words);
      assert.equal(code, 2);
      assert.notEqual(err, '');
    });
});
