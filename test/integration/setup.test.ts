// `couchgate setup` on a CouchDB cluster as its makers ship it: three nodes with users, databases, and no idea of Couchgate.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fieldsOf, openAdmin, type Admin } from '../../src/setup/admin.ts';
import { runSetup } from '../../src/setup/index.ts';
import { type JoinLimits } from '../../src/setup/join.ts';
import { acceptsTokens, type SigningKey } from '../../src/setup/keys.ts';
import { adminDigest, makeSecrets } from '../../src/setup/secrets.ts';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { startProgram } from '../support/program.ts';

const HANDLERS = '/_node/_local/_config/chttpd/authentication_handlers';

describe('couchgate setup', { skip: withoutCouchdb }, () => {
  let cluster: Cluster;
  let admins: readonly Admin[];
  let first: Admin;
  let data: string;
  let settings = { jwtKid: 'couchgate', jwtSecret: '', data: '', couchdbCa: '', storeDatabase: 'couchgate' };

  before(async () => {
    // A cluster somebody has used: a claim path of another identity provider, and proxy authentication.
    const ini = [
      '[jwt_auth]',
      'roles_claim_path = realm.roles',
      '[chttpd]',
      'authentication_handlers = {chttpd_auth, proxy_authentication_handler}, {chttpd_auth, default_authentication_handler}',
      'enable_cors = true',
    ].join('\n');
    cluster = await startCluster({ nodes: 3, prepared: false, ini });
    admins = cluster.urls.map((url) => openAdmin({ url, credentials: cluster.owner }));
    const [one] = admins;
    if (one === undefined) throw new Error('no node');
    first = one;
    data = await mkdtemp(join(tmpdir(), 'couchgate-setup-'));
    settings = { ...settings, data };
    for (const [name, security] of Object.entries({
      public: {},
      team: { members: { names: ['ann'], roles: ['dev'] }, admins: { names: ['bob'] }, extra: 1 },
      'team/two': { members: { names: ['ann'] } },
      older: { readers: { names: ['tim'], roles: [] } },
      granted: { cloudant: { somekey: ['_reader'] } },
      untouched: undefined,
    })) {
      await first.ask('PUT', `/${encodeURIComponent(name)}`);
      if (security !== undefined) await first.ask('PUT', `/${encodeURIComponent(name)}/_security`, security);
    }
  });
  after(async () => {
    await cluster.close();
    await rm(data, { recursive: true, force: true });
  });

  async function setup(...args: string[]): Promise<{ readonly code: number; readonly text: string }> {
    const lines: string[] = [];
    const env = { COUCHGATE_ADMIN_PASSWORD: cluster.owner.password };
    const code = await runSetup({ args, env, settings: () => settings, print: (line) => lines.push(line) });
    return { code, text: lines.join('\n') };
  }

  const securityOf = async (name: string) =>
    fieldsOf((await first.ask('GET', `/${encodeURIComponent(name)}/_security`)).body);

  /** CouchDB writes a security object copy by copy and reads any one of them: the old one may still be read for a moment (H4). */
  async function adoptedSecurityOf(name: string): Promise<Readonly<Record<string, unknown>>> {
    for (;;) {
      const security = await securityOf(name);
      if (security['couchdb_auth_only'] === true) return security;
    }
  }

  it('says what it would do and does nothing of it – --dry-run', async () => {
    const config = async (): Promise<string> =>
      JSON.stringify((await first.ask('GET', '/_node/_local/_config')).body);
    const before = await config();
    const { code, text } = await setup('--dry-run', '--adopt', '*', ...cluster.urls);
    assert.equal(code, 1);
    assert.equal(await config(), before);
    assert.equal((await securityOf('team'))['couchdb_auth_only'], undefined);
    await assert.rejects(stat(join(data, 'jwt_secret')));
    for (const line of [
      /would be set \[chttpd\] authentication_handlers = \{chttpd_auth, jwt_authentication_handler\}, \{chttpd_auth, default/u,
      /would be removed \[jwt_auth\] roles_claim_path/u,
      /would be set \[chttpd\] enable_cors = false/u,
      /would be set \[jwt_keys\] hmac:couchgate = \(secret\)/u,
      /would be adopted team:/u,
    ])
      assert.match(text, line);
  });

  it('sets every node through the one that is named, and asks for the restart', async () => {
    const { code, text } = await setup(cluster.urls[0] ?? '');
    assert.equal(code, 1);
    assert.match(text, /RESTART/u);
    for (const admin of admins) {
      const handlers = String((await admin.ask('GET', HANDLERS)).body);
      assert.match(handlers, /^\{chttpd_auth, jwt_authentication_handler\}/u);
      assert.doesNotMatch(handlers, /proxy/u);
      const cors = await admin.ask('GET', '/_node/_local/_config/chttpd/enable_cors');
      assert.equal(cors.body, 'false');
    }
  });

  it('restarts with consent, has a token accepted by every node, and is then ready', async () => {
    const { code, text } = await setup('--restart', ...cluster.urls);
    assert.equal(code, 0, text);
    assert.equal(text.match(/ {2}restarted/gu)?.length, 3);
    assert.equal(text.match(/accepts tokens of the key couchgate/gu)?.length, 3);
  });

  it('changes nothing when it is run again', async () => {
    const { code, text } = await setup('--restart', ...cluster.urls);
    assert.equal(code, 0);
    assert.doesNotMatch(text, /^ {2}(?:set|removed|replaced|restarted|RESTART)/mu);
  });

  it('is not ready while nodes without an address may not have restarted, though nothing is left to change', async () => {
    const [url = ''] = cluster.urls;
    for (const args of [[url], ['--dry-run', url]]) {
      const { code, text } = await setup(...args);
      assert.equal(code, 1, text);
      assert.equal(text.match(/restart and tokens cannot be tested: pass the URL of this node/gu)?.length, 2);
    }
  });

  it('locks nobody out: a machine without the secret changes nothing, unless it is told to – --replace-key', async () => {
    const ours = settings;
    const elsewhere = await mkdtemp(join(tmpdir(), 'couchgate-setup-'));
    const keys = async () => (await first.ask('GET', '/_node/_local/_config/jwt_keys')).body;
    const before = await keys();
    settings = { ...ours, data: elsewhere };
    const refused = await setup('--retire', 'old', ...cluster.urls);
    assert.equal(refused.code, 1);
    assert.match(refused.text, /has a different secret for the key couchgate.*jwt_secret.*--replace-key/u);
    assert.deepEqual(await keys(), before);
    await assert.rejects(stat(join(elsewhere, 'jwt_secret')), 'a secret was made that CouchDB does not know');
    const dry = await setup('--dry-run', ...cluster.urls);
    assert.equal(dry.code, 1);
    assert.match(dry.text, /CHECK {3}\[jwt_keys\] hmac:couchgate has a different secret/u);
    assert.equal((await setup('--replace-key', ...cluster.urls)).code, 0);
    assert.notDeepEqual(await keys(), before);
    settings = ours;
    assert.equal((await setup('--replace-key', ...cluster.urls)).code, 0);
    assert.deepEqual(await keys(), before);
    await rm(elsewhere, { recursive: true });
  });

  it('tells which databases relied on members and admins, and what becomes of them', async () => {
    const { text } = await setup(...cluster.urls);
    assert.match(text, /closes {2}public: it was public/u);
    assert.match(text, /closes {2}team: it was open to members ann, role dev; admins bob/u);
    assert.match(text, /closes {2}team\/two: it was open to members ann; admins nobody/u);
    assert.match(text, /closes {2}older: it was open to members tim; admins nobody/u);
    assert.match(text, /closed to all but server admins until you grant roles: 1 more/u);
    assert.doesNotMatch(text, /granted:|untouched:/u);
  });

  it('leaves adopted databases to CouchDB as they were – --adopt', async () => {
    const { code, text } = await setup(
      '--adopt',
      'team*',
      '--adopt',
      'public',
      '--adopt',
      'older',
      '--adopt',
      'none*',
      ...cluster.urls,
    );
    assert.equal(code, 0);
    assert.match(text, /no database to adopt matches none\*/u);
    const team = await adoptedSecurityOf('team');
    assert.equal(team['couchdb_auth_only'], true);
    assert.deepEqual(team['members'], { names: ['ann'], roles: ['dev'] });
    assert.deepEqual(team['admins'], { names: ['bob'], roles: [] });
    assert.equal(team['extra'], 1);
    // Open to everybody stays open to everybody: the lists are there, and name nobody.
    assert.deepEqual((await adoptedSecurityOf('public'))['members'], { names: [], roles: [] });
    // What CouchDB reads where there are no members, since they were once called so.
    assert.deepEqual((await adoptedSecurityOf('older'))['members'], { names: ['tim'], roles: [] });
    assert.equal((await securityOf('untouched'))['couchdb_auth_only'], undefined);
  });

  it('changes over to another key without a restart – --rotate, --retire', async () => {
    const old: SigningKey = {
      kid: 'couchgate',
      secret: (await readFile(join(data, 'jwt_secret'), 'utf8')).trim(),
    };
    const { code, text } = await setup('--rotate', ...cluster.urls);
    assert.equal(code, 0, text);
    const [, kid = '', file = ''] = /JWT_KID=(\S+) and COUCHGATE_JWT_SECRET_FILE=([^;\s]+)/u.exec(text) ?? [];
    const made: SigningKey = { kid, secret: (await readFile(file, 'utf8')).trim() };
    for (const admin of admins)
      assert.deepEqual(
        [await acceptsTokens(admin, old, Date.now()), await acceptsTokens(admin, made, Date.now())],
        [true, true],
      );
    settings = { ...settings, jwtKid: kid };
    const half = await setup('--retire', 'couchgate', ...cluster.urls);
    assert.deepEqual([half.code, /has a different secret/u.test(half.text)], [1, true], 'the new name alone');
    for (const admin of admins) assert.equal(await acceptsTokens(admin, old, Date.now()), true);
    settings = { ...settings, jwtSecret: made.secret };
    assert.equal((await setup('--retire', kid, ...cluster.urls)).code, 2, 'the key in use cannot be retired');
    const reminder = await setup(...cluster.urls);
    assert.match(reminder.text, /CHECK {3}\[jwt_keys\] hmac:couchgate is accepted too/u);
    assert.equal((await setup('--retire', 'couchgate', ...cluster.urls)).code, 0);
    for (const admin of admins)
      assert.deepEqual(
        [await acceptsTokens(admin, old, Date.now()), await acceptsTokens(admin, made, Date.now())],
        [false, true],
      );
  });

  it('writes no secret into the log of CouchDB or its own report, although CouchDB logs every setting', async () => {
    const secrets = [
      settings.jwtSecret,
      (await readFile(join(data, 'jwt_secret'), 'utf8')).trim(),
      cluster.owner.password,
    ];
    const { text } = await setup(...cluster.urls);
    for (const node of cluster.nodes) {
      const log = await node.log();
      assert.match(log, /\[chttpd\] enable_cors set to false/u, 'CouchDB logs settings');
      for (const secret of secrets) assert.ok(!log.includes(secret), 'a secret is in the log');
      // The log is as loud as before.
      assert.equal((await first.ask('GET', '/_node/_local/_config/log/level')).status, 404);
    }
    for (const secret of secrets) assert.equal(text.includes(secret), false);
  });

  it('runs from the command line, with the admin from the environment – couchgate setup', async () => {
    const env = {
      COUCHGATE_ADMIN_USER: cluster.owner.name,
      COUCHGATE_ADMIN_PASSWORD: cluster.owner.password,
      COUCHGATE_JWT_SECRET: settings.jwtSecret,
      COUCHGATE_JWT_KID: settings.jwtKid,
    };
    const program = startProgram(env, ['setup', '--dry-run', ...cluster.urls]);
    assert.equal(await program.ended, 0, program.stderr());
    assert.equal(program.stdout().match(/ok {6}\[jwt_keys\]/gu)?.length, 3);
  });

  it('stops with one sentence at a wrong password and at a node that is not there', async () => {
    const run = async (password: string, url: string): Promise<string> => {
      const lines: string[] = [];
      const env = { COUCHGATE_ADMIN_PASSWORD: password };
      assert.equal(
        await runSetup({ args: [url], env, settings: () => settings, print: (line) => lines.push(line) }),
        1,
      );
      return lines.join('\n');
    };
    assert.match(await run('wrong-password-7', cluster.urls[1] ?? ''), /401 unauthorized/u);
    assert.match(await run(cluster.owner.password, 'http://127.0.0.1:9'), /cannot be reached/u);
  });
});

describe('couchgate setup before there is a secret', () => {
  it('runs with couchdb_nodes configured, although Couchgate itself would not', async () => {
    const env = { COUCHGATE_COUCHDB_NODES: 'http://127.0.0.1:9', COUCHGATE_ADMIN_PASSWORD: 'x' };
    const setup = startProgram(env, ['setup', '--dry-run', 'http://127.0.0.1:9']);
    assert.equal(await setup.ended, 1);
    assert.match(setup.stdout(), /127\.0\.0\.1:9 cannot be reached/u);
    const serving = startProgram(env);
    assert.notEqual(await serving.ended, 0);
    assert.match(serving.stderr(), /COUCHGATE_JWT_SECRET: is empty.*`npm start -- setup`/u);
  });
});

/** The settings of a Couchgate that has the secret of the cluster. */
function settingsOf({ kid, jwtSecretBase64 }: Cluster, data: string) {
  return { jwtKid: kid, jwtSecret: jwtSecretBase64, data, couchdbCa: '', storeDatabase: 'couchgate' };
}

describe('couchgate setup --join', { skip: withoutCouchdb }, () => {
  it('makes one cluster of three nodes that know nothing of each other, as docker-compose.yml has it done', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'couchgate-secrets-'));
    const cluster = await startCluster({ nodes: 3, joined: false });
    try {
      const args = ['--join', ...cluster.urls];
      const settings = settingsOf(cluster, folder);
      const lines: string[] = [];
      const run = (): Promise<number> =>
        runSetup({
          args,
          env: { COUCHGATE_ADMIN_PASSWORD: cluster.owner.password },
          settings: () => settings,
          print: (line) => lines.push(line),
        });
      assert.equal(await run(), 0, lines.join('\n'));
      assert.equal(await run(), 0, 'and again');
      const admin = openAdmin({ url: cluster.urls[2] ?? '', credentials: cluster.owner });
      const membership = fieldsOf((await admin.ask('GET', '/_membership')).body);
      assert.deepEqual(
        membership['all_nodes'],
        cluster.nodes.map((node) => node.name),
      );
      assert.deepEqual((await admin.ask('GET', '/_all_dbs')).body, ['_replicator', '_users']);
    } finally {
      await cluster.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('setup --join on a finished cluster', { skip: withoutCouchdb, timeout: 240_000 }, () => {
  let cluster: Cluster;
  let folder: string;
  before(async () => {
    cluster = await startCluster({ nodes: 3 });
    folder = await mkdtemp(join(tmpdir(), 'couchgate-join-'));
  });
  after(async () => {
    await cluster.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function join3(limits: JoinLimits): Promise<{ readonly code: number; readonly text: string }> {
    const settings = settingsOf(cluster, folder);
    const lines: string[] = [];
    const code = await runSetup({
      args: ['--join', ...cluster.urls],
      env: { COUCHGATE_ADMIN_PASSWORD: cluster.owner.password },
      settings: () => settings,
      print: (line) => lines.push(line),
      joinLimits: limits,
    });
    return { code, text: lines.join('\n') };
  }

  for (const down of [0, 2])
    it(`succeeds with a majority and names the missing node – node ${down + 1} of 3 is down`, async () => {
      const node = cluster.nodes[down];
      await node?.kill();
      const { code, text } = await join3({ timeoutMs: 60_000, graceMs: 300 });
      await node?.start();
      assert.equal(code, 0, text);
      assert.match(text, new RegExp(`MISSING ${cluster.urls[down] ?? ''}: .*cannot be reached`, 'u'));
      assert.equal(text.match(/accepts tokens/gu)?.length, 2);
    });

  it('fails without a majority, and names the nodes that are down', async () => {
    const away = cluster.nodes.slice(1);
    await Promise.all(away.map((node) => node.kill()));
    const { code, text } = await join3({ timeoutMs: 900, graceMs: 300 });
    await Promise.all(away.map((node) => node.start()));
    assert.equal(code, 1);
    assert.match(
      text,
      new RegExp(`${cluster.urls[1] ?? ''} and ${cluster.urls[2] ?? ''} did not come up`, 'u'),
    );
  });

  it('finds every node again when they are back', async () => {
    const { code, text } = await join3({ timeoutMs: 60_000 });
    assert.equal(code, 0, text);
    assert.doesNotMatch(text, /MISSING/u);
  });
});

describe('couchgate setup --make-secrets', () => {
  it('makes every secret once, for its owner alone to read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'couchgate-secrets-'));
    const report = { line: () => undefined };
    const parameters = { kid: 'couchgate', admin: 'admin', report, rounds: 10 };
    const names = [
      'admin/admin_password',
      'jwt/jwt_secret',
      'session/session_secret',
      'couchdb/erlang_cookie',
      'couchdb/couchdb.ini',
    ];
    const contents = (): Promise<readonly string[]> =>
      Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
    makeSecrets(folder, parameters);
    const made = await contents();
    makeSecrets(folder, parameters);
    assert.deepEqual(await contents(), made);
    for (const name of names) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
    const [password, jwtSecret, sessionSecret, , ini] = made.map((text) => text.trim());
    assert.match(
      ini ?? '',
      new RegExp(`^hmac:couchgate = ${String(jwtSecret).replace(/[+/]/gu, '\\$&')}$`, 'mu'),
    );
    assert.match(ini ?? '', /^\[admins\]\nadmin = -pbkdf2:sha256-[0-9a-f]{64},[0-9a-f]{32},10$/mu);
    assert.ok(!ini?.includes(String(password)), 'the password itself is not in the file of the nodes');
    assert.notEqual(jwtSecret, sessionSecret);
    await rm(folder, { recursive: true });
  });

  it('moves the files of an older version into their folders, unchanged', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'couchgate-secrets-'));
    const lines: string[] = [];
    const report = { line: (line: string) => void lines.push(line) };
    const old = ['admin_password', 'jwt_secret', 'session_secret', 'erlang_cookie', 'couchdb.ini'];
    for (const name of old) await writeFile(join(folder, name), `former ${name}\n`);
    makeSecrets(folder, { kid: 'couchgate', admin: 'admin', report, rounds: 10 });
    assert.equal(lines.filter((line) => line.startsWith('  moved ')).length, old.length);
    assert.deepEqual((await readdir(folder)).sort(), ['admin', 'couchdb', 'jwt', 'session']);
    assert.equal(await readFile(join(folder, 'couchdb/couchdb.ini'), 'utf8'), 'former couchdb.ini\n');
    await rm(folder, { recursive: true });
  });

  it('writes a digest that CouchDB takes', { skip: withoutCouchdb }, async () => {
    const cluster = await startCluster({ ini: `[admins]\nsecond = ${adminDigest('pässwörd', 10)}` });
    const admin = openAdmin({
      url: cluster.urls[0] ?? '',
      credentials: { name: 'second', password: 'pässwörd' },
    });
    const { body } = await admin.ask('GET', '/_session');
    await cluster.close();
    assert.deepEqual(fieldsOf(fieldsOf(body)['userCtx'])['roles'], ['_admin']);
  });
});
