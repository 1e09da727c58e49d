// H20: what the parsers of CouchDB and of Couchgate get. For every endpoint that takes a body: deep nesting, very many members and values,
// each also in gzip, and bombs. With COUCHDB_HOME, the memory of a real node is measured from outside.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';
import { type Endpoint } from '../../src/catalogue/endpoint.ts';
import { openAdmin, type Admin } from '../../src/setup/admin.ts';
import { markersOf } from '../../src/principal/marker.ts';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { startUpstream } from '../support/scripted-upstream.ts';
import { until } from '../support/until.ts';
import { startPolicyFront, type PolicyFront, type Reached } from '../support/policy-front.ts';

const MIB = 2 ** 20;
const DEEP = 100_000;
const MANY = 600_000;
/** Nobody waits longer for Couchgate, whatever others send. */
const MAX_DELAY_MS = 200;
/** Bound for a node. */
const MAX_GROWTH_MIB = 100;

const members = (count: number): string =>
  `{${Array.from({ length: count }, (_, at) => `"k${at}":1`).join(',')}}`;
const empties = (count: number): string => `[${'[],'.repeat(count)}[]]`;
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
/** At a place where every endpoint would look. */
const placed = (json: string): string =>
  `{"_id":"x","keys":${json},"docs":[{"_id":"x","a":${json}}],"selector":${json},"source":${json}}`;

const PLAIN: Readonly<Record<string, Buffer>> = {
  'deep nesting': Buffer.from(placed(nested(DEEP))),
  'a bare deep array': Buffer.from(nested(DEEP)),
  'very many members': Buffer.from(members(MANY)),
  'very many values': Buffer.from(placed(empties(MANY))),
  'a bare array of very many values': Buffer.from(empties(MANY)),
};
const BOMBS: Readonly<Record<string, Buffer>> = {
  'a bomb of spaces': gzipSync(Buffer.alloc(128 * MIB, 0x20)),
  'a bomb of one text': gzipSync(`{"keys":["${'x'.repeat(63 * MIB)}"]}`),
};
const ENCODED: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries(Object.entries(PLAIN).map(([name, body]) => [`${name} in gzip`, gzipSync(body)])),
  ...BOMBS,
};

/** Every path of a pattern: options left out and taken, all alternatives, one name for each parameter. */
function pathsOf(pattern: string): readonly string[] {
  let at = 0;
  const sequence = (): readonly string[] => {
    let paths: readonly string[] = [''];
    const append = (ends: readonly string[]): void => {
      paths = paths.flatMap((path) => ends.map((end) => path + end));
    };
    while (at < pattern.length && !'])|'.includes(pattern[at] ?? '')) {
      const character = pattern[at] ?? '';
      at += 1;
      if (character === '[') {
        append(['', ...alternatives()]);
        at += 1;
      } else if (character === '(') {
        append(alternatives());
        at += 1;
      } else if (character === '{') {
        const name = pattern.slice(at, pattern.indexOf('}', at));
        at += name.length + 1;
        append([name === 'db' ? 'h20' : `any-${name.replaceAll(/[^a-z]/g, '')}`]);
      } else append([character]);
    }
    return paths;
  };
  const alternatives = (): readonly string[] => {
    let all = sequence();
    while (pattern[at] === '|') {
      at += 1;
      all = [...all, ...sequence()];
    }
    return all;
  };
  return alternatives();
}

/** Databases whose paths the catalogue has as one pattern. */
const SYSTEM_PATHS = ['', '/_bulk_docs', '/_find', '/_all_docs', '/a', '/a/b', '/_design/a', '/_design/a/b'];

interface Target {
  readonly endpoint: Endpoint;
  readonly line: string;
}

function targetsOf(endpoint: Endpoint): readonly Target[] {
  const methods = endpoint.methods === '*' ? (['POST', 'PUT', 'DELETE'] as const) : endpoint.methods;
  const system = endpoint.path === '/_users[/{rest*}]' ? SYSTEM_PATHS.map((path) => `/_users${path}`) : [];
  return methods
    .filter((method) => method !== 'OPTIONS' && method !== 'HEAD')
    .flatMap((method) =>
      [...pathsOf(endpoint.path), ...system].map((path) => ({ endpoint, line: `${method} ${path}` })),
    );
}

/** Without the export: it reads no body, and asks for its pages with bodies of its own. */
const TARGETS = ENDPOINTS.flatMap(targetsOf).filter(({ line }) => !line.includes('/_export'));

/** Sends it all, and reads a status; 0 = the connection was closed without one. */
function send(
  port: number,
  line: string,
  as: string,
  body: Buffer,
  ...lines: readonly string[]
): Promise<number> {
  const destination = line.startsWith('COPY') ? ['Destination: y'] : [];
  const head = [
    `${line} HTTP/1.1`,
    ...['Host: x', `x-test-caller: ${as}`, 'Connection: close', `Content-Length: ${body.length}`],
    ...(lines.some((each) => each.startsWith('Content-Type')) ? [] : ['Content-Type: application/json']),
    ...destination,
    ...lines,
  ];
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`${head.join('\r\n')}\r\n\r\n`);
      socket.write(body);
    });
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      // A refusal need not wait for the rest of the body.
      if (received.includes('\r\n')) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(Number(received.split(' ')[1] ?? 0)));
  });
}

const GZIP = 'Content-Encoding: gzip';

/** Whether CouchDB stores the body as it comes, or gives it to a function as a text. */
const isParsed = ({ line }: Target): boolean =>
  !/^PUT \/(?:h20|_users)\/(?:_design\/)?[^_/][^/]*\/[^_]/.test(line) && !/\/_(?:show|update)\//.test(line);

describe('H20 a body on its way to a parser', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  async function attackAll(body: Buffer, ...lines: readonly string[]): Promise<readonly string[]> {
    const faults: string[] = [];
    for (const target of TARGETS) {
      const status = await send(front.port, target.line, 'owner', body, ...lines);
      const reached = front.takeAll().filter(({ body: bytes }) => bytes.length > 0);
      faults.push(...reached.flatMap((request) => faultsOf(target, request, body)));
      if (status >= 500) faults.push(`${target.line}: ${status}`);
    }
    return faults;
  }

  function faultsOf(target: Target, { headers, body }: Reached, sent: Buffer): readonly string[] {
    const encoding = headers['content-encoding'];
    if (!isParsed(target)) {
      const isStored = target.line.startsWith('PUT') && !target.line.includes('/_update/');
      return isStored || encoding === undefined ? [] : [`${target.line}: a function gets ${encoding}`];
    }
    return [
      `${target.line}: ${body.length} bytes reached CouchDB (${sent.length} sent, ${encoding ?? 'plain'})`,
    ];
  }

  /** The worst of what others had to wait; the machine's own pauses do not come three times. */
  async function worstDelay(attack: () => Promise<readonly string[]>): Promise<number> {
    let least = Infinity;
    for (let tries = 0; tries < 3 && least >= MAX_DELAY_MS; tries += 1) {
      const delay = monitorEventLoopDelay({ resolution: 5 });
      delay.enable();
      const faults = await attack();
      delay.disable();
      assert.deepEqual(faults, []);
      least = Math.min(least, delay.max / 1e6);
    }
    return least;
  }

  it('has an endpoint of every kind to go to', () => {
    assert.ok(TARGETS.length > 200, `${TARGETS.length} targets`);
    for (const kind of ['attachment', 'document', 'write', 'text', 'selector', 'query'])
      assert.equal(
        ENDPOINTS.some(({ body }) => body === kind),
        true,
      );
  });

  // Two minutes of work: it runs where a real CouchDB is given, beside the attacks on that node.
  const long = { skip: withoutCouchdb };
  for (const [name, body] of Object.entries(PLAIN))
    it(`is refused, and nobody else waits for it – ${name}, every endpoint`, long, async () => {
      const worst = await worstDelay(() => attackAll(body));
      assert.ok(worst < MAX_DELAY_MS, `${worst} ms`);
    });

  for (const [name, body] of Object.entries(ENCODED))
    it(`is refused, and nobody else waits for it – ${name}, every endpoint`, long, async () => {
      const worst = await worstDelay(() => attackAll(body, GZIP));
      assert.ok(worst < MAX_DELAY_MS, `${worst} ms`);
    });

  it('is decoded for every endpoint but attachments – {"a":1} in gzip', async () => {
    const plain = Buffer.from('{"_id":"x","a":1,"docs":[{"_id":"x"}]}');
    const body = gzipSync(plain);
    let decoded = 0;
    for (const target of TARGETS) {
      await send(front.port, target.line, 'owner', body, GZIP);
      for (const { headers, body: bytes } of front.takeAll()) {
        if (bytes.length === 0) continue;
        const isEncoded = headers['content-encoding'] !== undefined;
        const mayBe =
          !isParsed(target) && target.line.startsWith('PUT') && !target.line.includes('/_update/');
        assert.equal(isEncoded, mayBe, target.line);
        if (!isEncoded) decoded += 1;
        assert.deepEqual(bytes, isEncoded ? body : plain, target.line);
      }
    }
    assert.ok(decoded > 50, `${decoded} were decoded`);
  });

  it('may not be multipart and encoded – PUT /h20/a – 415; an unknown encoding – 415', async () => {
    const multipart = 'Content-Type: multipart/related; boundary=x';
    const body = gzipSync('--x\r\n\r\n{}\r\n--x--');
    assert.equal(await send(front.port, 'PUT /h20/a', 'writer', body, multipart, GZIP), 415);
    assert.equal(await send(front.port, 'PUT /h20/a', 'writer', body, 'Content-Encoding: br'), 415);
    assert.equal(await send(front.port, 'GET /', 'nobody', body, GZIP), 415);
    assert.deepEqual(front.takeAll(), []);
  });

  it('has a size that CouchDB can parse – by Content-Length, in chunks, or decoded – 413', async () => {
    const small = await startPolicyFront({ maxJsonBody: 10_000 });
    try {
      const long = Buffer.from(`{"a":"${'x'.repeat(20_000)}"}`);
      const chunked = Buffer.from(`${long.length.toString(16)}\r\n${long.toString()}\r\n0\r\n\r\n`);
      for (const line of ['PUT /h20/a', 'POST /h20/_bulk_docs', 'POST /h20/_find', 'POST /h20']) {
        const as = 'reader+writer';
        assert.equal(await send(small.port, line, as, long), 413, line);
        assert.equal(await send(small.port, line, as, gzipSync(long), GZIP), 413, line);
        assert.equal(await sendChunked(small.port, line, as, chunked), 413, line);
        assert.deepEqual(small.takeAll(), [], line);
      }
      assert.equal(await send(small.port, 'PUT /h20/a/b', 'writer', long), 200);
      const multipart = 'Content-Type: multipart/related; boundary=x';
      assert.equal(await send(small.port, 'PUT /h20/a', 'writer', long, multipart), 200);
    } finally {
      await small.close();
    }
  });

  function sendChunked(port: number, line: string, as: string, chunks: Buffer): Promise<number> {
    return new Promise((resolve) => {
      const head = ['Host: x', `x-test-caller: ${as}`, 'Content-Type: application/json', 'Connection: close'];
      let received = '';
      const socket = connect(port, '127.0.0.1');
      socket
        .on('error', () => undefined)
        .on('data', (bytes: Buffer) => (received += bytes.toString('latin1')));
      socket.once('close', () => resolve(Number(received.split(' ')[1] ?? 0)));
      socket.write(`${line} HTTP/1.1\r\n${head.join('\r\n')}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      socket.write(chunks);
    });
  }

  const bulkOf = (docs: number, fields: number): Buffer => {
    const doc = `{"_id":"doc","a":${JSON.stringify(Array.from({ length: fields }, (_, at) => at))}}`;
    return Buffer.from(`{"docs":[${Array.from({ length: docs }, () => doc).join(',')}]}`);
  };

  it('may have as many values and documents as a node can take – POST /h20/_bulk_docs, PUT /h20/a – 413', async () => {
    const values = Buffer.from(`{"a":[${'1,'.repeat(500_000)}1]}`);
    const tooMany: readonly (readonly [line: string, body: Buffer])[] = [
      ['POST /h20/_bulk_docs', bulkOf(20_000, 50)],
      ['POST /h20/_bulk_docs', bulkOf(25_000, 0)],
      ['PUT /h20/a', values],
      ['POST /h20', values],
      ['PUT /h20/a', Buffer.from(members(150_000))],
    ];
    for (const [line, body] of tooMany)
      for (const [sent, ...lines] of [[body], [gzipSync(body), GZIP]] as const) {
        assert.equal(await send(front.port, line, 'writer', sent, ...lines), 413, line);
        assert.deepEqual(front.takeAll(), [], line);
      }
    // The batches of couchbackup and of the replicator, ten thousand small documents, a large document.
    const document = Buffer.from(`{"a":[${'1,'.repeat(400_000)}1]}`);
    const ordinary: readonly (readonly [line: string, body: Buffer])[] = [
      ['POST /h20/_bulk_docs', bulkOf(500, 900)],
      ['POST /h20/_bulk_docs', bulkOf(10_000, 20)],
      ['PUT /h20/a', document],
    ];
    for (const [line, body] of ordinary) {
      assert.equal(await send(front.port, line, 'writer', body), 200, line);
      assert.deepEqual(front.takeAll()[0]?.body, body);
    }
  });

  it('is refused while as many values are with CouchDB as it can take – of one caller, of all – 503', async () => {
    const held: ServerResponse[] = [];
    let isOpen = false;
    const couchdb = await startUpstream((req, res) => {
      req.resume();
      if (isOpen) res.writeHead(201).end('[]');
      else held.push(res);
    });
    const url = `http://${couchdb.host}`;
    const crowded = await startPolicyFront({ couchdb: { url, jwtSecretBase64: 'eA==', kid: 'x' } });
    try {
      const body = bulkOf(500, 900);
      const write = (as: string): Promise<number> => send(crowded.port, 'POST /h20/_bulk_docs', as, body);
      const running: Promise<number>[] = [];
      for (const as of ['writer', 'writer', 'design+writer', 'design+writer']) {
        running.push(write(as));
        await until(() => held.length === running.length, 'the body is with CouchDB');
        if (held.length !== 2) continue;
        isOpen = true;
        assert.equal(await write('writer'), 503);
        isOpen = false;
      }
      isOpen = true;
      assert.equal(await write('reader+writer'), 503);
      assert.equal(await send(crowded.port, 'POST /h20/_bulk_docs', 'writer', bulkOf(10, 5)), 201);
      for (const res of held.splice(0)) res.writeHead(201).end('[]');
      assert.deepEqual(await Promise.all(running), [201, 201, 201, 201]);
    } finally {
      await crowded.close();
      await couchdb.close();
    }
  });

  it('may hold no endless number – 3000 digits – 413; the 1234 digits of a key of 4096 bits – 200', async () => {
    const placedNumber = (digits: number): Buffer => Buffer.from(placed('7'.repeat(digits)));
    for (const line of ['POST /h20/_all_docs', 'POST /h20/_find', 'PUT /h20/a', 'POST /h20/_bulk_docs']) {
      const as = 'reader+writer';
      assert.equal(await send(front.port, line, as, placedNumber(3000)), 413, line);
      assert.equal(await send(front.port, line, as, gzipSync(placedNumber(3000)), GZIP), 413, line);
      assert.deepEqual(front.takeAll(), [], line);
      assert.equal(await send(front.port, line, as, placedNumber(1234)), 200, line);
      front.takeAll();
    }
    assert.equal(await send(front.port, 'PUT /h20/_security', 'security', placedNumber(3000)), 413);
  });

  it('leaves half of the values to callers with a name – bodies from two addresses that left – 200', async () => {
    const body = `{"a":[${'1,'.repeat(39_000)}1]}`;
    const sockets = Array.from({ length: 54 }, (_, at) =>
      connect({ port: front.port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (at % 2)}` }),
    );
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length + 1}\r\n\r\n${body}`);
    }
    await delay(500);
    for (const socket of sockets) socket.destroy();
    assert.equal(await send(front.port, 'POST /h20/_bulk_docs', 'writer', bulkOf(500, 900)), 200);
    front.takeAll();
  });

  it('may be a long list of ids for a feed – POST /h20/_changes?filter=_doc_ids – and only where no other reading is possible – 413', async () => {
    const ids = (count: number): Buffer =>
      Buffer.from(JSON.stringify({ doc_ids: Array.from({ length: count }, (_, at) => `id ${at}`) }));
    const long = ids(20_000);
    const asReplicator =
      'POST /h20/_changes?filter=_doc_ids&feed=normal&style=all_docs&since=0&timeout=10000';
    for (const line of [asReplicator, 'POST /h20/_changes?style=all_docs;filter=_doc_ids'])
      for (const [sent, ...lines] of [[long], [gzipSync(long), GZIP]] as const) {
        assert.equal(await send(front.port, line, 'reader', sent, ...lines), 200, line);
        assert.deepEqual(front.takeAll()[0]?.body, long);
      }
    const others = [
      ...['', '?filter=_selector', '?filter=', '?filter', '?filter=%22_doc_ids%22', '?filter=_doc_id%73'],
      ...[
        '?filter=_doc_ids&filter=_selector',
        '?filter=_selector&filter=_doc_ids',
        '?filter=_doc_ids;filter',
      ],
      ...['?filter=_doc_ids&Filter=_selector', '?FILTER=_doc_ids', '?filter=_doc_ids&%66ilter=_selector'],
      ...[
        '?filter=_doc_ids&filter=_doc_ids',
        '?filter=_doc_ids&f+=1',
        '?filter=_doc_ids=',
        '?x=?filter=_doc_ids',
      ],
    ];
    const lines = others.map((query) => `POST /h20/_changes${query}`);
    for (const line of [...lines, 'POST /h20/_find?filter=_doc_ids']) {
      assert.equal(await send(front.port, line, 'reader', long), 413, line);
      assert.equal(await send(front.port, line, 'reader', gzipSync(long), GZIP), 413, line);
      assert.deepEqual(front.takeAll(), [], line);
    }
    assert.equal(await send(front.port, asReplicator, 'reader', ids(50_001)), 413);
    assert.deepEqual(front.takeAll(), []);
  });

  it('may not grow out of proportion in gzip – 40 KiB that become 40 MiB of spaces – 413', async () => {
    const bomb = gzipSync(
      Buffer.concat([Buffer.from('{"docs":[]'), Buffer.alloc(40 * MIB, ' '), Buffer.from('}')]),
    );
    assert.equal(await send(front.port, 'POST /h20/_bulk_docs', 'writer', bomb, GZIP), 413);
    assert.deepEqual(front.takeAll(), []);
  });

  it('may be a large document or bulk write – 200', async () => {
    const doc = `{"_id":"doc","a":${JSON.stringify(Array.from({ length: 50 }, (_, at) => `value ${at}`))}}`;
    const bulk = Buffer.from(`{"docs":[${Array.from({ length: 4000 }, () => doc).join(',')}]}`);
    for (const [body, ...lines] of [[bulk], [gzipSync(bulk), GZIP]] as const) {
      assert.equal(await send(front.port, 'POST /h20/_bulk_docs', 'writer', body, ...lines), 200);
      assert.deepEqual(front.takeAll()[0]?.body, bulk);
    }
    const keys = Buffer.from(
      JSON.stringify({ keys: Array.from({ length: 40_000 }, (_, at) => `key ${at}`) }),
    );
    assert.equal(await send(front.port, 'POST /h20/_all_docs', 'reader', keys), 200);
  });
});

describe('H20 a real node', { skip: withoutCouchdb }, () => {
  let cluster: Cluster;
  let admin: Admin;
  let front: PolicyFront;
  let pid = '';
  before(async () => {
    cluster = await startCluster();
    const [node] = cluster.nodes;
    admin = openAdmin({ url: node.url, credentials: cluster.owner });
    const { member, dbadmin } = markersOf('h20');
    await admin.ask('PUT', '/h20?q=2');
    await admin.ask('PUT', '/_replicator');
    await admin.ask('PUT', '/h20/_security', { members: { roles: [member] }, admins: { roles: [dbadmin] } });
    const { jwtSecretBase64, kid } = cluster;
    front = await startPolicyFront({ couchdb: { url: node.url, jwtSecretBase64, kid } });
    pid = processOf(node.name);
  });
  after(async () => {
    await front.close();
    await cluster.close();
  });

  /** The Erlang machine that has this node's name on its command line. */
  function processOf(name: string): string {
    const found = readdirSync('/proc').find((entry) => {
      if (!/^\d+$/.test(entry)) return false;
      try {
        const line = readFileSync(`/proc/${entry}/cmdline`, 'latin1');
        return line.includes('beam') && line.includes(name);
      } catch {
        return false;
      }
    });
    assert.ok(found !== undefined, 'the node has a process');
    return found;
  }

  function memoryMib(field: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  }

  /** How far the node's memory rose while this ran. */
  async function growthMib(attack: () => Promise<unknown>): Promise<number> {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    const before = memoryMib('VmRSS');
    await attack();
    assert.equal((await admin.ask('GET', '/_up')).status, 200);
    return memoryMib('VmHWM') - before;
  }

  const inflated = (repeated: string, count: number, start: string, end: string): Buffer =>
    gzipSync(Buffer.concat([Buffer.from(start), Buffer.from(repeated.repeat(count)), Buffer.from(end)]));
  const LONG_REVISION = '0'.repeat(4 * MIB);
  const ATTACKS: readonly (readonly [what: string, body: Buffer])[] = [
    ['the 127 KiB of the fault', inflated('[],', 43e6, '{"keys":[', '[]]}')],
    ['empty arrays', gzipSync(`{"keys":${empties(2e6)},"selector":{"$or":${empties(2e6)}},"docs":[]}`)],
    ['as many as may pass', gzipSync(`{"docs":${empties(9000)},"selector":{"$or":${empties(9000)}}}`)],
    ['a million members', gzipSync(`{"selector":${members(1e6)}}`)],
    ['a million levels', gzipSync(`{"keys":${nested(1e6)}}`)],
    ['a text of 16 MiB', gzipSync(`{"selector":{"a":"${'x'.repeat(15 * MIB)}"},"docs":[]}`)],
    ['revisions of 4 MiB', gzipSync(`{"_rev":"${LONG_REVISION}","docs":[{"_rev":"${LONG_REVISION}"}]}`)],
  ];
  const LINES = [
    ...['/_all_docs', '/_find', '/_bulk_get', '/_revs_diff', '/_changes?filter=_selector'].map(
      (path) => ['reader', `POST /h20${path}`] as const,
    ),
    ...['POST /h20/_bulk_docs', 'POST /h20', 'PUT /h20/a'].map((line) => ['writer', line] as const),
  ];
  for (const [what, body] of ATTACKS)
    it(`does not grow by ${MAX_GROWTH_MIB} MiB – ${what}, in ${Math.ceil(body.length / 1024)} KiB of gzip`, async () => {
      for (const [as, line] of LINES) {
        const growth = await growthMib(() => send(front.port, line, as, body, GZIP));
        assert.ok(growth < MAX_GROWTH_MIB, `${line}: ${growth} MiB`);
      }
    });

  it('survives a job with socket_options of two million words – POST /_replicate, PUT /_replicator/job', async () => {
    const words = Array.from({ length: 2_100_000 }, (_, at) => `w${at}`).join(',');
    const job = (text: string): string =>
      JSON.stringify({
        source: 'http://far.example/a',
        target: 'http://far.example/b',
        socket_options: text,
      });
    for (const line of ['POST /_replicate', 'PUT /_replicator/job']) {
      const growth = await growthMib(async () => {
        assert.equal(await send(front.port, line, 'replicator', gzipSync(job(`[${words}]`)), GZIP), 413);
        const short = Buffer.from(job(`[${words.slice(0, 500_000)}x]`));
        assert.equal(await send(front.port, line, 'replicator', short), 400);
      });
      assert.ok(growth < MAX_GROWTH_MIB, `${line}: ${growth} MiB`);
    }
    assert.equal((await admin.ask('GET', '/_replicator/job')).status, 404);
  });
});
