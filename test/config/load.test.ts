// The configuration: one table, three files, the environment; every problem at once.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadConfiguration, loadSettings } from '../../src/config/load.ts';
import { ConfigurationError } from '../../src/config/problem.ts';

const root = mkdtempSync(join(tmpdir(), 'couchgate-config-'));
after(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = join(root, String((count += 1)));
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** The problems as `file:line path: reason`, the folder taken off. */
function problemsOf(files: Readonly<Record<string, string>>, env: Record<string, string> = {}): string[] {
  const folder = folderWith(files);
  try {
    loadSettings({ env, folder });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, 'must be a ConfigurationError');
    return error.problems.map(
      ({ file, line, path, reason }) => `${file.replace(`${folder}/`, '')}:${line ?? '-'} ${path}: ${reason}`,
    );
  }
  return [];
}

const STRONG = Buffer.alloc(32, 7).toString('base64');

describe('loadSettings', () => {
  it('gives the defaults, frozen, when there is no folder at all', () => {
    const settings = loadSettings({ env: {}, folder: join(root, 'none') });
    assert.equal(settings.listen, '127.0.0.1:5984');
    assert.deepEqual(settings.couchdbNodes, []);
    assert.deepEqual(settings.allow, ['0.0.0.0/0', '::/0']);
    assert.equal(settings.configFolder, join(root, 'none'));
    assert.equal(Object.isFrozen(settings), true);
  });

  it('reads all three files, and lets the environment win', () => {
    const folder = folderWith({
      'couchgate.yaml': '# comment\nlisten: 127.0.0.1:1\nmax_url_bytes: 2048\nworkers: 2\n',
      'ip-whitelist.yaml':
        'allow:\n  - 10.0.0.0/8\n  - "::ffff:192.0.2.1"\ntrusted_proxies: [ 172.16.0.1 ]\n',
      'cors.yaml': 'enable_cors: true\norigins: ["https://app.example.com", "capacitor://localhost"]\n',
    });
    const { settings, sourceOf } = loadConfiguration({
      env: { COUCHGATE_LISTEN: '127.0.0.1:2', COUCHGATE_CONFIG: folder, COUCHGATE_LOG_LEVEL: '' },
    });
    assert.equal(settings.listen, '127.0.0.1:2');
    assert.equal(settings.maxUrlBytes, 2048);
    assert.equal(settings.workers, '2');
    assert.equal(settings.logLevel, 'info');
    assert.deepEqual(settings.allow, ['10.0.0.0/8', '192.0.2.1/32']);
    assert.deepEqual(settings.trustedProxies, ['172.16.0.1/32']);
    assert.deepEqual(settings.origins, ['https://app.example.com', 'capacitor://localhost']);
    assert.equal(sourceOf.get('listen'), 'COUCHGATE_LISTEN');
    assert.equal(sourceOf.get('max_url_bytes'), `${folder}/couchgate.yaml:3`);
  });

  it('lists every problem at once, with file, line, path, and the nearest known name', () => {
    assert.deepEqual(
      problemsOf(
        {
          'couchgate.yaml':
            'tls_listn: x\nmax_url_bytes: -1\nlisten: nowhere\nowner_password: hunter2\norigins: []\n',
          'cors.yaml':
            'origins:\n  - https://ok.example\n  - https://bad.example/path\nallow_credentials: yes\n',
          'ip-whitelist.yml': 'allow: []\n',
        },
        { COUCHGATE_LISTN: '1', COUCHGATE_HSTS_SECONDS: 'x' },
      ),
      [
        'ip-whitelist.yml:- : is not a configuration file of Couchgate; did you mean ip-whitelist.yaml?',
        'couchgate.yaml:1 tls_listn: is not a setting of couchgate.yaml; did you mean tls_listen?',
        'couchgate.yaml:4 owner_password: is a secret; set COUCHGATE_OWNER_PASSWORD, or owner_password_file to the name of a file',
        'couchgate.yaml:5 origins: belongs in cors.yaml',
        'environment:- COUCHGATE_LISTN: is not a setting; did you mean COUCHGATE_LISTEN?',
        'couchgate.yaml:2 max_url_bytes: must be a whole number (bytes) from 1024 to 9007199254740991',
        'couchgate.yaml:3 listen: must be host:port, [IPv6]:port or off',
        'cors.yaml:3 origins[1]: "https://bad.example/path" is not an origin: write scheme://host[:port] in lower case, without a path',
        'cors.yaml:4 allow_credentials: must be true or false',
        'environment:- COUCHGATE_HSTS_SECONDS: must be a whole number (seconds) from 0 to 2147483',
      ],
    );
  });

  const refused: readonly [
    title: string,
    files: Record<string, string>,
    env: Record<string, string>,
    reason: RegExp,
  ][] = [
    [
      'a key given twice',
      { 'couchgate.yaml': 'listen: off\nlisten: off\n' },
      {},
      /couchgate.yaml:2 .*duplicate key/,
    ],
    ['a second document', { 'couchgate.yaml': 'listen: "off"\n---\nx: 1\n' }, {}, /multiple docs/],
    ['an alias', { 'couchgate.yaml': 'owner: &a bob\njwt_kid: *a\n' }, {}, /must not contain YAML aliases/],
    ['an unknown tag', { 'couchgate.yaml': 'owner: !secret bob\n' }, {}, /tag resolve failed/],
    ['a list at the top', { 'cors.yaml': '- a\n' }, {}, /must contain `name: value` lines/],
    ['a key that is a list', { 'cors.yaml': '? [a]\n: 1\n' }, {}, /a key that is not text/],
    ['an empty value', { 'ip-whitelist.yaml': 'allow:\n' }, {}, /ip-whitelist.yaml:1 allow: has no value/],
    [
      'a name as an address',
      { 'ip-whitelist.yaml': 'allow: [localhost]\n' },
      {},
      /allow\[0\]: "localhost" is not an IP/,
    ],
    [
      'bits behind the prefix',
      { 'ip-whitelist.yaml': 'allow: [10.1.2.3/8]\n' },
      {},
      /write 10\.0\.0\.0\/8 or 10\.1\.2\.3/,
    ],
    ['an octal address', { 'ip-whitelist.yaml': 'allow: [010.0.0.1]\n' }, {}, /is not an IP/],
    ['a prefix too long', { 'ip-whitelist.yaml': 'allow: [10.0.0.0/33]\n' }, {}, /prefix length/],
    [
      'every address as a proxy',
      { 'ip-whitelist.yaml': 'trusted_proxies: ["::/0"]\n' },
      {},
      /trusts every address/,
    ],
    [
      'every origin with credentials',
      { 'cors.yaml': 'enable_cors: true\norigins: ["*"]\nallow_credentials: true\n' },
      {},
      /cors.yaml:2 origins: contains "\*" while/,
    ],
    ['the origin null', { 'cors.yaml': 'origins: ["null"]\n' }, {}, /sandboxed/],
    [
      'an origin with its default port',
      { 'cors.yaml': 'origins: ["https://a.example:443"]\n' },
      {},
      /write https:\/\/a\.example/,
    ],
    ['no listener', { 'couchgate.yaml': 'listen: off\n' }, {}, /no client could connect/],
    [
      'TLS without a certificate',
      { 'couchgate.yaml': 'tls_listen: 127.0.0.1:0\n' },
      {},
      /tls_certificate: is required/,
    ],
    [
      'nodes without a JWT secret',
      {},
      { COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:1' },
      /COUCHGATE_JWT_SECRET: is empty/,
    ],
    [
      'an overlap that a rotation could not be asked for',
      {},
      { COUCHGATE_KEY_ROTATION_OVERLAP_SECONDS: '2592001' },
      /OVERLAP_SECONDS: must be a whole number \(seconds\) from 0 to 2147483/,
    ],
    ['a weak JWT secret', {}, { COUCHGATE_JWT_SECRET: 'c2hvcnQ=' }, /must be Base64 of at least 16 bytes/],
    [
      'one secret for two things',
      {},
      { COUCHGATE_JWT_SECRET: STRONG, COUCHGATE_SESSION_SECRET: STRONG },
      /same as jwt_secret/,
    ],
    [
      'a node with a path',
      {},
      { COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:1/x' },
      /COUCHDB_NODES\[0\]: must not contain a path/,
    ],
    [
      'a secret file that is not there',
      {},
      { COUCHGATE_JWT_SECRET_FILE: join(root, 'nope') },
      /cannot be read \(ENOENT\)/,
    ],
  ];
  for (const [title, files, env, reason] of refused)
    it(`refuses ${title}`, () => assert.match(problemsOf(files, env).join('\n'), reason));

  it('asks `couchgate setup` for no secret, which it is to make', () => {
    const env = { COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:1' };
    assert.equal(loadSettings({ env, folder: folderWith({}), purpose: 'setup' }).jwtSecret, '');
    const weak = { ...env, COUCHGATE_JWT_SECRET: 'c2hvcnQ=' };
    assert.throws(() => loadSettings({ env: weak, folder: folderWith({}), purpose: 'setup' }), /32 random/);
  });

  it('refuses a folder named by COUCHGATE_CONFIG that is not there: its whitelist would be lost', () => {
    assert.throws(() => loadSettings({ env: { COUCHGATE_CONFIG: join(root, 'nope') } }), /does not exist/);
  });

  it('takes a secret from a file, and refuses it from two places', () => {
    const folder = folderWith({ secret: `${STRONG}\n` });
    const file = join(folder, 'secret');
    assert.equal(loadSettings({ env: { COUCHGATE_JWT_SECRET_FILE: file }, folder }).jwtSecret, STRONG);
    writeFileSync(join(folder, 'couchgate.yaml'), `jwt_secret_file: ${file}\n`);
    assert.equal(loadSettings({ env: {}, folder }).jwtSecret, STRONG);
    assert.throws(
      () => loadSettings({ env: { COUCHGATE_JWT_SECRET: STRONG }, folder }),
      /COUCHGATE_JWT_SECRET: is set twice, first by jwt_secret_file/,
    );
  });

  it('never quotes a secret, nor a password in an address', () => {
    const secret = 'canary-3f9a';
    const text = problemsOf(
      { 'couchgate.yaml': `jwt_secret: ${secret}\ncouchdb_nodes: ["http://admin:${secret}@127.0.0.1:1"]\n` },
      { COUCHGATE_JWT_SECRET: secret, COUCHGATE_SESSION_SECRET: `${secret}\u0007` },
    ).join('\n');
    assert.match(text, /must not contain a user name or password/);
    assert.doesNotMatch(text, /canary/);
  });

  it('leaves alone what Kubernetes puts into the environment for a service named couchgate', () => {
    const env = {
      COUCHGATE_SERVICE_HOST: '10.0.0.1',
      COUCHGATE_SERVICE_PORT_HTTP: '5984',
      COUCHGATE_PORT: 'tcp://10.0.0.1:5984',
      COUCHGATE_PORT_5984_TCP_ADDR: '10.0.0.1',
      COUCHGATE_METRICS_SERVICE_PORT: '9984',
    };
    assert.deepEqual(problemsOf({}, env), []);
  });

  const embedded: readonly [
    name: string,
    env: Record<string, string>,
    isService: boolean,
    starts: boolean,
  ][] = [
    ['a trial', {}, false, true],
    ['production', { NODE_ENV: 'production' }, false, false],
    ['a service', {}, true, false],
    ['an address that other machines reach', { COUCHGATE_LISTEN: '192.0.2.1:5984' }, false, false],
    ['every IPv6 address', { COUCHGATE_LISTEN: '[::]:5984' }, false, false],
    ['loopback by name', { COUCHGATE_LISTEN: 'localhost:5984' }, false, true],
  ];
  for (const [name, env, isService, starts] of embedded)
    it(`${starts ? 'allows' : 'refuses'} the embedded node – ${name}`, () => {
      const folder = folderWith({});
      const load = (more: Record<string, string> = {}): void =>
        void loadConfiguration({ env: { ...env, ...more }, folder, isService });
      if (starts) load();
      else assert.throws(load, /couchdb_nodes: is empty, but .*the configuration folder is \//);
      load({ COUCHGATE_EMBEDDED: 'on' });
      load({ COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:1', COUCHGATE_JWT_SECRET: STRONG });
    });

  it('warns that the folder does not exist, with its full path', () => {
    const { warnings } = loadConfiguration({ env: {}, folder: join(root, 'none') });
    assert.deepEqual(warnings, [
      `the configuration folder ${join(root, 'none')} does not exist: only defaults and variables apply`,
    ]);
  });

  it('refuses two listeners with the same address', () => {
    const env = { COUCHGATE_LISTEN: '127.0.0.1:9984' };
    assert.match(problemsOf({}, env).join(), /metrics_listen: is the same address as another listener/);
  });

  it('leaves what is for `couchgate setup` to it, and still refuses what is almost that', () => {
    const env = { COUCHGATE_ADMIN_USER: 'admin', COUCHGATE_ADMIN_PASSWORD: 'x' };
    assert.deepEqual(problemsOf({}, env), []);
    assert.deepEqual(problemsOf({}, { COUCHGATE_ADMIN_PASSWRD: 'x' }), [
      'environment:- COUCHGATE_ADMIN_PASSWRD: is not a setting; did you mean COUCHGATE_ADMIN_PASSWORD?',
    ]);
  });

  it('warns of plain HTTP on a public address, of an empty whitelist, and of no access log', () => {
    const folder = folderWith({
      'couchgate.yaml': 'listen: 0.0.0.0:5984\naccess_log: off\nembedded: on\n',
      'ip-whitelist.yaml': 'allow: []\n',
    });
    const { settings, warnings } = loadConfiguration({ env: {}, folder });
    assert.deepEqual(settings.allow, []);
    assert.deepEqual(
      warnings.map((warning) => warning.split(':')[0]),
      ['listen', 'allow', 'access_log'],
    );
  });

  it('says which file cannot be read', { skip: process.getuid?.() === 0 && 'root reads everything' }, () => {
    const folder = folderWith({ 'cors.yaml': '' });
    chmodSync(join(folder, 'cors.yaml'), 0);
    assert.throws(() => loadSettings({ env: {}, folder }), /cors.yaml: cannot be read \(EACCES\)/);
  });

  it('reads the files that are shipped, and they change nothing but what they say', () => {
    const shipped = loadSettings({ env: {}, folder: join(import.meta.dirname, '../../config') });
    const defaults = loadSettings({ env: {}, folder: join(root, 'none') });
    assert.deepEqual({ ...shipped, configFolder: '' }, { ...defaults, configFolder: '' });
  });
});
