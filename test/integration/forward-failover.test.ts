// What a client sees when CouchDB nodes refuse, break off, fall silent or are full.
import assert from 'node:assert/strict';
import { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { afterEach, describe, it } from 'node:test';
import { type ForwardingFront, type ForwardingSetup, startForwarding } from '../support/forwarding.ts';
import { connectRaw, head } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function upstreamThat(handler: RequestListener): Promise<ScriptedUpstream> {
  const upstream = await startUpstream(handler);
  open.push(upstream);
  return upstream;
}

async function frontFor(
  upstreams: readonly ScriptedUpstream[],
  setup: Omit<ForwardingSetup, 'upstreams'> = {},
): Promise<ForwardingFront> {
  const front = await startForwarding({ upstreams, ...setup });
  open.push(front);
  return front;
}

interface Call {
  readonly method: string;
  readonly body: string;
}

/** An upstream that keeps what it gets and answers with its name. */
async function recording(name: string): Promise<ScriptedUpstream & { readonly calls: readonly Call[] }> {
  const calls: Call[] = [];
  const upstream = await upstreamThat((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => (body += chunk.toString()));
    req.on('end', () => {
      calls.push({ method: req.method ?? '', body });
      answer(res, name);
    });
  });
  return Object.assign(upstream, { calls });
}

function answer(res: ServerResponse, text: string): void {
  res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(text));
}

async function readError(response: Response): Promise<string> {
  const body = (await response.json()) as { error: string; reason: string };
  return `${response.status} ${body.error}: ${body.reason}`;
}

const JSON_BODY = { 'Content-Type': 'application/json' };
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY'];

describe('a node that refuses connections', () => {
  for (const method of METHODS) {
    it(`costs no request – ${method}, the other node gets it whole`, async () => {
      const [dead, alive] = [await recording('dead'), await recording('alive')];
      const front = await frontFor([dead, alive]);
      await dead.kill();
      const body = method === 'POST' || method === 'PUT' ? JSON.stringify({ text: 'x'.repeat(300_000) }) : '';
      for (let n = 0; n < 3; n += 1) {
        const init = body === '' ? {} : { body, headers: JSON_BODY };
        const response = await fetch(`${front.url}/db/doc`, { method, ...init });
        assert.equal(response.status, 200);
      }
      assert.deepEqual(alive.calls, Array(3).fill({ method, body }));
      assert.equal(front.nodes.report()[0]?.state, 'down');
    });
  }

  it('costs no write whose body is still being sent', async () => {
    const [dead, alive] = [await recording('dead'), await recording('alive')];
    const front = await frontFor([dead, alive]);
    await dead.kill();
    for (let n = 0; n < 2; n += 1) {
      const client = await connectRaw(front.port);
      client.send(
        head('PUT /db/doc HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 9'),
      );
      client.send('{"a"');
      await until(() => front.contexts[n]?.upstream.node === alive.host);
      client.send(':123}');
      await client.sees('HTTP/1.1 200');
      client.socket.destroy();
    }
    assert.deepEqual(
      alive.calls.map(({ body }) => body),
      ['{"a":123}', '{"a":123}'],
    );
  });

  it('is 503 with Retry-After when there is no other, and never 401 or 408', async () => {
    const dead = await recording('dead');
    const front = await frontFor([dead]);
    await dead.kill();
    const first = await fetch(`${front.url}/db`);
    assert.equal(first.headers.get('retry-after'), '5');
    assert.equal(await readError(first), '503 service_unavailable: CouchDB could not be reached.');
    const later = await fetch(`${front.url}/db`, { method: 'POST', body: '{}', headers: JSON_BODY });
    assert.equal(await readError(later), '503 service_unavailable: No CouchDB node is available.');
  });

  it('gets its share again when it is back', async () => {
    const [a, b] = [await recording('a'), await recording('b')];
    const front = await frontFor([a, b], { health: { intervalMs: 20 } });
    await a.kill();
    for (let n = 0; n < 2; n += 1) await fetch(`${front.url}/db`);
    assert.equal(front.nodes.report()[0]?.state, 'down');
    await a.revive();
    await until(() => front.nodes.report()[0]?.state === 'up');
    for (let n = 0; n < 4; n += 1) await fetch(`${front.url}/db`);
    assert.equal(a.calls.length, 2);
  });
});

describe('a node that breaks off', () => {
  const breaking: readonly (readonly [string, (req: IncomingMessage, res: ServerResponse) => void])[] = [
    ['before its head', (req) => req.socket.resetAndDestroy()],
    ['politely, before its head', (req) => req.socket.end()],
    [
      'between head and body',
      (req, res) => {
        res.writeHead(200, { ...JSON_BODY, 'Content-Length': 10 });
        res.flushHeaders();
        setImmediate(() => req.socket.end());
      },
    ],
  ];
  for (const [when, script] of breaking) {
    it(`${when} is not noticed by a reader while another node is there`, async () => {
      const broken = await upstreamThat((req, res) => {
        req.resume();
        script(req, res);
      });
      const alive = await recording('alive');
      const front = await frontFor([broken, alive]);
      for (let n = 0; n < 4; n += 1) {
        const response = await fetch(`${front.url}/db/doc`);
        assert.equal(await response.text(), '"alive"');
      }
      assert.equal(alive.calls.length, 4);
    });

    for (const method of ['POST', 'PUT', 'DELETE', 'COPY']) {
      it(`${when} ends a write for good – ${method}: 502 says that its outcome is not known`, async () => {
        let arrived = 0;
        const broken = await upstreamThat((req, res) => {
          arrived += 1;
          req.resume();
          req.on('end', () => script(req, res));
        });
        const other = await upstreamThat((_req, res) => {
          arrived += 1;
          answer(res, 'other');
        });
        // The second node comes second in turn, so the first request goes to it.
        const front = await frontFor([other, broken]);
        const init = method === 'POST' || method === 'PUT' ? { body: '{}', headers: JSON_BODY } : {};
        const response = await fetch(`${front.url}/db/doc`, { method, ...init });
        assert.match(
          await readError(response),
          /^502 bad_gateway: .*It is unknown whether the request was executed\.$/,
        );
        assert.equal(arrived, 1);
        assert.match(front.contexts[0]?.outcome.failure ?? '', /^(ECONN|ERROR|UND_ERR_SOCKET)/);
      });
    }
  }

  it('after the first bytes breaks the reader’s answer too, and is not asked again for it', async () => {
    let asked = 0;
    const script = (req: IncomingMessage, res: ServerResponse): void => {
      asked += 1;
      res.writeHead(200, { ...JSON_BODY, 'Content-Length': 10 });
      res.write('12345', () => req.socket.end());
    };
    const front = await frontFor([await upstreamThat(script), await upstreamThat(script)]);
    const response = await fetch(`${front.url}/db/doc`);
    await assert.rejects(response.text());
    assert.equal(asked, 1);
  });

  it('while it is idle costs no reader anything, though it is the only node', async () => {
    const upstream = await startUpstream((_req, res) => answer(res, 'ok'), {
      server: { keepAliveTimeout: 5 },
    });
    open.push(upstream);
    const front = await frontFor([upstream]);
    for (let n = 0; n < 20; n += 1) {
      const response = await fetch(`${front.url}/db`);
      assert.equal(response.status, 200);
      await response.text();
      await new Promise((resolve) => setTimeout(resolve, n));
    }
  });
});

describe('a standstill of Couchgate itself', () => {
  it('is not taken for a node that cannot be reached', async () => {
    const upstream = await recording('ok');
    const stand = (): void => {
      const end = performance.now() + 100;
      while (performance.now() < end);
    };
    const front = await frontFor([upstream], {
      nodes: { connectTimeoutMs: 30 },
      // Once the connection is under way, and before it is seen to stand.
      before: () => void setImmediate(stand),
    });
    assert.equal((await fetch(`${front.url}/db`)).status, 200);
    assert.equal(front.nodes.report()[0]?.state, 'up');
  });
});

describe('a node that is silent', () => {
  it('ends in 504, once, for reads as for writes', async () => {
    let asked = 0;
    const silent = await upstreamThat(() => void (asked += 1));
    const front = await frontFor([silent, silent], { nodes: { idleTimeoutMs: 50 } });
    assert.equal(
      await readError(await fetch(`${front.url}/db`)),
      '504 gateway_timeout: CouchDB did not answer in time.',
    );
    const write = await fetch(`${front.url}/db`, { method: 'POST', body: '{}', headers: JSON_BODY });
    assert.match(
      await readError(write),
      /^504 gateway_timeout: .*It is unknown whether the request was executed\.$/,
    );
    assert.equal(asked, 2);
  });

  it('ends in 504 after a multipart request that CouchDB never answers (H2)', async () => {
    const silent = await upstreamThat((req) => void req.resume());
    const front = await frontFor([silent], { options: { multipartTimeoutMs: 50 } });
    const response = await fetch(`${front.url}/db/doc`, {
      method: 'PUT',
      body: '--b--',
      headers: { 'Content-Type': 'multipart/related; boundary=b' },
    });
    assert.match(
      await readError(response),
      /^504 gateway_timeout: .*It is unknown whether the request was executed\.$/,
    );
    assert.equal(front.nodes.report()[0]?.running, 0);
  });

  it('does not end a multipart request that is still being sent', async () => {
    const upstream = await recording('ok');
    const front = await frontFor([upstream], { options: { multipartTimeoutMs: 1000 } });
    const client = await connectRaw(front.port);
    client.send(
      head('PUT /db/doc HTTP/1.1', 'Host: x', 'Content-Type: multipart/related', 'Content-Length: 6'),
    );
    for (const byte of 'abcdef') {
      // Six of them take longer than the limit, and leave a loaded machine a second for the answer.
      await new Promise((resolve) => setTimeout(resolve, 250));
      client.send(byte);
    }
    await client.sees('HTTP/1.1 200');
    client.socket.destroy();
  });
});

describe('a node that is full', () => {
  /** Answers only when it is told to. */
  async function holding(): Promise<ScriptedUpstream & { held: ServerResponse[]; most: number }> {
    const state = { held: [] as ServerResponse[], most: 0 };
    const upstream = await upstreamThat((req, res) => {
      req.resume();
      state.held.push(res);
      state.most = Math.max(state.most, state.held.length);
    });
    return Object.defineProperties(upstream, {
      held: { get: () => state.held },
      most: { get: () => state.most },
    }) as never;
  }
  const release = (upstream: { held: ServerResponse[] }): void => {
    const res = upstream.held.shift();
    if (res !== undefined) answer(res, 'done');
  };

  it('makes requests wait in order, and refuses past the line with 503', async () => {
    const upstream = await holding();
    const front = await frontFor([upstream], { nodes: { connections: 2, queue: 3 } });
    const asked = Array.from({ length: 5 }, (_, n) => fetch(`${front.url}/db/${n}`));
    await until(() => front.nodes.report()[0]?.waiting === 3);
    assert.equal(
      await readError(await fetch(`${front.url}/db/6`)),
      '503 service_unavailable: Too many requests are waiting for CouchDB.',
    );
    for (let n = 0; n < 5; n += 1) {
      await until(() => upstream.held.length > 0);
      release(upstream);
    }
    const answers = await Promise.all(asked);
    assert.equal(
      answers.every(({ status }) => status === 200),
      true,
    );
    assert.equal(upstream.most, 2);
    // Those that waited took the connections of those before them.
    assert.equal(upstream.connections, 2);
  });

  it('lets a client that leaves out of the line, and never asks CouchDB for it', async () => {
    const upstream = await holding();
    const front = await frontFor([upstream], { nodes: { connections: 1, queue: 2 } });
    const first = fetch(`${front.url}/db/first`);
    await until(() => upstream.held.length === 1);
    const client = await connectRaw(front.port);
    client.send(head('GET /db/left HTTP/1.1', 'Host: x'));
    await until(() => front.nodes.report()[0]?.waiting === 1);
    client.socket.destroy();
    await until(() => front.nodes.report()[0]?.waiting === 0);
    release(upstream);
    assert.equal((await first).status, 200);
    await until(() => front.nodes.report()[0]?.running === 0);
    assert.equal(upstream.most, 1);
  });

  it('does not hold up feeds, which have their own limit, nor do feeds hold up the rest', async () => {
    const upstream = await holding();
    const front = await frontFor([upstream], {
      nodes: { connections: 1, queue: 0, feeds: 1 },
      judge: (req) => (req.url?.includes('_changes') === true ? { transport: 'feed' } : {}),
    });
    const short = fetch(`${front.url}/db/doc`);
    const feed = fetch(`${front.url}/db/_changes?feed=longpoll`);
    await until(() => upstream.held.length === 2);
    assert.equal((await fetch(`${front.url}/db/doc`)).status, 503);
    assert.equal((await fetch(`${front.url}/db/_changes?feed=longpoll`)).status, 503);
    assert.equal((await fetch(`${front.url}/db/_changes?f%65ed=continuous`)).status, 503);
    release(upstream);
    release(upstream);
    assert.deepEqual([(await short).status, (await feed).status], [200, 200]);
  });

  it('that goes away sends its line to the other nodes', async () => {
    const statuses = { full: 200, other: 404 };
    const held: ServerResponse[] = [];
    const full = await startUpstream((_req, res) => void held.push(res), { up: () => statuses.full });
    const other = await startUpstream((_req, res) => answer(res, 'other'), { up: () => statuses.other });
    open.push(full, other);
    const front = await frontFor([full, other], { nodes: { connections: 1 }, health: { intervalMs: 20 } });
    const running = fetch(`${front.url}/db/a`);
    await until(() => held.length === 1);
    const waiting = fetch(`${front.url}/db/b`);
    await until(() => front.nodes.report()[0]?.waiting === 1);
    statuses.other = 200;
    await until(() => front.nodes.report()[1]?.state === 'up');
    statuses.full = 404;
    assert.equal(await (await waiting).text(), '"other"');
    for (const res of held) answer(res, 'full');
    assert.equal(await (await running).text(), '"full"');
  });
});

describe('a node that vanishes without a word', () => {
  /** Holds what it gets, begins feeds, and answers `/_up` with `status`, or not while that is 0. */
  async function started(vanishedMs: number): Promise<{
    readonly front: ForwardingFront;
    readonly node: { status: number; looks: number; readonly held: ServerResponse[] };
  }> {
    const node = { status: 200, looks: 0, held: [] as ServerResponse[] };
    const upstream = await startUpstream(
      (req, res) => {
        if (req.url?.includes('_changes') === true) res.writeHead(200).write('{"seq":1}\n');
        else node.held.push(res);
      },
      {
        up: () => {
          node.looks += 1;
          return node.status;
        },
      },
    );
    open.push(upstream);
    const front = await frontFor([upstream], {
      nodes: { vanishedMs },
      health: { intervalMs: 20 },
      judge: (req) => (req.url?.includes('_changes') === true ? { transport: 'feed' } : {}),
    });
    return { front, node };
  }
  const feedOf = async (front: ForwardingFront): Promise<() => Promise<string>> => {
    const feed = await fetch(`${front.url}/db/_changes?feed=continuous`);
    return () => feed.text();
  };

  it('keeps nobody waiting: what was sent to it ends with 504, a feed visibly', async () => {
    const { front, node } = await started(50);
    const short = fetch(`${front.url}/db/doc`, { method: 'PUT', headers: JSON_BODY, body: '{}' });
    const feed = await feedOf(front);
    await until(() => node.held.length === 1);
    node.status = 0;
    assert.equal((await short).status, 504);
    await assert.rejects(feed());
    await until(() => front.nodes.report().every(({ running, feeds }) => running + feeds === 0));
  });

  it('loses nothing while it only refuses – /_up answers 500', async () => {
    const { front, node } = await started(1);
    const short = fetch(`${front.url}/db/doc`);
    await until(() => node.held.length === 1);
    node.status = 500;
    await until(() => front.nodes.report()[0]?.state === 'down');
    const { looks } = node;
    await until(() => node.looks > looks + 5);
    for (const res of node.held) answer(res, 'late');
    assert.equal(await (await short).text(), '"late"');
  });
});

describe('a body that is larger than allowed', () => {
  it('is cut when the chunks turn out too many – 413', async () => {
    let bytes = 0;
    const upstream = await upstreamThat((req) => req.on('data', (chunk: Buffer) => (bytes += chunk.length)));
    const front = await frontFor([upstream], { options: { maxBodyBytes: 100_000 } });
    const client = await connectRaw(front.port);
    client.send(head('PUT /db/doc/a HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked'));
    const chunk = `${(10_000).toString(16)}\r\n${'x'.repeat(10_000)}\r\n`;
    for (let n = 0; n < 11; n += 1) client.send(chunk);
    await client.sees('HTTP/1.1 413');
    await client.end();
    assert.ok(bytes <= 100_000, String(bytes));
    await until(() => front.nodes.report()[0]?.running === 0);
  });
});

describe('the reason for which a node is suspected', () => {
  for (const [title, fails, reason] of [
    [
      'an answer that breaks off',
      (res: ServerResponse) => {
        res.writeHead(200, { 'Content-Length': '100' }).write('{', () => res.destroy());
      },
      'answer truncated',
    ],
    [
      'a request without an answer',
      (res: ServerResponse) => void res.destroy(),
      /^request failed: (ECONNRESET|UND_ERR_SOCKET)$/,
    ],
  ] as const)
    it(`says what happened – ${title}`, async () => {
      const reasons: string[] = [];
      const upstream = await upstreamThat((_req, res) => {
        fails(res);
      });
      const front = await frontFor([upstream], {
        health: {
          onState(_node, state, why) {
            if (state === 'half-open') reasons.push(why);
          },
        },
      });
      const client = await connectRaw(front.port);
      client.send(head('GET /db/doc HTTP/1.1', 'Host: x', 'Connection: close'));
      await until(() => reasons.length > 0);
      await client.end();
      if (typeof reason === 'string') assert.equal(reasons[0], reason);
      else assert.match(reasons[0] ?? '', reason);
    });
});
