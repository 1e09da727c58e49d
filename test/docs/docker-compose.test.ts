// docker-compose.yml and Dockerfile, read as text: what they open, what they mount, and that their settings are settings.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  readonly read_only?: boolean;
}

const compose = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
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
  });

  it('gives each node its own data and what is set on it, the settings of the repository, and the secrets read-only', () => {
    for (const [name, { volumes = [] }] of couchdbs) {
      assert.ok(volumes.includes(`${name}:/opt/couchdb/data`));
      assert.ok(volumes.includes(`${name}-settings:/opt/couchdb/etc/local.d`));
      assert.ok(volumes.includes('./config/couchdb:/couchgate:ro'));
      assert.ok(volumes.includes('secrets:/secrets:ro'));
    }
    for (const file of ['10-couchgate.ini', 'start-node.sh'])
      assert.ok(existsSync(join(ROOT, 'config/couchdb', file)));
  });

  it('publishes Couchgate alone, after the nodes have been joined', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    assert.deepEqual(
      published.map(([name]) => name),
      ['couchgate'],
    );
    assert.equal(couchgate?.depends_on?.['init']?.condition, 'service_completed_successfully');
    for (const [name] of couchdbs) assert.ok(init?.depends_on?.[name] !== undefined);
    assert.equal(couchgate.read_only, true);
  });

  it('holds no secret itself: files in a volume, made by a service that has no network', () => {
    assert.equal(secrets?.network_mode, 'none');
    for (const [name, { environment = {} }] of Object.entries(services)) {
      for (const variable of Object.keys(environment))
        assert.doesNotMatch(variable, /(?:PASSWORD|SECRET|COOKIE)$/u, `${name}: ${variable}`);
    }
  });

  it('configures Couchgate with settings that it has, for the nodes that there are', () => {
    const folder = mkdtempSync(join(tmpdir(), 'couchgate-compose-'));
    const env: Record<string, string> = { COUCHGATE_LISTEN: '0.0.0.0:5984' };
    for (const [name, value] of Object.entries(couchgate?.environment ?? {})) {
      if (!name.endsWith('_FILE')) env[name] = value;
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
    const [command, ...args] = init?.command ?? [];
    assert.equal(command, 'setup');
    const parsed = parseSetupArguments(
      args.map((arg) => (arg === '/secrets/admin_password' ? '/dev/null' : arg)),
      {},
    );
    assert.deepEqual(parsed.urls, addresses);
    assert.equal(parsed.join, true);
  });

  it('gives Couchgate more time to end than it takes', () => {
    const seconds = SETTINGS.drain_delay_seconds.default + SETTINGS.drain_timeout_seconds.default;
    assert.ok(Number.parseInt(couchgate?.stop_grace_period ?? '0', 10) > seconds);
  });

  it('names every volume that it mounts', () => {
    const mounted = Object.values(services).flatMap(({ volumes = [] }) =>
      volumes.map((each) => each.split(':')[0] ?? ''),
    );
    const named = new Set(mounted.filter((name) => !name.startsWith('.')));
    assert.deepEqual([...named].sort(), Object.keys(compose.volumes).sort());
  });
});

describe('the Dockerfile', () => {
  it('builds in one stage and runs in another, as a user without rights, with a health check', () => {
    assert.equal(dockerfile.match(/^FROM /gmu)?.length, 2);
    const [, runtime = ''] = dockerfile.split(/^FROM .*$/mu).slice(1);
    assert.match(runtime, /^USER node$/mu);
    assert.match(runtime, /^HEALTHCHECK /mu);
    assert.ok(runtime.indexOf('USER node') < runtime.indexOf('ENTRYPOINT'));
  });

  it('copies only what is there', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gmu)].flatMap(([, names = '']) =>
      names.split(' '),
    );
    assert.ok(copied.length > 0);
    for (const name of copied) assert.ok(existsSync(join(ROOT, name)), name);
  });
});
