// One of three nodes is killed under load and comes back: what clients of Couchgate see of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { until } from '../support/until.ts';
import { closedAfterSuite } from '../support/started.ts';

const READERS = 8;
const WRITERS = 4;
const FEEDS = 9;

/** What a client wrote and had acknowledged, what it read, and what went wrong. */
class Load {
  readonly acknowledged = new Set<string>();
  /** Writes without an acknowledgement: they may be there or not, and their client knows it. */
  readonly unacknowledged: string[] = [];
  readonly failedReads: string[] = [];
  reads = 0;
  #running = true;
  readonly #done: Promise<unknown>;

  constructor(url: string, key: Credentials, seeded: readonly string[]) {
    const agent = new http.Agent({ keepAlive: true });
    const send = (method: string, path: string, body?: string): Promise<number> =>
      request(url, agent, key, method, path, body);
    const read = async (): Promise<void> => {
      for (let n = 0; this.#running; n += 1) {
        const path = `/load/${seeded[n % seeded.length] ?? ''}`;
        const status = await send('GET', path).catch((error: unknown) => String(error));
        this.reads += 1;
        if (status !== 200) this.failedReads.push(`${path}: ${status}`);
      }
    };
    const write = async (writer: number): Promise<void> => {
      for (let n = 0; this.#running; n += 1) {
        const id = `w${writer}-${n}`;
        const status = await send('PUT', `/load/${id}`, '{}').catch((error: unknown) => String(error));
        if (status === 201 || status === 202) this.acknowledged.add(id);
        else this.unacknowledged.push(`${id}: ${status}`);
      }
    };
    const clients = [
      ...Array.from({ length: READERS }, read),
      ...Array.from({ length: WRITERS }, (_, writer) => write(writer)),
    ];
    this.#done = Promise.all(clients).finally(() => agent.destroy());
  }

  /** Waits for this many more reads, so that something has happened since. */
  async more(reads: number): Promise<void> {
    const wanted = this.reads + reads;
    await until(() => this.reads >= wanted, `${reads} more reads`);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }
}

async function request(
  url: string,
  agent: http.Agent,
  key: Credentials,
  method: string,
  path: string,
  body?: string,
): Promise<number> {
  const headers = {
    authorization: basic(key),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const req = http.request(url + path, { method, agent, headers });
  req.end(body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  // Rejects when the answer is cut short.
  await buffer(res);
  return res.statusCode ?? 0;
}

/** A client of a continuous feed, as they are written: after an end it goes on where it was. */
class Feed {
  readonly seen = new Set<string>();
  ends = 0;
  readonly #url: string;
  readonly #key: Credentials;
  #since = 'now';
  #req: http.ClientRequest | undefined;
  #stopped = false;

  constructor(url: string, key: Credentials) {
    this.#url = url;
    this.#key = key;
  }

  async open(): Promise<void> {
    const path = `/load/_changes?feed=continuous&heartbeat=1000&since=${encodeURIComponent(this.#since)}`;
    const req = http.get(this.#url + path, { agent: false, headers: { authorization: basic(this.#key) } });
    this.#req = req;
    const opened = once(req, 'response') as Promise<[IncomingMessage]>;
    const [res] = await opened;
    void this.#read(res).finally(() => {
      this.ends += 1;
      if (!this.#stopped) void this.#again();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#req?.destroy();
  }

  async #again(): Promise<void> {
    while (!this.#stopped) {
      const isOpen = await this.open().then(
        () => true,
        () => false,
      );
      if (isOpen) return;
      await wait(50);
    }
  }

  async #read(res: IncomingMessage): Promise<void> {
    let rest = '';
    try {
      for await (const chunk of res) {
        rest += String(chunk);
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines.filter((each) => each !== '')) {
          const row = JSON.parse(line) as {
            readonly id?: string;
            readonly seq?: string;
            readonly last_seq?: string;
          };
          if (row.id !== undefined) this.seen.add(row.id);
          this.#since = row.seq ?? row.last_seq ?? this.#since;
        }
      }
    } catch {
      // Broken off: that is how a client learns that there may be more.
    }
  }
}

async function idsOf(couchgate: Couchgate, key: Credentials): Promise<Set<string>> {
  const { body } = await couchgate.ask('GET', '/load/_all_docs', { as: key });
  return new Set((body as { readonly rows: readonly { readonly id: string }[] }).rows.map(({ id }) => id));
}

describe('a node that is killed', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  let couchgate: Couchgate;
  let key: Credentials;
  const seeded = Array.from({ length: 50 }, (_, n) => `seed-${n}`);

  const started = closedAfterSuite();
  before(async () => {
    backend = await started(startBackend({ nodes: 3 }));
    couchgate = await started(startCouchgate({ backend, settings: { healthIntervalMs: 500 } }));
    key = await couchgate.key();
    await couchgate.database('load', { [key.name]: ['_reader', '_writer'] });
    const body = { docs: seeded.map((id) => ({ _id: id })) };
    assert.equal((await couchgate.ask('POST', '/load/_bulk_docs', { as: key, body })).status, 201);
  });

  it('costs no read, no acknowledged write, and no feed more than a visible end', async (t) => {
    const feeds = Array.from({ length: FEEDS }, () => new Feed(couchgate.url, key));
    t.after(() => feeds.forEach((feed) => feed.stop()));
    await Promise.all(feeds.map((feed) => feed.open()));
    const load = new Load(couchgate.url, key, seeded);
    await load.more(200);
    const victim = backend.nodes[1];
    if (victim === undefined) throw new Error('three nodes were asked for');
    await victim.kill();
    await load.more(400);
    await victim.start();
    await load.more(400);
    await load.stop();

    t.diagnostic(
      `${load.reads} reads, ${load.failedReads.length} failed; ${load.acknowledged.size} writes acknowledged, ` +
        `${load.unacknowledged.length} not: ${load.unacknowledged.slice(0, 5).join(' · ')}`,
    );
    assert.deepEqual(load.failedReads, []);
    let there = new Set<string>();
    // A list is read from one copy of each document, and the copies of the node that came back take their time.
    await until(async () => {
      there = await idsOf(couchgate, key);
      return [...load.acknowledged].every((id) => there.has(id));
    }, 'every acknowledged write is there');
    const ended = feeds.filter((feed) => feed.ends > 0).length;
    assert.ok(ended > 0, 'the feeds of the killed node ended');
    for (const feed of feeds)
      await until(
        () => [...there].every((id) => id.startsWith('seed-') || feed.seen.has(id)),
        'a feed tells of every write',
      );
    t.diagnostic(`${ended} of ${FEEDS} feeds ended and went on; none missed a write`);
  });

  it('is asked again when it is back', async () => {
    const victim = backend.nodes[1];
    const requests = async (): Promise<number> =>
      ((await victim?.log()) ?? '').split(' GET /load/seed-0 ').length;
    const before = await requests();
    await until(async () => {
      await couchgate.ask('GET', '/load/seed-0', { as: key });
      return (await requests()) > before;
    }, 'the node serves reads');
  });
});
