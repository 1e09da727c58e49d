// docker-compose.yml and Dockerfile, read as text: what they open, what they mount, and that their settings are settings.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { loadSettings } from '../../src/config/load.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { parseSetupArguments } from '../../src/setup/arguments.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly networks?: readonly string[] | Readonly<Record<string, { readonly aliases: readonly string[] }>>;
  readonly network_mode?: string;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly build?: string;
  readonly pull_policy?: string;
  readonly entrypoint?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly mem_limit?: string;
  readonly pids_limit?: number;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly logging?: { readonly driver: string; readonly options: Readonly<Record<string, string>> };
}

/** Which secret files a service uses. Nothing else may be mounted into it. */
const SECRETS_OF: Readonly<Record<string, readonly string[]>> = {
  secrets: ['secrets', 'secrets-admin', 'secrets-couchdb', 'secrets-jwt', 'secrets-session'],
  couchdb1: ['secrets-couchdb'],
  couchdb2: ['secrets-couchdb'],
  couchdb3: ['secrets-couchdb'],
  init: ['secrets-admin', 'secrets-jwt'],
  couchgate: ['secrets-jwt', 'secrets-session'],
  owner: ['secrets-admin'],
  setup: ['secrets-admin', 'secrets-jwt'],
};
/** Services that may write secrets: the first makes them, the second rotates the JWT key. */
const WRITES_SECRETS = ['secrets', 'setup'];

const compose = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<
    Record<
      string,
      { readonly internal?: boolean; readonly driver_opts?: Readonly<Record<string, string>> } | null
    >
  >;
  readonly volumes: Readonly<Record<string, null>>;
};
const { services } = compose;
const couchdbs = Object.entries(services).filter(([name]) => /^couchdb\d$/u.test(name));
const { couchgate, init, secrets } = services;
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');

describe('docker-compose.yml', () => {
  it('runs three stock CouchDB 3.5 nodes that only the inside reaches', () => {
    assert.equal(couchdbs.length, 3);
    for (const [name, service] of couchdbs) {
      assert.equal(service.image, 'couchdb:3.5');
      assert.equal(service.ports, undefined, `${name} publishes a port`);
      const address = `${name}.couchgate`;
      assert.deepEqual(service.networks, { inside: { aliases: [address] } });
      assert.equal(service.environment?.['NODENAME'], address);
    }
    assert.equal(compose.networks['inside']?.internal, true);
    // Otherwise the host has an address on the network: nodes reach its services, and it reaches the nodes.
    assert.equal(compose.networks['inside'].driver_opts?.['com.docker.network.bridge.inhibit_ipv4'], 'true');
  });

  it('gives each node its own data and what is set on it, the settings of the repository, and the secrets read-only', () => {
    for (const [name, { volumes = [] }] of couchdbs) {
      assert.equal(volumes.includes(`${name}:/opt/couchdb/data`), true);
      assert.equal(volumes.includes(`${name}-settings:/opt/couchdb/etc/local.d`), true);
      assert.equal(volumes.includes('./config/couchdb:/couchgate:ro'), true);
      assert.equal(volumes.includes('secrets-couchdb:/secrets:ro'), true);
    }
    for (const file of ['10-couchgate.ini', 'start-node.sh'])
      assert.equal(existsSync(join(ROOT, 'config/couchdb', file)), true);
  });

  it('publishes Couchgate on loopback of IPv4, unless COUCHGATE_PORT names something else (H24)', () => {
    assert.deepEqual(couchgate?.ports, ['${COUCHGATE_PORT:-127.0.0.1:5984}:5984']);
    assert.deepEqual(couchgate.ports.map(expand), ['127.0.0.1:5984:5984']);
  });

  it('publishes Couchgate alone, after the nodes have been joined', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    assert.deepEqual(
      published.map(([name]) => name),
      ['couchgate'],
    );
    assert.equal(couchgate?.depends_on?.['init']?.condition, 'service_completed_successfully');
    for (const [name] of couchdbs) assert.ok(init?.depends_on?.[name] !== undefined, name);
    assert.equal(couchgate.read_only, true);
  });

  it('holds no secret itself: files in a volume, made by a service that has no network', () => {
    assert.equal(secrets?.network_mode, 'none');
    for (const [name, { environment = {} }] of Object.entries(services)) {
      for (const variable of Object.keys(environment))
        assert.doesNotMatch(variable, /(?:PASSWORD|SECRET|COOKIE)$/u, `${name}: ${variable}`);
    }
  });

  it('mounts into each service only the secrets that it uses, read-only', () => {
    assert.deepEqual(Object.keys(SECRETS_OF).sort(), Object.keys(services).sort());
    for (const [name, { volumes = [] }] of Object.entries(services)) {
      const mounted = volumes.filter((volume) => volume.startsWith('secrets'));
      assert.deepEqual(
        mounted.map((volume) => volume.split(':')[0]),
        SECRETS_OF[name],
        name,
      );
      if (WRITES_SECRETS.includes(name)) continue;
      for (const volume of mounted) assert.match(volume, /:ro$/u, `${name}: ${volume}`);
    }
  });

  it('gives no service a right that it does not need', () => {
    for (const [name, service] of Object.entries(services)) {
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      const isNode = couchdbs.some(([node]) => node === name);
      // The entrypoint of the CouchDB image changes owners and modes, and then its user.
      const needed = isNode ? ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID'] : undefined;
      assert.deepEqual(service.cap_add, needed, name);
      if (!isNode) assert.equal(service.read_only, true, name);
      for (const volume of service.volumes ?? [])
        if (volume.startsWith('./')) assert.match(volume, /:ro$/u, `${name}: ${volume}`);
    }
  });

  it('limits the memory, the processes and the log of every service', () => {
    for (const [name, service] of Object.entries(services)) {
      assert.match(service.mem_limit ?? '', /^(?:\$\{[A-Z_]+:-)?\d+[mg]\}?$/u, name);
      assert.ok((service.pids_limit ?? 0) > 0, name);
      assert.equal(service.logging?.driver, 'json-file', name);
      assert.match(service.logging.options['max-size'] ?? '', /^\d+m$/u, name);
      assert.ok(Number(service.logging.options['max-file']) > 0, name);
    }
  });

  it('asks no registry for the image of Couchgate, and builds it once', () => {
    const ours = Object.entries(services).filter(([, { image }]) => image === 'couchgate');
    for (const [name, { build, pull_policy: policy }] of ours)
      assert.equal(policy, build === undefined ? 'never' : 'build', name);
    // Several builds of one tag at the same time fail on some engines.
    const builders = ours.filter(([, { build }]) => build !== undefined);
    assert.deepEqual(
      builders.map(([name]) => name),
      ['secrets'],
    );
    for (const [name, { depends_on: needed = {} }] of ours)
      if (name !== 'secrets' && name !== 'couchgate')
        assert.equal(needed['secrets']?.condition, 'service_completed_successfully', name);
  });

  it('checks the health of what serves, and of nothing that ends', () => {
    for (const [name, { healthcheck, restart }] of Object.entries(services)) {
      if (restart !== 'unless-stopped') assert.deepEqual(healthcheck, { disable: true }, name);
      else if (name !== 'couchgate') assert.ok((healthcheck?.test?.length ?? 0) > 1, name);
    }
  });

  it('configures Couchgate with settings that it has, for the nodes that there are', () => {
    const folder = mkdtempSync(join(tmpdir(), 'couchgate-compose-'));
    const env: Record<string, string> = { COUCHGATE_LISTEN: '0.0.0.0:5984' };
    for (const [name, value] of Object.entries(couchgate?.environment ?? {})) {
      if (!name.endsWith('_SECRET_FILE')) env[name] = expand(value);
      else {
        env[name] = join(folder, name);
        writeFileSync(env[name], Buffer.alloc(32, name).toString('base64'));
      }
    }
    const settings = loadSettings({ env, folder: join(ROOT, 'config') });
    rmSync(folder, { recursive: true });
    const addresses = couchdbs.map(([name]) => `http://${name}.couchgate:5984`);
    assert.deepEqual(
      settings.couchdbNodes.map((url) => new URL(url).origin),
      addresses,
    );
    // The root of the container is read-only, so backups need the volume.
    assert.equal(couchgate?.volumes?.includes('backups:/backups'), true);
    assert.match(settings.backupRepository, /^\/backups\/[^/]+$/u);
    const [command, ...args] = init?.command ?? [];
    assert.equal(command, 'setup');
    const parsed = parseSetupArguments(
      args.map((arg) => (arg === '/secrets/admin/admin_password' ? import.meta.filename : arg)),
      {},
    );
    assert.deepEqual(parsed.urls, addresses);
    assert.equal(parsed.join, true);
  });

  it('gives Couchgate more time to end than it takes', () => {
    const seconds = SETTINGS.drain_delay_seconds.default + SETTINGS.drain_timeout_seconds.default;
    assert.equal(Number.parseInt(couchgate?.stop_grace_period ?? '0', 10) > seconds, true);
  });

  it('names every volume that it mounts', () => {
    const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
      volumes.map((each) => each.split(':')[0] ?? ''),
    );
    const named = new Set(mounted.filter((name) => !name.startsWith('.')));
    assert.deepEqual([...named].sort(), Object.keys(compose.volumes).sort());
    for (const volume of Object.values(services).flatMap(({ volumes = [] }) => volumes))
      assert.match(volume, /^[^:]+:\/[^:]+(?::ro)?$/u, 'an anonymous volume stays behind at every `down`');
  });
});

/** `${NAME:-default}` as compose expands it where the variable is not set. */
function expand(value: string): string {
  return value.replace(/\$\{\w+:-([^}]*)\}/gu, '$1');
}

/** The health check of the nodes and of Couchgate, as the engine runs it, on another port. */
async function checkHealth(command: readonly string[], from: number, port: number): Promise<number | null> {
  const [kind, program = '', ...args] = command;
  assert.equal(kind, 'CMD');
  const here = args.map((arg) =>
    arg.replace(`/127.0.0.1/${from} `, `/127.0.0.1/${port} `).replaceAll('$$', '$'),
  );
  assert.notDeepEqual(here, args);
  const child = spawn(program, here, { stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

describe('the health checks', () => {
  const [, couchdb1] = couchdbs[0] ?? [];
  const ofImage = JSON.parse(
    /^HEALTHCHECK (?:.*\\\n)?\s*CMD (\[.*\])$/mu.exec(dockerfile)?.[1] ?? '[]',
  ) as readonly string[];
  const checks = [
    {
      name: 'a node',
      command: couchdb1?.healthcheck?.test ?? [],
      port: 5984,
      healthy: [200, 404],
      path: '/_up',
    },
    { name: 'Couchgate', command: ['CMD', ...ofImage], port: 9984, healthy: [200], path: '/readyz' },
  ];

  for (const { name, command, port, healthy, path } of checks)
    it(`tell a healthy server from others without starting Node – ${name}`, async () => {
      assert.equal(command.includes('node'), false);
      const paths: string[] = [];
      let status = 200;
      const server = createServer((req, res) => {
        paths.push(req.url ?? '');
        res.writeHead(status).end('{}');
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const here = (server.address() as AddressInfo).port;
      for (status of [200, 404, 401, 500, 503])
        assert.equal(
          (await checkHealth(command, port, here)) === 0,
          healthy.includes(status),
          `status ${status}`,
        );
      assert.deepEqual(new Set(paths), new Set([path]));
      server.close();
      await once(server, 'close');
      assert.notEqual(await checkHealth(command, port, here), 0, 'nothing listens');
    });
});

describe('the Dockerfile', () => {
  it('builds in one stage and runs in another, as a user without rights, with a health check', () => {
    assert.equal(dockerfile.match(/^FROM /gmu)?.length, 2);
    const [, runtime = ''] = dockerfile.split(/^FROM .*$/mu).slice(1);
    assert.match(runtime, /^USER node$/mu);
    assert.match(runtime, /^HEALTHCHECK /mu);
    assert.equal(runtime.indexOf('USER node') < runtime.indexOf('ENTRYPOINT'), true);
    // A volume of the image is anonymous: every `down` and `up` would leave one behind.
    assert.doesNotMatch(dockerfile, /^VOLUME /mu);
  });

  it('copies only what is there', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gmu)].flatMap(([, names = '']) =>
      names.split(' '),
    );
    assert.notEqual(copied.length, 0);
    for (const name of copied) assert.ok(existsSync(join(ROOT, name)), name);
  });
});
