// The commands `permissions export`, `plan` and `apply` against a running Couchgate: effects, guards and exit codes.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { runCommand } from '../../src/cli/commands.ts';
import { parsePermissionsFile } from '../../src/cli/permissions/file.ts';
import { partsOf } from '../../src/cli/permissions/file-parts.ts';
import { ROLES } from '../../src/permissions/role.ts';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

const folder = mkdtempSync(join(tmpdir(), 'couchgate-plan-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('a permissions file', () => {
  const problemsIn = (text: string): readonly string[] =>
    parsePermissionsFile(text).problems.map(({ line, reason }) => `${line}: ${reason}`);

  it('has every problem named at once, with its line', () => {
    const found = problemsIn(
      [
        'version: 2',
        'other: 1',
        'databases:',
        '  fruit:',
        '    grants:',
        '      - { key: x, name: y, roles: [_reader] }',
        '      - { name: a, roles: [_wrter, _reader] }',
        '      - { name: a, roles: [] }',
        '      - { name: _admin, roles: [_reader] }',
        '  Bad: {}',
        '  fruit:',
        '    grnts: []',
        '  x: &a {}',
        '  y: *a',
        '  z: { members: { names: [] } }',
        '',
      ].join('\n'),
    );
    const lines = found.map((text) => Number.parseInt(text, 10));
    assert.deepEqual(lines, [1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], found.join('\n'));
    assert.match(found[3] ?? '', /"_wrter" is not one of .*; did you mean _writer\?$/);
  });

  it('is refused if it is no file of this form', () => {
    const lines = [
      'version: 1',
      'prefix_grants:',
      '  a b: { name: x, databases: abc-*, roles: [_reader] }',
      '  two: { databases: abc-*, roles: [] }',
      '  three: { key: k, databases: a*c, roles: [_rader], create: yes }',
      '  four: { key: k, databases: _users*, roles: [_reader], max_databases: many, x: 1 }',
      'server_grants:',
      '  - { name: nobody, roles: [_monitor] }',
      '  - { key: k, roles: [_reader] }',
      '  - { key: k, roles: [_monitor] }',
      '',
    ];
    const found = problemsIn(lines.join('\n'));
    const at = found.map((text) => Number.parseInt(text, 10));
    assert.deepEqual(at, [3, 4, 5, 5, 5, 6, 6, 6, 6, 8, 9, 10], found.join('\n'));
    for (const text of ['', '- 1', 'version: 1', 'databases: {}', 'version: 1\ndatabases:\n\ta: {}\n', '\0'])
      assert.notEqual(problemsIn(text).length, 0, text);
    for (const text of [
      'version: 1\ndatabases:\n  a: {}\n b: {}\n',
      'version: 1\ndatabases: x\n',
      'version: !!int 1\n',
    ])
      assert.notEqual(problemsIn(text).length, 0, text);
  });

  it('is read in parts, which together are the whole text', () => {
    const text =
      'version: 1 # x\ndatabases:\n\n  # c\n  "a/b":\n    grants:\n      - name: |\n          x\n' +
      '        roles: [\n          _reader]\n  b: { grants: [\n    {name: "q\n      r", roles: [_reader]}] }\n';
    const parts = [...partsOf(text)];
    assert.equal(parts.map((part) => part.text).join(''), text);
    assert.deepEqual(
      parts.map(({ kind }) => kind),
      ['top', 'database', 'database'],
    );
    assert.equal(parsePermissionsFile('version: 1\ndatabases: { a: { grants: [] } }\n').entries.length, 1);
  });
});

describe('permissions as code', () => {
  let gate: Couchgate;
  let key: Credentials;
  const started = closedAfterSuite();
  before(async () => {
    gate = await started(startCouchgate());
    key = await gate.key();
    const body = { label: 'sensor 7' };
    await gate.ask('PATCH', `/_api/v2/api_keys/${key.name}`, { as: gate.owner, body });
  });

  async function run(words: readonly string[], answer?: string) {
    const written = { out: '', err: '' };
    const stdin = Object.assign(Readable.from(answer === undefined ? [] : [`${answer}\n`]), {
      isTTY: answer !== undefined,
    });
    const code = await runCommand('permissions', words, {
      env: {
        COUCHGATE_URL: gate.url,
        COUCHGATE_ADMIN_USER: gate.owner.name,
        COUCHGATE_ADMIN_PASSWORD: gate.owner.password,
      },
      stdin,
      stdout: { write: (part: string) => (written.out += part) },
      stderr: { write: (part: string) => (written.err += part) },
    });
    return { code, ...written };
  }
  function file(text: string, name = 'permissions.yaml'): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }
  const grants = (database: string, ...lines: readonly string[]): string =>
    `version: 1\ndatabases:\n  ${database}:\n    grants:\n${lines.map((line) => `      - ${line}\n`).join('')}`;
  const cloudantOf = async (database: string): Promise<unknown> => {
    const { body } = await gate.ask('GET', `/${encodeURIComponent(database)}/_security`, { as: gate.owner });
    return (body as { cloudant?: unknown }).cloudant;
  };

  it('adds roles, asks, and removes others only with --prune – plan and apply', async () => {
    await gate.database('fruit', { lee: ['_reader'], kim: ['_writer'] });
    const path = file(
      grants('fruit', '{ key: sensor 7, roles: [_reader] }', '{ name: lee, roles: [_writer] }'),
    );
    const planned = await run(['plan', path]);
    assert.equal(planned.code, 2, planned.err);
    assert.match(planned.out, /^ {2}lee: _reader -> _reader,_writer$/m);
    assert.match(planned.err, /no such key or user: "lee"/);
    assert.equal((await run(['apply', path], 'n')).code, 1);
    assert.deepEqual(await cloudantOf('fruit'), { lee: ['_reader'], kim: ['_writer'] });
    const unasked = await run(['apply', path]);
    assert.deepEqual([unasked.code, unasked.err.includes('add --yes')], [1, true]);
    assert.equal((await run(['apply', path], 'y')).code, 0);
    const added = { lee: ['_reader', '_writer'], kim: ['_writer'], [key.name]: ['_reader'] };
    assert.deepEqual(await cloudantOf('fruit'), added);
    assert.equal((await run(['plan', path])).code, 0);
    assert.equal((await run(['apply', path, '--prune', '--yes'])).code, 0);
    assert.deepEqual(await cloudantOf('fruit'), { lee: ['_writer'], [key.name]: ['_reader'] });
    const { body } = await gate.ask('GET', '/_api/v2/db/fruit/_security/history?limit=1', { as: gate.owner });
    assert.equal(
      (body as { history: { reason: string }[] }).history[0]?.reason,
      'permissions apply permissions.yaml',
    );
  });

  it('needs a flag to open a database, and to give rights over it – apply', async () => {
    await gate.database('closed', {});
    for (const [line, flag] of [
      ['{ name: nobody, roles: [_reader] }', '--allow-public'],
      ['{ key: sensor 7, roles: [_security] }', '--allow-admin'],
      ['{ key: sensor 7, roles: [_admin] }', '--allow-admin'],
    ] as const) {
      const path = file(grants('closed', line));
      const planned = await run(['plan', path, '--out', join(folder, 'plan.json')]);
      assert.deepEqual([planned.code, planned.out.includes(flag)], [2, true]);
      for (const what of [path, join(folder, 'plan.json')]) {
        const refused = await run(['apply', what, '--yes']);
        assert.deepEqual([refused.code, refused.err.includes(flag)], [1, true], refused.err);
        assert.deepEqual(await cloudantOf('closed'), {});
      }
      assert.equal((await run(['apply', path, '--yes', flag])).code, 0);
      await gate.grant('closed', {});
    }
    const open =
      'version: 1\ndatabases:\n  closed:\n    couchdb_auth_only: true\n    members: { names: [], roles: [] }\n';
    const refused = await run(['apply', file(open), '--yes']);
    assert.deepEqual([refused.code, refused.err.includes('--allow-public')], [1, true], refused.err);
  });

  it('refuses a saved plan whose database has moved, and says what moved – apply PLAN', async () => {
    await gate.database('moving', { lee: ['_reader'] });
    const plan = join(folder, 'moving.json');
    const path = file(grants('moving', '{ key: sensor 7, roles: [_reader] }'));
    assert.equal((await run(['plan', path, '--out', plan])).code, 2);
    await gate.grant('moving', { lee: ['_reader'], kim: ['_writer'] });
    const stale = await run(['apply', plan, '--yes']);
    assert.equal(stale.code, 1);
    assert.match(stale.err, /moving: revision \d+ by \S+ at \S+: kim - -> _writer/);
    assert.deepEqual(await cloudantOf('moving'), { lee: ['_reader'], kim: ['_writer'] });
    assert.equal((await run(['plan', path, '--out', plan])).code, 2);
    await gate.ask('DELETE', '/moving', { as: gate.owner });
    assert.match((await run(['apply', plan, '--yes'])).err, /moving: the database was deleted/);
    await gate.database('moving', {});
    assert.match((await run(['apply', plan, '--yes'])).err, /moving: the database was made again/);
    assert.equal((await run(['plan', path, '--out', plan])).code, 2);
    assert.equal((await run(['apply', plan, '--yes'])).code, 0);
    assert.deepEqual(await cloudantOf('moving'), { [key.name]: ['_reader'] });
  });

  it('refuses a saved plan that was edited – apply PLAN', async () => {
    await gate.database('edited', {});
    const plan = join(folder, 'edited.json');
    await run(['plan', file(grants('edited', '{ key: sensor 7, roles: [_reader] }')), '--out', plan]);
    const text = readFileSync(plan, 'utf8');
    for (const bad of [
      text.replace(`"name":"${key.name}"`, '"name":"nobody"'),
      text.replace('"after":["_reader"]', '"after":["_admin"]'),
      text.replace('"after":["_reader"]', '"after":["_x"]'),
      text.replace('"before":[]', '"before":["_writer"]'),
      text.replace(/"revision":"[^"]*"/, '"revision":"0.0"'),
      text.slice(0, -5),
    ]) {
      writeFileSync(plan, bad);
      assert.equal((await run(['apply', plan, '--yes'])).code, 1, bad);
      assert.deepEqual(await cloudantOf('edited'), {}, bad);
    }
  });

  it('expands patterns when the plan is made – plan', async () => {
    for (const name of ['userdb-a', 'userdb-b', 'other-a']) await gate.database(name, {});
    const path = file(grants('userdb-*', '{ key: sensor 7, roles: [_reader] }'));
    const plan = join(folder, 'pattern.json');
    assert.equal((await run(['plan', path, '--out', plan])).code, 2);
    await gate.database('userdb-c', {});
    assert.equal((await run(['apply', plan, '--yes'])).code, 0);
    const granted = { [key.name]: ['_reader'] };
    assert.deepEqual(await cloudantOf('userdb-a'), granted);
    assert.deepEqual(await cloudantOf('userdb-c'), {});
    assert.deepEqual(await cloudantOf('other-a'), {});
    const drift = await run(['plan', path]);
    assert.deepEqual(
      [drift.code, drift.out.includes('userdb-c'), drift.out.includes('userdb-b')],
      [2, true, false],
    );
    const pruned = await run(['plan', path, '--prune']);
    assert.deepEqual(
      [pruned.code, pruned.err.includes(':3: "userdb-*" is a pattern')],
      [1, true],
      pruned.err,
    );
  });

  it('names what does not fit, with its line – plan – 1', async () => {
    const twin = [await gate.key(), await gate.key()];
    for (const { name } of twin)
      await gate.ask('PATCH', `/_api/v2/api_keys/${name}`, { as: gate.owner, body: { label: 'twin' } });
    await gate.database('here', {});
    const text = `${grants('here', '{ key: none, roles: [_reader] }', '{ key: twin, roles: [_reader] }')}  gone: {}\n`;
    const { code, err } = await run(['plan', file(text, 'p.yaml')]);
    assert.equal(code, 1);
    const path = join(folder, 'p.yaml');
    for (const line of [
      `${path}:5: no valid key has the label "none"`,
      `${path}:6: 2 valid keys have the label "twin"`,
      `${path}:7: there is no database "gone"`,
    ])
      assert.ok(err.includes(line), err);
    for (const words of [
      ['plan'],
      ['plan', 'a', 'b'],
      ['plan', path, '--yes'],
      ['plan', join(folder, 'missing')],
    ])
      assert.equal((await run(words)).code, 1, words.join(' '));
    assert.equal((await run(['what'])).code, 2);
  });

  it('exports what plans to nothing, whatever is granted – export, then plan', async () => {
    const names = [
      'x',
      'a b',
      '"q"',
      "it's",
      '- x',
      '#c',
      'ü→',
      'true',
      '~',
      '1e3',
      'a: b',
      '{x}',
      '*a',
      '&b',
      '!t',
      ' y ',
    ];
    const random = (of: number): number => Math.floor(Math.random() * of);
    for (let at = 0; at < 12; at += 1) {
      const cloudant = Object.fromEntries(
        names.filter(() => random(2) === 0).map((name) => [name, ROLES.filter(() => random(3) === 0)]),
      );
      await gate.database(`trip/${at}`, { ...cloudant, [key.name]: ['_reader'] });
    }
    const left = { couchdb_auth_only: true, members: { names: ['kim', 'a: b'], roles: ['crew'] }, extra: 1 };
    await gate.database('trip-left', {});
    await gate.ask('PUT', '/trip-left/_security', { as: gate.owner, body: left });
    await gate.ask('PUT', '/trip-public', { as: gate.owner });
    const open = { couchdb_auth_only: true, members: { names: [], roles: [] }, admins: { names: ['kim'] } };
    await gate.ask('PUT', '/trip-public/_security', { as: gate.owner, body: open });
    const exported = await run(['export']);
    assert.equal(exported.code, 0, exported.err);
    assert.ok(exported.out.includes('key: sensor 7') && !exported.out.includes('couchgate'), exported.out);
    for (const flags of [[], ['--prune']]) {
      const planned = await run(['plan', file(exported.out), ...flags]);
      assert.deepEqual([planned.code, planned.err], [0, ''], planned.out);
    }
    const one = await run(['export', 'trip/3']);
    assert.equal(parsePermissionsFile(one.out).entries.length, 1);
    assert.equal((await run(['export', 'none'])).code, 1);
  });

  interface Shown {
    readonly principal: string;
    readonly roles: readonly string[];
    readonly revision: string;
  }
  const grantsOf = async (kind: 'prefix_grants' | 'server_grants'): Promise<readonly Shown[]> => {
    const { body } = await gate.ask('GET', `/_api/v2/${kind}`, { as: gate.owner });
    return (body as Record<string, Shown[]>)[kind] ?? [];
  };
  const rolesOf = async (at: number) => (await grantsOf('prefix_grants'))[at]?.roles;

  it('adds, exports, replaces and revokes prefix grants and server grants – plan and apply', async () => {
    const written = (...lines: readonly string[]): string => file(`version: 1\n${lines.join('\n')}\n`);
    const backend = (rest: string): string => `  backend: { key: sensor 7, databases: "app-*", ${rest} }`;
    const path = written(
      'prefix_grants:',
      backend('roles: [_reader], create: true, max_databases: 7'),
      'server_grants:',
      '  - { name: max, roles: [_monitor] }',
    );
    const planned = await run(['plan', path]);
    assert.equal(planned.code, 2, planned.err);
    assert.ok(planned.out.includes(`- -> ${key.name} app-* _reader create (7 databases)`), planned.out);
    assert.match(planned.err, /no such key or user: "max"/);
    assert.equal((await run(['apply', path, '--yes'])).code, 0);
    assert.equal((await run(['plan', path, '--prune'])).code, 0);
    const monitor = (await grantsOf('server_grants'))[0];
    assert.equal(monitor?.principal, 'max');
    const exported = await run(['export']);
    assert.ok(exported.out.includes('{ key: sensor 7, databases: "app-*"'), exported.out);
    for (const flags of [[], ['--prune']]) {
      const again = await run(['plan', file(exported.out), ...flags]);
      assert.deepEqual([again.code, again.err], [0, ''], again.out);
    }
    // Without --prune the file takes nothing away, and gives nothing to somebody else.
    const more = written('prefix_grants:', backend('roles: [_writer]'));
    assert.equal((await run(['apply', more, '--yes'])).code, 0);
    assert.deepEqual(await rolesOf(0), ['_reader', '_writer']);
    const other = written('prefix_grants:', '  backend: { name: x, databases: "app-*", roles: [_reader] }');
    const refused = await run(['plan', other]);
    assert.deepEqual([refused.code, refused.err.includes(':3: "backend" has another principal')], [1, true]);
    const exactly = written('prefix_grants:', backend('roles: [_writer]'));
    assert.equal((await run(['apply', exactly, '--yes', '--prune'])).code, 0);
    assert.deepEqual(await rolesOf(0), ['_writer']);
    assert.equal((await grantsOf('server_grants')).length, 1, 'a section that is not there is not managed');
    assert.equal((await run(['apply', written('prefix_grants: {}'), '--yes'])).code, 0);
    assert.equal((await grantsOf('prefix_grants')).length, 1);
    const none = written('prefix_grants: {}', 'server_grants: []');
    assert.equal((await run(['apply', none, '--yes', '--prune'])).code, 0);
    assert.deepEqual(await grantsOf('prefix_grants'), []);
    assert.deepEqual(await grantsOf('server_grants'), []);
  });

  it('needs a flag for dangerous roles, and refuses what has moved – prefix grants', async () => {
    const plan = join(folder, 'grants.json');
    const put = (body: object, headers: Readonly<Record<string, string>> = {}) =>
      gate.ask('PUT', '/_api/v2/prefix_grants/risky', { as: gate.owner, body, headers });
    const text =
      'version: 1\nprefix_grants:\n  risky: { key: sensor 7, databases: "app-*", roles: [_security] }\n';
    assert.equal((await run(['plan', file(text), '--out', plan])).code, 2);
    for (const what of [file(text), plan]) {
      const refused = await run(['apply', what, '--yes']);
      assert.deepEqual([refused.code, refused.err.includes('--allow-admin')], [1, true], refused.err);
      assert.deepEqual(await grantsOf('prefix_grants'), []);
    }
    const edited = readFileSync(plan, 'utf8').replace('app-*', 'x*');
    assert.equal((await run(['apply', file(edited, 'edited.json'), '--yes', '--allow-admin'])).code, 1);
    const harmless = { principal: key.name, databases: 'app-*', roles: ['_reader'] };
    assert.equal((await put(harmless)).status, 201);
    const stale = await run(['apply', plan, '--yes', '--allow-admin']);
    assert.equal(stale.code, 1);
    assert.match(
      stale.err,
      /plan is stale, nothing is changed[^]*risky: changed by \S+ at \S+: - -> \S+ app-\* _reader/,
    );
    // The server decides again: the state that a request names must be in force.
    const [held] = await grantsOf('prefix_grants');
    for (const headers of [{ 'If-None-Match': '*' }, { 'If-Match': '"1-0"' }]) {
      assert.equal((await put(harmless, headers)).status, 412);
      const revoked = await gate.ask('DELETE', '/_api/v2/prefix_grants/risky', { as: gate.owner, headers });
      assert.equal(revoked.status, 412);
    }
    assert.equal((await put(harmless, { 'If-Match': '*' })).status, 400);
    assert.equal((await put(harmless, { 'If-Match': `W/"${held?.revision}"` })).status, 200);
    assert.equal((await run(['apply', file(text), '--yes', '--allow-admin'])).code, 0);
    assert.deepEqual(await rolesOf(0), ['_reader', '_security']);
    assert.equal((await run(['plan', file(text.replace('"app-*"', '"app-x*"')), '--prune'])).code, 2);
    const narrower = await run(['apply', file(text.replace('"app-*"', '"app-x*"')), '--yes', '--prune']);
    assert.equal(narrower.code, 0, narrower.err);
    const wider = await run(['apply', file(text), '--yes', '--prune']);
    assert.deepEqual([wider.code, wider.err.includes('--allow-admin')], [1, true], wider.err);
    await gate.ask('DELETE', '/_api/v2/prefix_grants/risky', { as: gate.owner });
  });

  it('adds to the members of a database that is left to CouchDB, and gives it back – apply', async () => {
    await gate.database('couch', {});
    const with1 = (names: string): string =>
      `version: 1\ndatabases:\n  couch:\n    couchdb_auth_only: true\n    members: { names: [${names}] }\n`;
    assert.equal((await run(['apply', file(with1('kim')), '--yes'])).code, 0);
    assert.equal((await run(['apply', file(with1('lee')), '--yes'])).code, 0);
    const security = async () => (await gate.ask('GET', '/couch/_security', { as: gate.owner })).body;
    const { members } = (await security()) as { members: { names: string[] } };
    assert.deepEqual(members.names, ['kim', 'lee']);
    const back = 'version: 1\ndatabases:\n  couch: { couchdb_auth_only: false }\n';
    assert.equal((await run(['apply', file(back), '--yes'])).code, 0);
    assert.equal(((await security()) as { couchdb_auth_only: boolean }).couchdb_auth_only, false);
  });
});
