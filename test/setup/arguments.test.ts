// The command line of `couchgate setup`, and the pure decisions about handlers, patterns and settings.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { matchesPattern } from '../../src/permissions/database-pattern.ts';
import { parseSetupArguments, UsageError } from '../../src/setup/arguments.ts';
import { runSetup } from '../../src/setup/index.ts';
import { judgeHandlers, RULES, type NodeConfig } from '../../src/setup/rules.ts';

const JWT = '{chttpd_auth, jwt_authentication_handler}';
const COOKIE = '{chttpd_auth, cookie_authentication_handler}';
const BASIC = '{chttpd_auth, default_authentication_handler}';
const PROXY = '{chttpd_auth, proxy_authentication_handler}';

describe('the arguments of setup', () => {
  it('takes addresses, and credentials from elsewhere', () => {
    const folder = mkdtempSync(join(tmpdir(), 'couchgate-setup-'));
    writeFileSync(join(folder, 'password'), 'from file\n');
    const env = { COUCHGATE_ADMIN_USER: 'root', COUCHGATE_ADMIN_PASSWORD: 'from env' };
    const args = ['--dry-run', '--adopt', 'a*', '--adopt', 'b', 'http://[::1]:5984/', 'https://db.example'];
    const parsed = parseSetupArguments(args, env);
    assert.deepEqual(parsed.urls, ['http://[::1]:5984', 'https://db.example']);
    assert.deepEqual([parsed.user, parsed.password, parsed.dryRun], ['root', 'from env', true]);
    assert.deepEqual(parsed.adopt, ['a*', 'b']);
    const file = ['--user', 'x', '--password-file', join(folder, 'password'), 'http://a'];
    assert.equal(parseSetupArguments(file, env).password, 'from file');
    rmSync(folder, { recursive: true });
  });

  const refused: readonly (readonly [string, readonly string[]])[] = [
    ['no address', []],
    ['an address that is none', ['localhost:5984']],
    ['an option that there is not', ['--password', 'x', 'http://a']],
    ['credentials on the command line', ['http://admin:hunter2@a:5984']],
    ['both steps of a change-over at once', ['--rotate', '--retire', 'x', 'http://a']],
    ['a password file that is not there', ['--password-file', '/no/such/file', 'http://a']],
  ];
  for (const [what, args] of refused) {
    it(`refuses ${what}, and does not repeat a password`, async () => {
      assert.throws(() => parseSetupArguments(args, {}), UsageError);
      const lines: string[] = [];
      const settings = () => {
        throw new Error('settings were read although the arguments are wrong');
      };
      assert.equal(await runSetup({ args, env: {}, settings, print: (line) => lines.push(line) }), 2);
      assert.doesNotMatch(lines.join('\n'), /hunter2/u);
    });
  }
});

describe('the settings of CouchDB', () => {
  const handlers: readonly (readonly [string | undefined, string | undefined])[] = [
    [undefined, `${JWT}, ${COOKIE}, ${BASIC}`],
    [`${JWT}, ${COOKIE}, ${BASIC}`, undefined],
    ['{chttpd_auth,jwt_authentication_handler},{ chttpd_auth , default_authentication_handler }', undefined],
    [`${COOKIE}, ${BASIC}`, `${JWT}, ${COOKIE}, ${BASIC}`],
    [`${PROXY}, ${COOKIE}, ${BASIC}`, `${JWT}, ${COOKIE}, ${BASIC}`],
    [`${COOKIE}, ${JWT}, ${PROXY}`, `${JWT}, ${COOKIE}`],
    [`${JWT}, {my_auth, own_handler}`, undefined],
    [`{my_auth, own_handler}, ${BASIC}`, `${JWT}, {my_auth, own_handler}, ${BASIC}`],
    ['', JWT],
  ];
  for (const [value, wanted] of handlers) {
    it(`makes of the handlers ${value ?? '(default)'}: ${wanted ?? 'nothing'}`, () => {
      const expected = wanted === undefined ? { kind: 'fine' } : { kind: 'set', value: wanted };
      assert.deepEqual(judgeHandlers(value), expected);
    });
  }

  /** What each of these makes of the rule of its key. */
  const settings: readonly (readonly [string, string, NodeConfig, string])[] = [
    ['jwt_auth', 'required_claims', { jwt_auth: { required_claims: 'nbf' } }, 'set'],
    ['jwt_auth', 'required_claims', {}, 'fine'],
    ['jwt_auth', 'roles_claim_path', { jwt_auth: { roles_claim_path: 'a' } }, 'remove'],
    ['chttpd_auth', 'proxy_use_secret', {}, 'set'],
    ['chttpd', 'decode_plus_to_space', {}, 'fine'],
    ['chttpd', 'decode_plus_to_space', { chttpd: { decode_plus_to_space: 'false' } }, 'set'],
    ['chttpd', 'buffer_response', {}, 'fine'],
    ['chttpd', 'buffer_response', { chttpd: { buffer_response: 'true' } }, 'set'],
    ['chttpd_auth', 'authentication_db', {}, 'fine'],
    ['chttpd_auth', 'authentication_db', { chttpd_auth: { authentication_db: '_users' } }, 'fine'],
    ['chttpd_auth', 'authentication_db', { chttpd_auth: { authentication_db: 'people' } }, 'look'],
    ['chttpd', 'enable_cors', {}, 'fine'],
    ['chttpd', 'enable_cors', { chttpd: { enable_cors: 'true' } }, 'set'],
    ['chttpd', 'enable_cors', { httpd: { enable_cors: 'true' } }, 'set'],
    ['chttpd', 'enable_cors', { httpd: { enable_cors: 'true' }, chttpd: { enable_cors: 'false' } }, 'fine'],
    ['chttpd', 'admin_only_all_dbs', { chttpd: { admin_only_all_dbs: 'false' } }, 'set'],
    ['couchdb', 'default_security', { couchdb: { default_security: 'everyone' } }, 'set'],
    ['vhosts', '*', { vhosts: { 'a.example': '/db' } }, 'look'],
    ['vhosts', '*', {}, 'fine'],
    ['admins', '*', {}, 'look'],
    ['chttpd_auth', 'secret', {}, 'look'],
    ['couchdb', 'max_document_size', {}, 'fine'],
    ['couchdb', 'max_document_size', { couchdb: { max_document_size: '8000000' } }, 'fine'],
    ['couchdb', 'max_document_size', { couchdb: { max_document_size: '67108864' } }, 'fine'],
    ['couchdb', 'max_document_size', { couchdb: { max_document_size: '67108865' } }, 'look'],
    ['couchdb', 'max_document_size', { couchdb: { max_document_size: 'infinity' } }, 'look'],
    ['chttpd_auth', 'x_auth_token', { chttpd_auth: { x_auth_token: 'X-T' } }, 'remove'],
  ];
  for (const [section, key, config, kind] of settings) {
    it(`finds [${section}] ${key} in ${JSON.stringify(config)}: ${kind}`, () => {
      const rule = RULES.find((each) => each.section === section && each.key === key);
      assert.equal(rule?.judge(config[section]?.[key], config).kind, kind);
    });
  }
});

describe('the patterns of --adopt', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['team', 'team', true],
    ['team', 'team2', false],
    ['team*', 'team/a', true],
    ['*', 'anything', true],
    ['*_$x(1)+', 'a_$x(1)+', true],
    ['a.b', 'axb', false],
    ['a*c', 'abcd', false],
  ];
  for (const [pattern, name, expected] of cases) {
    it(`${pattern} ${expected ? 'names' : 'does not name'} ${name}`, () => {
      assert.equal(matchesPattern(pattern, name), expected);
    });
  }
});
