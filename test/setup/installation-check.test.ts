// What the rules of setup say about running nodes, against made-up configurations.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CouchRequest } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { type AtRest } from '../../src/setup/at-rest.ts';
import { InstallationCheck, type InstallationCheckOptions } from '../../src/setup/installation-check.ts';
import { RULES } from '../../src/setup/rules.ts';

const HANDLERS = '{chttpd_auth, jwt_authentication_handler}';
const READY = {
  admins: { root: '-pbkdf2-hash' },
  chttpd: { authentication_handlers: HANDLERS, admin_only_all_dbs: 'true' },
  chttpd_auth: { proxy_use_secret: 'true', secret: '0123456789abcdef0123', hash_algorithms: 'sha256' },
  httpd: { enable_cors: 'false', allow_jsonp: 'false', secure_rewrites: 'true' },
};
const ENCRYPTED: AtRest = { state: 'encrypted' };

interface Node {
  readonly config?: unknown;
  readonly handlers?: readonly string[];
  readonly status?: number;
  readonly state?: string;
}

function checkOf(nodes: Readonly<Record<string, Node>>, more: Partial<InstallationCheckOptions> = {}) {
  const asked: CouchRequest[] = [];
  const check = new InstallationCheck({
    couch: {
      ask(request) {
        asked.push(request);
        const {
          config = READY,
          handlers = ['jwt', 'cookie'],
          status = 200,
        } = nodes[request.node ?? ''] ?? {};
        if (status >= 500) return Promise.reject(new Unavailable('no node'));
        if (status >= 400) return Promise.resolve({ status, body: { error: 'e', reason: 'r' } });
        const isSession = request.path === '/_session';
        return Promise.resolve({
          status,
          body: isSession ? { info: { authentication_handlers: handlers } } : config,
        });
      },
    },
    nodes: {
      report: () =>
        Object.entries(nodes).map(([url, { state = 'up' }]) => ({ url, state, reason: 'connection failed' })),
    },
    folders: new Map([['/srv/data', 'data: secrets']]),
    lookAt: () => Promise.resolve(ENCRYPTED),
    ...more,
  });
  return { check, asked };
}

describe('the check of the installation', () => {
  it('passes a node that setup would not change, and asks it twice', async () => {
    const { check, asked } = checkOf({ 'http://a:5984': {} });
    const { passed, nodes, folders } = await check.run();
    assert.deepEqual([passed, nodes[0]?.node, nodes[0]?.state], [true, 'a:5984', 'checked']);
    assert.equal(nodes[0]?.checks.length, RULES.length + 1);
    assert.deepEqual(
      nodes[0].checks.filter(({ result }) => result !== 'passed'),
      [],
    );
    assert.deepEqual(folders, [{ folder: 'data: secrets', encryption: 'encrypted' }]);
    assert.deepEqual(asked.map(({ method, path }) => `${method} ${path}`).sort(), [
      'GET /_node/_local/_config',
      'GET /_session',
    ]);
  });

  it('says what fails and what to do, and shows no value of the node', async () => {
    const secret = 'S3CRET';
    const names = new Map<string, Record<string, string>>();
    for (const { section, key } of RULES) names.set(section, { ...names.get(section), [key]: secret });
    const config = {
      ...Object.fromEntries(names),
      jwt_keys: { 'hmac:main': secret },
      admins: { root: secret },
      vhosts: { [secret]: `/${secret}` },
      chttpd: {
        ...names.get('chttpd'),
        authentication_handlers: `{${secret}, x}, {chttpd_auth, proxy_authentication_handler}`,
      },
    };
    const { check } = checkOf({ 'http://a:5984': { config, handlers: ['proxy', secret] } });
    const checked = await check.run();
    assert.equal(checked.passed, false);
    assert.doesNotMatch(JSON.stringify(checked), new RegExp(secret, 'i'));
    const byName = new Map(checked.nodes[0]?.checks.map((each) => [each.check, each]));
    const told = (name: string) => [byName.get(name)?.result, byName.get(name)?.remedy];
    assert.deepEqual(told('[chttpd] enable_cors'), ['failed', 'set it to `false`']);
    assert.deepEqual(told('[jwt_auth] roles_claim_path'), ['failed', 'remove the setting']);
    assert.deepEqual(told('[chttpd] authentication_handlers'), [
      'failed',
      `put \`${HANDLERS}\` first and remove the proxy handler, then restart the node`,
    ]);
    assert.deepEqual(told('running authentication handlers'), ['failed', 'restart the node']);
    assert.equal(told('[vhosts] *')[0], 'failed');
    assert.equal(told('[chttpd_auth] secret')[0], 'advice');
  });

  it('says that a node is away, refuses, or has no settings; the others are checked all the same', async () => {
    const { check, asked } = checkOf({
      'http://a:5984': {},
      'http://b:5984': { state: 'down' },
      'http://c:5984': { status: 503 },
      'http://d:5984': { status: 401 },
      'http://e:5984': { config: {} },
      'http://f:5984': { config: 'nonsense' },
    });
    const { passed, nodes } = await check.run();
    assert.equal(passed, false);
    assert.deepEqual(
      nodes.map(({ state }) => state),
      ['checked', 'away', 'away', 'refused', 'no settings', 'no settings'],
    );
    assert.equal(nodes[1]?.reason, 'connection failed');
    assert.equal(asked.filter(({ node }) => node === 'http://b:5984').length, 0);
  });

  it('runs once for all who ask at a time, and again only after a while', async () => {
    let time = 0;
    const { check, asked } = checkOf({ 'http://a:5984': {} }, { now: () => time });
    const [first, second] = await Promise.all([check.run(), check.run()]);
    assert.equal(first, second);
    time = 4999;
    assert.equal(await check.run(), first);
    assert.equal(asked.length, 2);
    time = 5000;
    assert.notEqual(await check.run(), first);
    assert.equal(asked.length, 4);
  });

  it('does not wait for a dead file system, starts no second read of it, and looks at the other folders', async () => {
    let time = 0;
    const looks: string[] = [];
    const dead = new Set(['/b']);
    const { check } = checkOf(
      { 'http://a:5984': {} },
      {
        ...{ now: () => time, folderTimeoutMs: 5 },
        folders: new Map(['/a', '/b', '/c', '/d', '/e'].map((path) => [path, path])),
        lookAt: (path) => {
          looks.push(path);
          return dead.has(path) ? new Promise(() => undefined) : Promise.resolve(ENCRYPTED);
        },
      },
    );
    const reasons = async (): Promise<readonly (string | undefined)[]> => {
      time += 10_000;
      looks.length = 0;
      const { passed, folders } = await check.run();
      assert.equal(passed, true);
      return folders.map(
        ({ encryption, reason }) => reason?.replace(/^it was | file system .*$/u, '') ?? encryption,
      );
    };
    const fine = 'encrypted';
    assert.deepEqual(await reasons(), [fine, 'its', fine, fine, fine]);
    assert.deepEqual(await reasons(), [fine, 'its', fine, fine, fine]);
    assert.deepEqual(looks, ['/a', '/c', '/d', '/e']);
    // The threads that read files are few.
    dead.add('/c').add('/d');
    const other = 'not looked at: the file systems of other folders do not answer';
    assert.deepEqual(await reasons(), [fine, 'its', 'its', other, other]);
    assert.deepEqual(looks, ['/a', '/c']);
  });
});
