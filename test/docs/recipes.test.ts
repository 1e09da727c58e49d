// docs/recipes: the settings of every page are settings of Couchgate, its YAML is valid, and every page is linked.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { openMetricsServer, type MetricsServer } from '../../src/audit/metrics-server.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { SETTING_FILES, SETTING_NAMES, variableOf } from '../../src/config/sources.ts';
import { isRole } from '../../src/permissions/role.ts';
import { RULES } from '../../src/setup/rules.ts';
import { rememberingLog } from '../support/log.ts';

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'docs/recipes');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const PAGES = readdirSync(FOLDER).filter((name) => name !== 'README.md');

interface Block {
  readonly page: string;
  readonly language: string;
  readonly text: string;
}

const BLOCKS: readonly Block[] = PAGES.flatMap((page) =>
  [...readFileSync(join(FOLDER, page), 'utf8').matchAll(/^( *)```(\w+)\n([^]*?)^\1```/gm)].map(
    ([, indent = '', language = '', text = '']) => ({
      page,
      language,
      text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  ),
);

/** Blocks whose first line is a comment with this name. */
function blocksNamed(name: string): readonly Block[] {
  return BLOCKS.filter(({ text }) => text.startsWith(`# ${name}\n`));
}

const root = mkdtempSync(join(tmpdir(), 'couchgate-recipes-'));
after(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
/** Loads files as Couchgate does; the files of secrets are replaced by existing ones. */
function check(files: Readonly<Record<string, string>>): void {
  const folder = join(root, String((count += 1)));
  mkdirSync(folder);
  for (const secret of ['jwt_secret', 'session_secret'])
    writeFileSync(join(folder, secret), Buffer.alloc(32, secret).toString('base64'));
  for (const [name, text] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      text.replaceAll(/_file: \S*\/(jwt_secret|session_secret)/g, `_file: ${folder}/$1`),
    );
  const hasNodes = /couchdb_nodes:/.test(files['couchgate.yaml'] ?? '');
  loadConfiguration({ env: hasNodes ? {} : { COUCHGATE_EMBEDDED: 'on' }, folder });
}

describe('docs/recipes', () => {
  for (const file of SETTING_FILES)
    for (const { page, text } of blocksNamed(file))
      it(`has a valid ${file} – ${page}`, () => check({ [file]: text }));

  it('says of every YAML block which file it is', () => {
    const names = [...SETTING_FILES, 'kubernetes', 'prometheus.yml', 'alerts.yml'];
    const unnamed = BLOCKS.filter(
      ({ language, text }) => language === 'yaml' && !names.some((name) => text.startsWith(`# ${name}\n`)),
    );
    assert.deepEqual(unnamed, []);
    for (const name of names) assert.ok(blocksNamed(name).length > 0, name);
  });

  it('names only variables that Couchgate reads', () => {
    const known = new Set(SETTING_NAMES.flatMap((name) => [variableOf(name), `${variableOf(name)}_FILE`]));
    // A variable that Kubernetes sets for a service of this name.
    for (const other of ['COUCHGATE_CONFIG', 'COUCHGATE_PORT']) known.add(other);
    for (const page of PAGES)
      for (const [name] of readFileSync(join(FOLDER, page), 'utf8').matchAll(/\bCOUCHGATE_[A-Z_]+/g))
        assert.ok(known.has(name), `${page}: ${name}`);
  });

  it('names only roles that there are', () => {
    for (const { page, text } of BLOCKS)
      for (const [, list = ''] of text.matchAll(/"cloudant":\{[^}]*?:\[([^\]]*)\]/g))
        for (const role of list.split(',')) assert.ok(isRole(role.replaceAll('"', '')), `${page}: ${role}`);
  });

  it('sets nothing in CouchDB that `setup` changes or reports', () => {
    for (const { page, text } of BLOCKS.filter(({ language }) => language === 'ini')) {
      let section = '';
      for (const line of text.split('\n')) {
        section = /^\[(\w+)\]$/.exec(line)?.[1] ?? section;
        const [, key = '', value = ''] = /^(\w+) = (.*)$/.exec(line) ?? [];
        const rule = RULES.find((each) => each.section === section && each.key === key);
        const kind = rule?.judge(value, { [section]: { [key]: value } }).kind ?? 'fine';
        assert.equal(kind, 'fine', `${page}: [${section}] ${key}`);
      }
    }
  });

  it('names only metrics that Couchgate has', () => {
    const code = read('src/audit/metrics.ts') + read('src/service-metrics.ts');
    for (const { text } of [...blocksNamed('prometheus.yml'), ...blocksNamed('alerts.yml')]) {
      parse(text);
      for (const [, name = ''] of text.matchAll(/couchgate_([a-z_]+)/g))
        assert.ok(code.includes(`'${name}'`) || code.includes(`couchgate_${name}`), name);
    }
  });

  it('links every page, from the list of recipes and the list from the README', () => {
    const list = readFileSync(join(FOLDER, 'README.md'), 'utf8');
    for (const page of PAGES) assert.ok(list.includes(`(${page})`), page);
    assert.equal(read('README.md').includes('(docs/recipes/README.md)'), true);
  });

  it('links to files and headings that exist', () => {
    const anchorsOf = (text: string): readonly string[] =>
      [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N}\-_ ]/gu, '')
          .replaceAll(' ', '-'),
      );
    for (const page of [...PAGES, 'README.md'])
      for (const [, path = '', anchor] of readFileSync(join(FOLDER, page), 'utf8').matchAll(
        /\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)/g,
      )) {
        const text = readFileSync(join(FOLDER, path), 'utf8');
        if (anchor !== undefined) assert.ok(anchorsOf(text).includes(anchor), `${page}: ${path}#${anchor}`);
      }
  });
});

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly {
          readonly env: readonly { readonly name: string }[];
          readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
          readonly livenessProbe: Probe;
          readonly readinessProbe: Probe;
        }[];
      };
    };
  };
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

describe('docs/recipes/kubernetes.md', () => {
  const [block] = blocksNamed('kubernetes');
  const manifests = parseAllDocuments(block?.text ?? '').map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Manifest;
  });
  const files = manifests.find(({ kind }) => kind === 'ConfigMap')?.data ?? {};
  const pod = manifests.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec;
  const container = pod?.containers[0];
  let server: MetricsServer | undefined;
  before(async () => {
    server = await openMetricsServer({
      address: '127.0.0.1:0',
      chosen: true,
      metrics: () => Promise.resolve(''),
      readiness: () => ({ ready: true, checks: {} }),
      log: rememberingLog(),
    });
  });
  after(() => server?.close());

  it('has a valid configuration', () => {
    assert.deepEqual(Object.keys(files), ['couchgate.yaml', 'ip-whitelist.yaml']);
    check(files);
  });

  it('listens on the ports of the container, and ends within the grace period', () => {
    const settings = parse(files['couchgate.yaml'] ?? '') as Record<string, string | number>;
    const ports = container?.ports.map(({ containerPort }) => `0.0.0.0:${containerPort}`);
    assert.deepEqual(ports, [settings['listen'], settings['metrics_listen']]);
    const drainSeconds = Number(settings['drain_delay_seconds']) + 60;
    assert.equal((pod?.terminationGracePeriodSeconds ?? 0) > drainSeconds, true);
  });

  for (const probe of ['livenessProbe', 'readinessProbe'] as const)
    it(`asks a path that Couchgate answers – ${probe}`, async () => {
      const { path, port } = container?.[probe].httpGet ?? { path: '', port: '' };
      assert.equal(port, 'metrics');
      assert.equal((await fetch(`${server?.url ?? ''}${path}`)).status, 200);
    });
});
