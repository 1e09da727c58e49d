// The steps of docker-compose.yml without Docker: its secrets, its start script, its ini files, its init command, on three nodes of a real
// CouchDB release, each in a folder of its own laid out as in the official image.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { fieldsOf, openAdmin } from '../../src/setup/admin.ts';
import { runSetup } from '../../src/setup/index.ts';
import { untilUp } from '../../src/setup/join.ts';
import { acceptsTokens, comesToAcceptTokens, type SigningKey } from '../../src/setup/keys.ts';
import { type Backend } from '../support/backend.ts';
import { killAllWhenThisProcessEnds, stopNameServer, withoutCouchdb } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { startCouchgate } from '../support/couchgate.ts';

const ROOT = join(import.meta.dirname, '../..');
const RELEASE = process.env['COUCHDB_HOME'] ?? '';

/**
 * What the image's entrypoint does with the variables that we give it, and nothing more. There every node is `couchdb` on a machine of its own;
 * here all are on one, whose name server knows each by the half before the @.
 */
const ENTRYPOINT = `#!/bin/sh
set -eu
home=$(dirname "$(dirname "$1")")
touch "$home/etc/local.d/docker.ini"
echo "-name \${NODENAME%%.*}@127.0.0.1" >> "$home/etc/vm.args"
echo "$COUCHDB_ERLANG_COOKIE" > "$home/.erlang.cookie"
chmod 400 "$home/.erlang.cookie"
exec "$@"
`;

interface Compose {
  readonly services: Readonly<Record<string, { readonly command?: readonly string[] }>>;
}

/** The release as in the image: settings and data of its own, everything else shared. Returns the port, which the image has fixed. */
async function layOut(home: string): Promise<number> {
  mkdirSync(join(home, 'data'), { recursive: true });
  for (const entry of readdirSync(RELEASE)) {
    if (entry === 'bin' || entry === 'etc')
      cpSync(join(RELEASE, entry), join(home, entry), { recursive: true });
    else if (entry !== 'data' && entry !== 'var') symlinkSync(join(RELEASE, entry), join(home, entry));
  }
  const vmArgs = join(home, 'etc/vm.args');
  // The name is the entrypoint's to give; the port between nodes is fixed in the image, where each has a machine of its own.
  writeFileSync(vmArgs, readFileSync(vmArgs, 'utf8').replace(/^-(?:name|kernel inet_dist_\w+) .*$/gmu, ''));
  const port = await freePort();
  const ini = [
    '[chttpd]',
    `port = ${port}`,
    'bind_address = 127.0.0.1',
    '[httpd]',
    'port = 0',
    '[log]',
    'writer = file',
    `file = ${home}/couch.log`,
  ];
  mkdirSync(join(home, 'etc/local.d'), { recursive: true });
  writeFileSync(join(home, 'etc/local.d/docker.ini'), `${ini.join('\n')}\n`);
  return port;
}

describe('the steps of docker-compose.yml', { skip: withoutCouchdb }, () => {
  const { services } = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), {
    merge: true,
  }) as Compose;
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-compose-'));
  const secretsFolder = join(folder, 'secrets');
  const secret = (name: string): string => readFileSync(join(secretsFolder, name), 'utf8').trim();
  const children = new Map<string, ChildProcess>();
  const urls: string[] = [];
  let environment: NodeJS.ProcessEnv = {};
  let dismiss = (): void => undefined;

  /** A command of `couchgate` as the compose file has it, its paths and names made those of this machine. */
  async function run(service: string): Promise<readonly string[]> {
    const [command, ...words] = services[service]?.command ?? [];
    assert.equal(command, 'setup');
    const args = words.map((word) => {
      const [, number] = /^http:\/\/couchdb(\d)\.couchgate:5984$/u.exec(word) ?? [];
      return number === undefined
        ? word.replace(/^\/secrets/u, secretsFolder)
        : (urls[Number(number) - 1] ?? '');
    });
    const lines: string[] = [];
    const jwtSecret = service === 'init' ? secret('jwt/jwt_secret') : '';
    const settings = {
      jwtKid: 'couchgate',
      jwtSecret,
      data: folder,
      couchdbCa: '',
      storeDatabase: 'couchgate',
    };
    const code = await runSetup({
      args,
      env: {},
      settings: () => settings,
      print: (line) => lines.push(line),
    });
    assert.equal(code, 0, lines.join('\n'));
    return lines;
  }

  const entrypoint = join(folder, 'entrypoint.sh');
  function start(name: string): void {
    const home = join(folder, name);
    const out = openSync(join(home, 'out.log'), 'a');
    const child = spawn('/bin/sh', [join(ROOT, 'config/couchdb/start-node.sh')], {
      stdio: ['ignore', out, out],
      env: {
        ...environment,
        NODENAME: `${name}.couchgate`,
        HOME: home,
        COUCHDB_HOME: home,
        INI: join(ROOT, 'config/couchdb'),
        SECRETS: join(secretsFolder, 'couchdb'),
        ENTRYPOINT: entrypoint,
      },
    });
    children.set(name, child);
    writeFileSync(join(home, 'pid'), String(child.pid));
  }

  async function kill(name: string): Promise<void> {
    const child = children.get(name);
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  before(async () => {
    environment = {
      ...process.env,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(await freePort()),
    };
    ({ dismiss } = killAllWhenThisProcessEnds(folder, environment));
    await run('secrets');
    writeFileSync(entrypoint, ENTRYPOINT);
    chmodSync(entrypoint, 0o755);
    for (const name of ['couchdb1', 'couchdb2', 'couchdb3']) {
      const home = join(folder, name);
      urls.push(`http://127.0.0.1:${await layOut(home)}`);
      start(name);
    }
  });
  after(async () => {
    for (const name of children.keys()) await kill(name);
    dismiss();
    stopNameServer(environment);
    rmSync(folder, { recursive: true, force: true });
  });

  it('join the nodes and leave nothing to set: the mounted files say it all', async () => {
    const lines = await run('init');
    const settings = lines.filter((line) => /^ {2}\S+ .*\[\w+\]/u.test(line));
    assert.ok(settings.length > 3 * 15, `${settings.length} > 3 * 15`);
    assert.deepEqual(
      settings.filter((line) => !line.startsWith('  ok ')),
      [],
    );
    assert.equal(lines.filter((line) => line.includes('accepts tokens')).length, 3);
    await run('init');
  });

  it('make a cluster that Couchgate serves', async () => {
    const owner = { name: 'admin', password: secret('admin/admin_password') };
    const backend: Backend = {
      kind: 'couchdb',
      urls,
      owner,
      jwtSecretBase64: secret('jwt/jwt_secret'),
      kid: 'couchgate',
      nodes: [],
      log: () => Promise.resolve(''),
      close: () => Promise.resolve(),
    };
    const couchgate = await startCouchgate({ backend });
    try {
      const key = await couchgate.key();
      await couchgate.database('fruit', { [key.name]: ['_reader', '_writer'] });
      assert.equal((await couchgate.ask('PUT', '/fruit/apple', { as: key, body: {} })).status, 201);
      const admin = openAdmin({ url: urls[2] ?? '', credentials: owner });
      const { body } = await admin.ask('GET', '/fruit/apple');
      assert.equal(fieldsOf(body)['_id'], 'apple');
      const shards = fieldsOf(fieldsOf((await admin.ask('GET', '/fruit/_shards')).body)['shards']);
      for (const nodes of Object.values(shards)) assert.equal((nodes as readonly string[]).length, 3);
    } finally {
      await couchgate.close();
    }
  });

  it('keep a change of the key when a container is made anew – setup --rotate, --retire', async () => {
    const old: SigningKey = { kid: 'couchgate', secret: secret('jwt/jwt_secret') };
    const credentials = { name: 'admin', password: secret('admin/admin_password') };
    const common = { data: folder, couchdbCa: '', storeDatabase: 'couchgate' };
    const change = async (key: SigningKey, ...words: readonly string[]): Promise<string> => {
      const lines: string[] = [];
      const code = await runSetup({
        args: [...words, ...urls],
        env: { COUCHGATE_ADMIN_PASSWORD: credentials.password },
        settings: () => ({ ...common, jwtKid: key.kid, jwtSecret: key.secret }),
        print: (line) => lines.push(line),
      });
      assert.equal(code, 0, lines.join('\n'));
      return lines.join('\n');
    };
    const said = await change(old, '--rotate');
    const [, kid = '', file = ''] = /JWT_KID=(\S+) and COUCHGATE_JWT_SECRET_FILE=([^;\s]+)/u.exec(said) ?? [];
    const made: SigningKey = { kid, secret: readFileSync(file, 'utf8').trim() };
    await change(made, '--retire', old.kid);

    // What stays of a container is in its volumes.
    const home = join(folder, 'couchdb1');
    await kill('couchdb1');
    const volumes = ['data', 'etc/local.d'];
    for (const path of volumes) renameSync(join(home, path), join(folder, path.replace('/', '-')));
    rmSync(home, { recursive: true });
    await layOut(home);
    for (const path of volumes) {
      rmSync(join(home, path), { recursive: true });
      renameSync(join(folder, path.replace('/', '-')), join(home, path));
    }
    start('couchdb1');
    const admin = openAdmin({ url: urls[0] ?? '', credentials });
    await untilUp([admin], 60_000);
    assert.equal(await comesToAcceptTokens(admin, made, Date.now), true);
    assert.equal(await acceptsTokens(admin, old, Date.now()), false);
  });
});
