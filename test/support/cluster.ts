// Starts a real CouchDB cluster for tests from the release that COUCHDB_HOME names (layout of Debian and
// Docker: bin/couchdb, etc/default.ini, etc/vm.args), with the project's ini file, in a temporary folder, on
// free ports.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAdmin, type AdminCredentials } from '../../src/setup/admin.ts';
import { comesToAcceptTokens } from '../../src/setup/keys.ts';
import { joinCluster, untilUp } from '../../src/setup/join.ts';
import { freePort } from './free-port.ts';

const HOME = process.env['COUCHDB_HOME'] ?? '';
const START_TIMEOUT_MS = 60_000;
const PROJECT_INI = join(import.meta.dirname, '../../config/couchdb/10-couchgate.ini');

/** For the `skip` option of node:test: the reason why a real CouchDB is missing, or false. */
export const withoutCouchdb: string | false = HOME === '' ? 'needs a real CouchDB: set COUCHDB_HOME' : false;

export interface ClusterNode {
  readonly url: string;
  /** Erlang name, for example `gate1-ab12@127.0.0.1`. */
  readonly name: string;
  readonly logFile: string;
  log(): Promise<string>;
  /** Sends SIGKILL; resolves when the process has ended. */
  kill(): Promise<void>;
  /** Restarts the node on the same port with the same data; resolves when it answers. */
  start(): Promise<void>;
}

export interface Cluster {
  readonly nodes: readonly [ClusterNode, ...ClusterNode[]];
  readonly urls: readonly string[];
  readonly owner: AdminCredentials;
  readonly jwtSecretBase64: string;
  readonly kid: string;
  close(): Promise<void>;
}

export interface ClusterOptions {
  readonly nodes?: 1 | 3;
  /** False: an unmodified CouchDB, without the project's ini file and without a JWT key. */
  readonly prepared?: boolean;
  /** Further ini text for every node, read after the project's. */
  readonly ini?: string;
  /** False: nodes that run but are not joined to a cluster. */
  readonly joined?: boolean;
}

interface Shared {
  readonly folder: string;
  readonly owner: AdminCredentials;
  readonly jwtSecretBase64: string;
  readonly kid: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly options: Required<ClusterOptions>;
  /** Ini text that must be equal on all nodes of a cluster. */
  readonly alike: string;
}

/** Starts the cluster. Rejects with the end of the nodes' logs if it does not start within 60 s. */
export async function startCluster(chosen: ClusterOptions = {}): Promise<Cluster> {
  if (withoutCouchdb !== false) throw new Error(withoutCouchdb);
  const shared = await prepare({ nodes: 1, prepared: true, ini: '', joined: true, ...chosen });
  const guard = killAllWhenThisProcessEnds(shared.folder, shared.environment);
  const letters = randomBytes(3).toString('hex');
  const numbers = shared.options.nodes === 1 ? [1] : [1, 2, 3];
  const nodes = await Promise.all(numbers.map((number) => openNode(shared, `gate${number}-${letters}`)));
  const urls = nodes.map((node) => node.url);
  const admins = urls.map((url) => openAdmin({ url, credentials: shared.owner }));
  const [first, ...others] = admins;
  if (first === undefined) throw new Error('a cluster has at least one node');

  async function close(): Promise<void> {
    await Promise.all(nodes.map((node) => node.kill()));
    guard.dismiss();
    stopNameServer(shared.environment);
    await rm(shared.folder, { recursive: true, force: true });
  }

  try {
    await Promise.all(nodes.map((node) => node.start()));
    if (shared.options.joined) await joinCluster([first, ...others], { timeoutMs: START_TIMEOUT_MS });
  } catch (error) {
    const logs = await Promise.all(nodes.map((node) => node.log()));
    await close();
    throw new Error(`the test cluster did not start: ${logs.map((log) => log.slice(-2000)).join('\n')}`, {
      cause: error,
    });
  }
  const { owner, jwtSecretBase64, kid } = shared;
  return { nodes: nodes as unknown as Cluster['nodes'], urls, owner, jwtSecretBase64, kid, close };
}

async function prepare(options: Required<ClusterOptions>): Promise<Shared> {
  // COUCHDB_INI_FILES is split at spaces, so the project's file is copied to a folder whose name has none.
  const folder = await mkdtemp(join(tmpdir(), 'couchgate-cluster-'));
  await copyFile(PROJECT_INI, join(folder, '10-couchgate.ini'));
  const owner = { name: 'admin', password: randomBytes(12).toString('hex') };
  const jwtSecretBase64 = randomBytes(32).toString('base64');
  return {
    folder,
    owner,
    jwtSecretBase64,
    kid: 'couchgate',
    options,
    // A separate Erlang name server (epmd), so that clusters on one machine do not share one.
    environment: {
      ...process.env,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: String(await freePort()),
      HOME: folder,
    },
    alike: [
      '[couchdb]',
      `uuid = ${randomBytes(16).toString('hex')}`,
      '[chttpd_auth]',
      `secret = ${randomBytes(16).toString('hex')}`,
      // The default of 600 000 rounds takes 0.3 s for the first use of each password.
      'iterations = 10',
      '[admins]',
      `${owner.name} = ${hashed(owner.password)}`,
      ...(options.prepared ? ['[jwt_keys]', `hmac:couchgate = ${jwtSecretBase64}`] : []),
      options.ini,
    ].join('\n'),
  };
}

async function openNode(shared: Shared, shortName: string): Promise<ClusterNode> {
  const folder = join(shared.folder, shortName);
  const name = `${shortName}@127.0.0.1`;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(folder, 'couch.log');
  const outFile = join(folder, 'out.log');
  await mkdir(folder);
  const defaults = await readFile(join(HOME, 'etc/vm.args'), 'utf8');
  await writeFile(
    join(folder, 'vm.args'),
    [
      // The official image sets one port for distribution; here three nodes run on one machine.
      defaults.replace(/^-(?:name|setcookie|kernel inet_dist_\w+) .*$/gmu, ''),
      '-kernel inet_dist_use_interface {127,0,0,1}',
      `-name ${name}`,
      `-setcookie ${shared.owner.password}`,
      // Without busy waiting: several nodes share two cores with the tests.
      '+sbwt none\n+sbwtdcpu none\n+sbwtdio none\n',
    ].join('\n'),
  );
  await writeFile(join(folder, 'node.ini'), nodeIni(shared, folder, port));
  const inis = [
    join(HOME, 'etc/default.ini'),
    ...(shared.options.prepared ? [join(shared.folder, '10-couchgate.ini')] : []),
    join(folder, 'node.ini'),
  ];
  let child: ChildProcess | undefined;

  return {
    url,
    name,
    logFile,
    async log() {
      const texts = await Promise.all(
        [logFile, outFile].map((file) => readFile(file, 'utf8').catch(() => '')),
      );
      return texts.join('\n');
    },
    async kill() {
      const running = child;
      child = undefined;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const gone = once(running, 'exit');
      running.ref();
      running.kill('SIGKILL');
      await gone;
    },
    async start() {
      const out = openSync(outFile, 'a');
      child = spawn(join(HOME, 'bin/couchdb'), {
        stdio: ['ignore', out, out],
        env: {
          ...shared.environment,
          COUCHDB_ARGS_FILE: join(folder, 'vm.args'),
          COUCHDB_INI_FILES: inis.join(' '),
          ERL_CRASH_DUMP: join(folder, 'erl_crash.dump'),
        },
      });
      closeSync(out);
      await writeFile(join(folder, 'pid'), String(child.pid));
      child.unref();
      const admin = openAdmin({ url, credentials: shared.owner });
      await untilUp([admin], START_TIMEOUT_MS);
      const key = { kid: shared.kid, secret: shared.jwtSecretBase64 };
      if (shared.options.prepared) await comesToAcceptTokens(admin, key, Date.now);
    },
  };
}

function nodeIni(shared: Shared, folder: string, port: number): string {
  const single = shared.options.nodes === 1 && shared.options.joined;
  return [
    shared.alike,
    '[couchdb]',
    `database_dir = ${folder}/data`,
    `view_index_dir = ${folder}/data`,
    `single_node = ${single}`,
    '[cluster]',
    'q = 2',
    `n = ${single ? 1 : 3}`,
    '[chttpd]',
    'bind_address = 127.0.0.1',
    `port = ${port}`,
    '[httpd]',
    'bind_address = 127.0.0.1',
    'port = 0',
    '[smoosh]',
    `state_dir = ${folder}/data`,
    // The replicator's waits before it starts a job.
    '[replicator]',
    'startup_jitter = 1',
    'cluster_start_period = 1',
    'interval = 1000',
    '[log]',
    'writer = file',
    `file = ${folder}/couch.log`,
    '',
  ].join('\n');
}

/** An admin's password as CouchDB stores it. Source: couch_passwords.erl hash_admin_password. */
function hashed(password: string): string {
  const salt = randomBytes(16).toString('hex');
  const key = pbkdf2Sync(password, salt, 10, 32, 'sha256').toString('hex');
  return `-pbkdf2:sha256-${key},${salt},10`;
}

/**
 * Kills the nodes whose process ids are in `folder`/{node}/pid when this process ends for any reason. A shell
 * reads from a pipe of this process; the end of the pipe starts the kill.
 */
export function killAllWhenThisProcessEnds(
  folder: string,
  environment: NodeJS.ProcessEnv,
): { readonly dismiss: () => void } {
  const script =
    'cat >/dev/null; for f in "$0"/*/pid; do kill -9 "$(cat "$f")"; done; sleep 1; "$1" -kill; rm -rf "$0"';
  const guard = spawn('sh', ['-c', script, folder, nameServer()], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: environment,
    detached: true,
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return { dismiss: () => guard.kill('SIGKILL') };
}

function nameServer(): string {
  const erts = readdirSync(HOME).find((entry) => entry.startsWith('erts-')) ?? 'erts';
  return join(HOME, erts, 'bin/epmd');
}

/** Stops the Erlang name server of a cluster. */
export function stopNameServer(environment: NodeJS.ProcessEnv): void {
  // epmd refuses while a name is still registered. That is harmless: it stops nothing then.
  spawnSync(nameServer(), ['-kill'], { env: environment, stdio: 'ignore' });
}
