// Runs the proxies of docs/recipes/proxies.md in front of Couchgate, with the configurations of that page.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { makeCertificate, type Certificate } from '../support/certificates.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/recipes/proxies.md'), 'utf8');
/** Not the address of the proxy, so that the two can be told apart. */
const CLIENT = '127.0.0.2';

interface Proxy {
  readonly language: string;
  readonly program: string;
  /** Arguments that print the version and exit with 0. */
  readonly version: readonly string[];
  /** Writes the configuration of the page, with local addresses, and returns the arguments that run it. */
  configure(block: string, place: Place): readonly string[];
}

interface Place {
  readonly folder: string;
  readonly port: number;
  readonly certificate: Certificate;
}

const PROXIES: Readonly<Record<string, Proxy>> = {
  nginx: {
    language: 'nginx',
    program: process.env['NGINX'] ?? 'nginx',
    version: ['-v'],
    configure(block, { folder, port }) {
      const server = block
        .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
        .replace('/etc/ssl/couch.pem', join(folder, 'cert.pem'))
        .replace('/etc/ssl/couch.key', join(folder, 'key.pem'));
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (name) => `${name}_temp_path ${folder}/${name};`,
      );
      const file = join(folder, 'nginx.conf');
      writeFileSync(
        file,
        `daemon off; master_process off; error_log stderr; pid ${folder}/pid; events {}
         http { access_log off; ${temporary.join(' ')} ${server} }`,
      );
      return ['-c', file, '-p', folder];
    },
  },
  HAProxy: {
    language: 'haproxy',
    program: process.env['HAPROXY'] ?? 'haproxy',
    version: ['-v'],
    configure(block, { folder, port, certificate }) {
      const pem = join(folder, 'both.pem');
      writeFileSync(pem, `${certificate.cert}\n${certificate.key}`);
      const file = join(folder, 'haproxy.cfg');
      writeFileSync(
        file,
        `${block.replace('bind :443', `bind 127.0.0.1:${port}`).replace('/etc/ssl/couch-with-key.pem', pem)}\n`,
      );
      return ['-db', '-f', file];
    },
  },
  Caddy: {
    language: 'caddyfile',
    program: process.env['CADDY'] ?? 'caddy',
    version: ['version'],
    configure(block, { folder, port }) {
      const site = block.replace(
        'couch.example.com {',
        `https://127.0.0.1:${port} {\n  bind 127.0.0.1\n  tls ${folder}/cert.pem ${folder}/key.pem`,
      );
      const file = join(folder, 'Caddyfile');
      writeFileSync(file, `{\n  admin off\n  auto_https disable_redirects\n}\n${site}\n`);
      return ['run', '--adapter', 'caddyfile', '--config', file];
    },
  },
};

/** The text of the block in this language. */
function blockOf(language: string): string {
  const block = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(PAGE)?.[1];
  assert.ok(block !== undefined, `the page has no block of ${language}`);
  return block;
}

for (const [name, proxy] of Object.entries(PROXIES)) {
  const isInstalled = spawnSync(proxy.program, proxy.version, { stdio: 'ignore' }).status === 0;
  const skip = !isInstalled && `${name} is not installed`;

  describe(`Couchgate behind ${name}`, { skip }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'couchgate-proxy-'));
    let gate: Couchgate;
    let key: Credentials;
    let port: number;
    let child: ChildProcess;
    let output = '';

    before(async () => {
      gate = await startCouchgate({ settings: { trustedProxies: ['127.0.0.1/32'] } });
      key = await gate.key();
      await gate.database('fruit', { [key.name]: ['_reader', '_writer'] });
      port = await freePort();
      const certificate = await makeCertificate('127.0.0.1');
      writeFileSync(join(folder, 'cert.pem'), certificate.cert);
      writeFileSync(join(folder, 'key.pem'), certificate.key);
      mkdirSync(join(folder, 'home'));
      const block = blockOf(proxy.language).replace(/10\.0\.0\.2[12]:5984/g, new URL(gate.url).host);
      const args = proxy.configure(block, { folder, port, certificate });
      const env = { ...process.env, HOME: join(folder, 'home') };
      child = spawn(proxy.program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await until(async () => {
        assert.equal(child.exitCode, null, output);
        const answer = await ask('GET', '/_up').catch(() => undefined);
        answer?.resume();
        return answer?.statusCode === 200;
      });
    });
    after(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await gate.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Sends one request through the proxy, from the address of the client, with a path that stays as it is. */
    function ask(
      method: string,
      path: string,
      { body, headers = {} }: { body?: string | Buffer; headers?: Record<string, string> } = {},
    ): Promise<IncomingMessage> {
      return new Promise((resolve, reject) => {
        const req = https.request(
          {
            ...{ host: '127.0.0.1', port, method, path, localAddress: CLIENT, rejectUnauthorized: false },
            agent: false,
            headers: {
              Authorization: basic(key),
              ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }),
              ...headers,
            },
          },
          resolve,
        );
        req.on('error', reject).end(body);
      });
    }

    async function statusOf(...args: Parameters<typeof ask>): Promise<number | undefined> {
      const answer = await ask(...args);
      await text(answer);
      return answer.statusCode;
    }

    it('logs the address of the client, not a forged one and not that of the proxy', async () => {
      const headers = { 'X-Forwarded-For': '203.0.113.9', 'X-Couch-Request-ID': 'forged-address' };
      assert.equal(await statusOf('GET', '/fruit', { headers }), 200);
      const lineOf = async () => (await gate.accessLog()).find(({ id }) => id === 'forged-address');
      await until(async () => (await lineOf()) !== undefined);
      assert.equal((await lineOf())?.['clientIp'], CLIENT);
    });

    it('knows that the client uses TLS – POST /_session – a Secure cookie', async () => {
      const body = JSON.stringify(key);
      const headers = { 'Content-Type': 'application/json', Authorization: '' };
      const answer = await ask('POST', '/_session', { body, headers });
      assert.equal(answer.statusCode, 200, await text(answer));
      assert.match(String(answer.headers['set-cookie']), /; Secure/);
    });

    for (const id of ['a%2Fb', 'a%20b%3Fc%23d', '%C3%BC', 'a%2Bb', '%25', '%3Ax'])
      it(`keeps a document id as it is – PUT, GET /fruit/${id}`, async () => {
        const headers = { 'Content-Type': 'application/json' };
        assert.equal(await statusOf('PUT', `/fruit/${id}`, { body: '{}', headers }), 201);
        const answer = await ask('GET', `/fruit/${id}`);
        assert.equal((JSON.parse(await text(answer)) as { _id: string })._id, decodeURIComponent(id));
      });

    it('passes a feed at once – GET /fruit/_changes?feed=continuous', async () => {
      const feed = await ask('GET', '/fruit/_changes?feed=continuous&since=now&heartbeat=1000');
      let received = '';
      feed.on('data', (chunk: Buffer) => (received += chunk.toString()));
      await gate.ask('PUT', '/fruit/news', { as: key, body: {} });
      await until(() => received.includes('"news"'));
      feed.destroy();
    });

    it('passes a large upload and download – 20 MiB', async () => {
      const body = Buffer.alloc(20 * 1024 * 1024, 'x');
      const headers = { 'Content-Type': 'application/octet-stream' };
      assert.equal(await statusOf('PUT', '/fruit/big/file', { body, headers }), 201);
      const answer = await ask('GET', '/fruit/big/file');
      assert.equal((await text(answer)).length, body.length);
    });

    it('passes long targets, refusals and the challenge', async () => {
      assert.equal(await statusOf('GET', `/fruit/_all_docs?key="${'x'.repeat(7000)}"`), 200);
      const refused = await ask('GET', '/fruit', { headers: { Authorization: '' } });
      assert.equal(refused.statusCode, 401, await text(refused));
      assert.equal(refused.headers['www-authenticate'], 'Basic realm="couchgate"');
    });
  });
}
