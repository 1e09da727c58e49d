// The commands `explain`, `who-can` and `what-can` against a running Couchgate: output and exit codes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';
import { until } from '../support/until.ts';

describe('the commands explain, who-can and what-can', () => {
  let gate: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-explain-'));
  const log = join(folder, 'access.log');
  after(() => rmSync(folder, { recursive: true, force: true }));
  before(async () => {
    gate = await started(startCouchgate());
    key = await gate.key();
    await gate.database('fruit', { [key.name]: ['_reader'], boss: ['_admin'] });
    await gate.database('closed', {});
  });

  async function run(words: readonly string[], env: Record<string, string> = {}) {
    const [name = '', ...args] = words;
    const written = { out: '', err: '' };
    const code = await runCommand(name, args, {
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

  it('says that a request is allowed, denied or unknown – explain – exit codes 0, 1 and 3', async () => {
    assert.equal((await run(['explain', '--as', key.name, 'GET', '/fruit/apple'])).code, 0);
    const denied = await run(['explain', '--as', key.name, 'PUT', '/fruit/apple']);
    assert.equal(denied.code, 1);
    assert.match(denied.out, /^rule: +grant$/m);
    assert.match(denied.out, /^missing: +_writer$/m);
    const copy = ['explain', '--as', 'nobody', 'COPY', '/fruit/a', '--header', 'Destination: b', '--json'];
    assert.deepEqual((JSON.parse((await run(copy)).out) as { missing: unknown }).missing, [
      ['_reader', '_writer'],
      ['_writer', '_replicator'],
    ]);
    const inherited = ['explain', '--as', key.name, 'GET', '/fruit/a', '--header', '__proto__: x'];
    assert.equal((await run([...inherited, '--header', 'constructor: x'])).code, 0);
    const bulk = ['explain', '--as', gate.owner.name, 'POST', '/fruit/_bulk_docs'];
    assert.equal((await run(bulk)).code, 3);
    assert.equal((await run([...bulk, '--data', '{"docs":[]}'])).code, 0);
    writeFileSync(join(folder, 'body.json'), '{"docs":[{"_id":"_local/shard-sync-a"}]}');
    assert.equal((await run([...bulk, '--data', `@${join(folder, 'body.json')}`])).code, 1);
  });

  it('is invalid usage without a method, and unknown without a server – exit codes 2 and 3', async () => {
    for (const words of [
      ['explain', 'GET', '/fruit'],
      ['explain', '--as', 'x', 'GET'],
      ['explain', '--as', 'x', '--log', 'y'],
      ['explain', '--now', '--as', 'x', 'GET', '/'],
      ['explain', '--as', 'x', 'GET', '/', '--header', 'x'],
      ['who-can', '_writer'],
      ['who-can', '_wrter', 'fruit'],
      ['what-can'],
    ])
      assert.equal((await run(words)).code, 2, words.join(' '));
    const away = { COUCHGATE_URL: 'http://127.0.0.1:1' };
    assert.equal((await run(['explain', '--as', 'x', 'GET', '/'], away)).code, 3);
  });

  it('tells what an access log says about a request, and decides again with --now – explain --log', async () => {
    const { headers } = await gate.ask('PUT', '/fruit/apple', { as: key, body: {} });
    const id = headers.get('x-couch-request-id') ?? '';
    const lineOf = async () => (await gate.accessLog()).find((line) => line['id'] === id);
    await until(async () => (await lineOf()) !== undefined);
    writeFileSync(log, `not a line\n${JSON.stringify(await lineOf())}\n`);
    const told = await run(['explain', '--log', id, log], { COUCHGATE_URL: 'http://127.0.0.1:1' });
    assert.equal(told.code, 1, told.err);
    assert.match(told.out, /^reason: +_writer access is required for this request$/m);
    await gate.grant('fruit', { [key.name]: ['_reader', '_writer'], boss: ['_admin'] });
    assert.equal((await run(['explain', '--log', id, log, '--now'])).code, 0);
    await gate.grant('fruit', { [key.name]: ['_reader'], boss: ['_admin'] });
    assert.equal((await run(['explain', '--log', 'none', log])).code, 3);
    assert.equal((await run(['explain', '--log', id, join(folder, 'missing.log')])).code, 2);
  });

  it('lists who has a role, holders of _admin included – who-can – exit codes 0, 1 and 3', async () => {
    const { code, out } = await run(['who-can', '_writer', 'fruit']);
    assert.deepEqual([code, out.includes('boss'), out.includes(key.name)], [0, true, false]);
    assert.equal((await run(['who-can', '_reader', 'fruit'])).out.includes(key.name), true);
    assert.equal((await run(['who-can', '_reader', 'closed'])).code, 1);
    assert.equal((await run(['who-can', '_reader', 'none'])).code, 3);
    const body = { couchdb_auth_only: true, members: { names: ['kim'] } };
    await gate.database('left');
    await gate.ask('PUT', '/left/_security', { as: gate.owner, body });
    const left = await run(['who-can', '_reader', 'left']);
    assert.deepEqual([left.code, left.out.includes('kim')], [3, true]);
  });

  it('lists the databases of a key – what-can – exit codes 0 and 1', async () => {
    const { code, out } = await run(['what-can', key.name]);
    assert.equal(code, 0);
    assert.match(out, /^fruit {2}_reader {2}\(_security\)$/m);
    const asItself = { COUCHGATE_ADMIN_USER: key.name, COUCHGATE_ADMIN_PASSWORD: key.password };
    const own = await run(['what-can', key.name], asItself);
    assert.deepEqual([own.code, own.out], [0, `${key.name}: key\nfruit  _reader  (_security)\n`]);
    assert.equal((await run(['what-can', 'boss'], asItself)).code, 3);
    const none = await run(['what-can', 'none', '--json']);
    assert.deepEqual(
      [none.code, JSON.parse(none.out)],
      [1, { principal: 'none', kind: 'unknown', databases: [] }],
    );
  });
});
