// The commands `keys`, `grant` and `revoke-grant` against a running Couchgate: effects, output and exit codes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

describe('the commands for keys and grants', () => {
  let gate: Couchgate;
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-keys-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  before(async () => {
    gate = await started(startCouchgate());
    await gate.database('fruit', { other: ['_reader'] });
  });

  async function run(text: string, env: Record<string, string> = {}): Promise<Result> {
    const [name = '', ...words] = text.split(' ');
    const written = { out: '', err: '' };
    const code = await runCommand(name, words, {
      env: {
        COUCHGATE_URL: gate.url,
        COUCHGATE_ADMIN_USER: gate.owner.name,
        COUCHGATE_ADMIN_PASSWORD: gate.owner.password,
        ...env,
      },
      stdin: Readable.from([]),
      stdout: { write: (part: string) => (written.out += part) },
      stderr: { write: (part: string) => (written.err += part) },
    });
    return { code, ...written };
  }
  async function succeed(text: string): Promise<string> {
    const { code, out, err } = await run(text);
    assert.equal(code, 0, err);
    return out;
  }
  const cloudantOf = async (database: string): Promise<unknown> => {
    const { body } = await gate.ask('GET', `/${database}/_security`, { as: gate.owner });
    return (body as { cloudant?: unknown }).cloudant;
  };
  async function makeKey(more = ''): Promise<{ name: string; password: string }> {
    const { key, password } = JSON.parse(await succeed(`keys create --json${more}`)) as Record<
      string,
      string
    >;
    return { name: String(key), password: String(password) };
  }

  it('create a key that works, with its grants – keys create', async () => {
    const out = await succeed('keys create --label sensor --expires 90d --grant fruit=_reader,_writer');
    const [, name = '', password = ''] = /^key: {6}(\S+)\npassword: (\S+)\n$/.exec(out) ?? [];
    const as = { name, password };
    assert.equal((await gate.ask('PUT', '/fruit/a', { as, body: {} })).status, 201);
    const shown = await succeed(`keys show ${name}`);
    assert.match(shown, /^key: +\S+\nlabel: +sensor\ncreated_by: .*\ncreated_at: .*\nexpires_at: +20/);
    const { expires_at: end } = JSON.parse(await succeed(`keys show ${name} --json`)) as Record<
      string,
      string
    >;
    const days = (Date.parse(end ?? '') - Date.now()) / 86_400_000;
    assert.equal(days > 89 && days <= 90, true);
  });

  it('list keys in columns – keys list', async () => {
    const { name } = await makeKey();
    const [head = '', ...rows] = (await succeed('keys list')).trimEnd().split('\n');
    assert.match(head, /^key +label +created_at +expires_at +last_used$/);
    const row = rows.find((line) => line.startsWith(name)) ?? '';
    assert.equal(row.indexOf('-'), head.indexOf('label'));
  });

  it('rotate and revoke – keys rotate, keys revoke', async () => {
    const old = await makeKey(' --grant fruit=_reader');
    const out = await succeed(`keys rotate ${old.name} --overlap 0`);
    const [, password = ''] = /^password: +(\S+)$/m.exec(out) ?? [];
    const statusOf = async (given: string): Promise<number> =>
      (await gate.ask('GET', '/fruit', { as: { name: old.name, password: given } })).status;
    assert.deepEqual([await statusOf(old.password), await statusOf(password)], [401, 200]);
    assert.equal(
      await succeed(`keys revoke ${old.name}`),
      'The key is revoked.\nGrants without effect are left on: fruit\n',
    );
    assert.equal(
      await succeed(`keys revoke ${old.name} --remove-grants`),
      'The key is revoked.\nGrants were removed on: fruit\n',
    );
    assert.equal(Object.hasOwn((await cloudantOf('fruit')) as object, old.name), false);
    assert.equal(await statusOf(password), 401);
  });

  it('make, change and remove a prefix grant – grant KEY ROLES PREFIX*', async () => {
    const { name } = await makeKey();
    const held = async (): Promise<readonly Record<string, unknown>[]> => {
      const { body } = await gate.ask('GET', '/_api/v2/prefix_grants', { as: gate.owner });
      return (body as { prefix_grants: Record<string, unknown>[] }).prefix_grants.filter(
        ({ principal }) => principal === name,
      );
    };
    const on = 'pre-one-*';
    assert.equal(await succeed(`grant ${name} _reader ${on}`), `${name} has _reader on ${on}\n`);
    await succeed(`grant ${name} _writer ${on}`);
    const [grant, second] = await held();
    assert.deepEqual([grant?.['roles'], second], [['_reader', '_writer'], undefined]);
    const dangerous = await run(`grant ${name} _security ${on}`);
    assert.deepEqual([dangerous.code, /--allow-admin/.test(dangerous.err)], [2, true]);
    await succeed(`grant ${name} _security ${on} --allow-admin`);
    assert.deepEqual((await held())[0]?.['roles'], ['_reader', '_writer', '_security']);
    const body = { principal: name, databases: on, roles: ['_reader'], create: true, max_databases: 3 };
    await gate.ask('PUT', `/_api/v2/prefix_grants/${String(grant?.['id'])}`, { as: gate.owner, body });
    // The right to create stays until the word `all`.
    await succeed(`revoke-grant ${name} _reader ${on}`);
    assert.deepEqual([(await held())[0]?.['roles'], (await held())[0]?.['max_databases']], [[], 3]);
    assert.equal(await succeed(`revoke-grant ${name} all ${on}`), `${name} has no roles on ${on}\n`);
    assert.deepEqual(await held(), []);
    await succeed(`revoke-grant ${name} all ${on}`);
    for (const words of [`grant ${name} _reader a*c`, `grant nobody _reader ${on} --allow-public`])
      assert.equal((await run(words)).code, 1, words);
  });

  it('add and remove roles of one name, and keep the others – grant, revoke-grant', async () => {
    const { name } = await makeKey();
    assert.equal(await succeed(`grant ${name} _writer fruit`), `${name} has _writer on fruit\n`);
    await succeed(`grant ${name} _reader,_writer fruit`);
    assert.deepEqual(await cloudantOf('fruit'), {
      ...((await cloudantOf('fruit')) as object),
      other: ['_reader'],
      [name]: ['_reader', '_writer'],
    });
    const json = JSON.parse(await succeed(`revoke-grant ${name} _writer fruit --json`)) as unknown;
    assert.deepEqual(json, { ok: true, database: 'fruit', name, roles: ['_reader'] });
    assert.equal(await succeed(`revoke-grant ${name} all fruit`), `${name} has no roles on fruit\n`);
    assert.equal(Object.hasOwn((await cloudantOf('fruit')) as object, name), false);
  });

  it('change a name where another has roles that nobody can put – grant, revoke-grant', async () => {
    const headers = { authorization: basic(gate.owner), 'content-type': 'application/json' };
    const couch = `${gate.backend.urls[0] ?? ''}/foreign`;
    await fetch(couch, { method: 'PUT', headers });
    const body = JSON.stringify({ cloudant: { other: ['_reader', '_future'] } });
    assert.equal((await fetch(`${couch}/_security`, { method: 'PUT', headers, body })).status, 200);
    await succeed('grant somebody _reader,_writer foreign');
    await succeed('revoke-grant somebody _writer foreign');
    assert.deepEqual(await cloudantOf('foreign'), { other: ['_reader'], somebody: ['_reader'] });
  });

  it('lose no grant of twelve that are made at once – grant', async () => {
    await gate.database('busy', {});
    const names = Array.from({ length: 12 }, (_, at) => `n${at}`);
    await Promise.all(names.map((name) => succeed(`grant ${name} _reader busy`)));
    assert.deepEqual(Object.keys((await cloudantOf('busy')) as object).sort(), names.sort());
  });

  it('open a database to everybody only with --allow-public – grant nobody – 2', async () => {
    await gate.database('open', {});
    const refused = await run('grant nobody _reader open');
    assert.deepEqual([refused.code, refused.out], [2, '']);
    assert.match(refused.err, /^nobody is everybody without a password; add --allow-public/);
    assert.equal((await gate.ask('GET', '/open')).status, 401);
    await succeed('grant nobody _reader open --allow-public');
    assert.equal((await gate.ask('GET', '/open')).status, 200);
  });

  it('refuse a database whose access CouchDB decides – grant – 1', async () => {
    await gate.database('left');
    const body = { couchdb_auth_only: true, members: { names: ['x'], roles: [] } };
    await gate.ask('PUT', '/left/_security', { as: gate.owner, body });
    const { code, err } = await run('grant x _reader left');
    assert.equal(code, 1);
    assert.match(err, /^CouchDB decides about left/);
  });

  it('read the password from a file and never show it', async () => {
    const file = join(folder, 'password');
    writeFileSync(file, `${gate.owner.password}\n`);
    const { code, out, err } = await run(`keys list --password-file ${file}`, {
      COUCHGATE_ADMIN_PASSWORD: 'no',
    });
    assert.equal(code, 0, err);
    assert.equal((out + err).includes(gate.owner.password), false);
  });

  const rows: readonly (readonly [
    command: string,
    code: number,
    says: RegExp,
    env?: Record<string, string>,
  ])[] = [
    ['keys', 2, /^name one of list, show/],
    ['keys steal', 2, /^name one of list, show/],
    ['keys list more', 2, /^keys list takes no arguments\nUsage/],
    ['keys show', 2, /^keys show takes one key/],
    ['keys list --label x', 2, /^--label is not an option of keys list/],
    ['keys rotate k --overlap soon', 2, /^--overlap must be a number of seconds/],
    ['keys create --grant fruit', 2, /^--grant must be like fruit=_reader,_writer/],
    ['keys create --grant fruit=reader', 2, /^"reader" is not one of .*; did you mean _reader\?/],
    ['keys create --expires yesterday', 1, /^creating a key failed: 400 bad_request: `expires_at` must be/],
    ['keys create --grant none=_reader', 1, /^creating a key failed: 404 not_found/],
    ['keys show nosuchkey', 1, /^reading the key nosuchkey failed: 404 not_found/],
    ['keys list', 1, /^listing the keys failed: 401 unauthorized/, { COUCHGATE_ADMIN_PASSWORD: 'wrong' }],
    ['keys list', 1, /^http:\/\/127\.0\.0\.1:1 cannot be reached/, { COUCHGATE_URL: 'http://127.0.0.1:1' }],
    ['keys list --url http://a:b@127.0.0.1', 2, /^a URL contains credentials/],
    ['keys list --password-file /none', 2, /^\/none cannot be read \(ENOENT\)/],
    ['grant k _reader', 2, /^pass a key, roles and a database\nUsage: couchgate grant/],
    ['grant k all fruit', 2, /^"all" is not one of/],
    ['grant k _reader none', 1, /^reading the permissions of none failed: 404 not_found/],
    ['revoke-grant k _reader fruit --allow-public', 2, /^Unknown option '--allow-public'\nUsage/],
  ];
  for (const [command, code, says, env] of rows)
    it(`exit with ${code} and say why – ${command}`, async () => {
      const result = await run(command, env);
      assert.deepEqual([result.code, result.out], [code, '']);
      assert.match(result.err, says);
    });

  it('exit with 2 if there is no password and no terminal', async () => {
    const result = await runCommand('keys', ['list'], {
      env: { COUCHGATE_URL: gate.url },
      stdin: Readable.from([]),
      stdout: { write: () => true },
      stderr: { write: (text: string) => assert.doesNotMatch(text, /\n {4}at /) },
    });
    assert.equal(result, 2);
  });
});
