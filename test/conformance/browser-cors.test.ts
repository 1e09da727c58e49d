// A real browser's preflights against a whole Couchgate: headless Chromium, from Debian's package `chromium` or where CHROMIUM says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const skip = !existsSync(CHROMIUM) && `there is no ${CHROMIUM}; Debian's package is called chromium`;

interface Seen {
  readonly name: string;
  readonly status?: number;
  readonly etag?: string | null;
  readonly body?: string;
  /** What the browser says when it shows the page nothing. */
  readonly error?: string;
}

/** Serves `html` on an origin of its own. */
async function servePage(html: string): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = http.createServer((_req, res) => {
    res.setHeader('Content-Type', 'text/html; charset=utf-8');
    res.end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A page that does what PouchDB does: credentials in a header, cookies along, a PUT with JSON; and writes down what it was shown. */
function page(target: string, { name, password }: Credentials): string {
  return `<!doctype html><title>working</title><script type="module">
    const target = ${JSON.stringify(target)};
    const Authorization = 'Basic ' + btoa(${JSON.stringify(`${name}:${password}`)});
    const seen = [];
    async function go(name, path, options = {}) {
      try {
        const answer = await fetch(target + path, { credentials: 'include', ...options });
        seen.push({ name, status: answer.status, etag: answer.headers.get('etag'), body: (await answer.text()).slice(0, 200) });
      } catch (error) {
        seen.push({ name, error: String(error) });
      }
    }
    const headers = { Authorization, 'Content-Type': 'application/json', 'X-Custom': '1' };
    const id = 'page-' + location.port;
    await go('put', '/browser/' + id, { method: 'PUT', headers, body: '{"from":"a browser"}' });
    await go('get', '/browser/' + id, { headers: { Authorization } });
    await go('refused', '/browser/' + id, {});
    const pre = document.createElement('pre');
    pre.textContent = 'SEEN' + encodeURIComponent(JSON.stringify(seen)) + 'END';
    document.body.append(pre);
  </script>`;
}

describe('a browser', { skip }, () => {
  const profile = mkdtempSync(join(tmpdir(), 'couchgate-chromium-'));
  let gate: Couchgate;
  let key: Credentials;
  before(async () => {
    gate = await startCouchgate();
    key = await gate.key();
    await gate.database('browser', { [key.name]: ['_reader', '_writer'] });
  });
  after(async () => {
    await gate.close();
    rmSync(profile, { recursive: true, force: true });
  });

  async function visit(url: string, ...more: readonly string[]): Promise<readonly Seen[]> {
    const options = [
      ...more,
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
    ];
    const { stdout } = await promisify(execFile)(
      CHROMIUM,
      [...options, `--user-data-dir=${profile}`, '--virtual-time-budget=20000', '--dump-dom', url],
      { timeout: 60_000 },
    );
    const text = /SEEN(.*)END/.exec(stdout.slice(stdout.indexOf('<pre>')))?.[1];
    assert.ok(text !== undefined, `the page did not finish:\n${stdout}`);
    return JSON.parse(decodeURIComponent(text)) as readonly Seen[];
  }

  it('reads and writes from a listed origin, sees ETag and errors, and nothing from another one', async () => {
    const [listed, other] = [await servePage(page(gate.url, key)), await servePage(page(gate.url, key))];
    try {
      const cors = { enable_cors: true, allow_credentials: true, origins: [listed.url] };
      assert.equal(
        (await gate.ask('PUT', '/_api/v2/user/config/cors', { as: gate.owner, body: cors })).status,
        200,
      );
      const [put, get, refused] = await visit(listed.url);
      assert.equal(put?.status, 201, JSON.stringify(put));
      assert.equal(get?.status, 200, JSON.stringify(get));
      assert.match(get.etag ?? '', /^"1-[0-9a-f]+"$/);
      assert.match(get.body ?? '', /a browser/);
      assert.equal(refused?.status, 401);
      assert.match(refused.body ?? '', /is required for this request/);

      gate.recorder.take();
      for (const seen of await visit(other.url))
        assert.match(seen.error ?? '', /TypeError/, JSON.stringify(seen));
      const methods = new Set(gate.recorder.take().map(({ method }) => method));
      assert.ok(!methods.has('PUT') && !methods.has('OPTIONS'), [...methods].join());
    } finally {
      listed.close();
      other.close();
    }
  });

  it('sends no Sec-Fetch-Site over plain HTTP, and writes from the own origin alone (H22)', async () => {
    const front = await serveInFront(gate.url);
    const names = ['--host-resolver-rules=MAP *.test 127.0.0.1'];
    const own = `http://couch.test:${front.port}`;
    try {
      for (const [origin, statuses] of [
        [own, [401, 201]],
        [`http://evil.test:${front.port}`, [403, 403]],
      ] as const) {
        const page = `${origin}/page?${encodeURIComponent(own)}`;
        await visit(page, ...names);
        const taken = front.take();
        assert.deepEqual(
          taken.map(({ status }) => status),
          statuses,
          JSON.stringify(taken),
        );
        for (const { headers } of taken) assert.equal(headers['sec-fetch-site'], undefined);
      }
    } finally {
      front.close();
    }
  });

  /** Serves a page of writes at /page under every host name, and passes everything else to Couchgate, as the owner. */
  async function serveInFront(target: string) {
    const owner = `Basic ${Buffer.from(`${gate.owner.name}:${gate.owner.password}`).toString('base64')}`;
    const taken: { readonly headers: http.IncomingHttpHeaders; readonly status: number }[] = [];
    const server = http.createServer((req, res) => {
      if (req.url?.startsWith('/page') === true) {
        res.setHeader('Content-Type', 'text/html; charset=utf-8');
        res.end(WRITES);
        return;
      }
      // In place of a password that the browser has stored.
      const headers = req.url === '/_session' ? req.headers : { ...req.headers, authorization: owner };
      const onward = http.request(target + (req.url ?? ''), { method: req.method, headers }, (answer) => {
        if (req.method === 'POST') taken.push({ headers: req.headers, status: answer.statusCode ?? 0 });
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(res);
      });
      req.pipe(onward);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      take: () => taken.splice(0),
      close: () => {
        server.close();
        server.closeAllConnections();
      },
    };
  }
});

/** What a form can send: no preflight, and the page need not see the answer. */
const WRITES = `<!doctype html><title>working</title><script type="module">
  const target = decodeURIComponent(location.search.slice(1));
  const form = (path, fields) =>
    fetch(target + path, { method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams(fields) });
  await form('/_session', { name: 'somebody', password: 'else' });
  await form('/_api/v2/api_keys', {});
  const pre = document.createElement('pre');
  pre.textContent = 'SEEN' + encodeURIComponent('[]') + 'END';
  document.body.append(pre);
</script>`;
