// H20.4: update sequences and bookmarks, which CouchDB decodes as Erlang terms. With COUCHDB_HOME, those of a
// real node pass.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { markersOf } from '../../src/principal/marker.ts';
import { openAdmin } from '../../src/setup/admin.ts';
import { startCluster, withoutCouchdb, type Cluster } from '../support/cluster.ts';
import { CALLER_HEADER, startPolicyFront, type PolicyFront } from '../support/policy-front.ts';

/** A term as CouchDB writes it into a sequence or a bookmark. */
function packed(term: Buffer): string {
  const head = Buffer.from([131, 80, 0, 0, 0, 0]);
  head.writeUInt32BE(term.length, 2);
  return Buffer.concat([head, deflateSync(term, { level: 9 })]).toString('base64url');
}

const plain = (term: Buffer): string => Buffer.concat([Buffer.from([131]), term]).toString('base64url');

function list(elements: readonly Buffer[]): Buffer {
  const head = Buffer.from([108, 0, 0, 0, 0]);
  head.writeUInt32BE(elements.length, 1);
  return Buffer.concat([head, ...elements, Buffer.from([106])]);
}

const atom = (name: string): Buffer => Buffer.concat([Buffer.from([119, name.length]), Buffer.from(name)]);
const atoms = (count: number, prefix: string): Buffer =>
  list(Array.from({ length: count }, (_, at) => atom(`${prefix}${at}`)));
const nils = (count: number): Buffer => list([Buffer.alloc(count, 106)]);

/** The sequence of a cluster with these nodes: `[{Node, [From, To], {Seq, Uuid, Node}}]`. */
const sequence = (names: readonly string[]): string =>
  packed(
    list(
      names.map((name) =>
        Buffer.concat([
          Buffer.from([104, 3]),
          atom(name),
          list([Buffer.from([97, 0]), Buffer.from([110, 4, 0, 255, 255, 255, 127])]),
          Buffer.from([104, 3, 98, 0, 0, 1, 0, 109, 0, 0, 0, 2, 49, 50]),
          atom(name),
        ]),
      ),
    ),
  );

let front: PolicyFront;

async function ask(as: string, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${front.url}${path}`, {
    ...init,
    headers: { ...(init.headers as Record<string, string>), [CALLER_HEADER]: as },
  });
}

async function find(as: string, body: string, path = '/h20/_find'): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  return (await ask(as, path, { method: 'POST', headers, body })).status;
}

const changes = async (as: string, query: string, headers: Record<string, string> = {}): Promise<number> =>
  (await ask(as, `/h20/_changes?${query}`, { headers })).status;

describe('H20 an Erlang term in a sequence or bookmark', () => {
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  it('names few nodes – a thousand others, compressed or not, in every spelling of since – 400', async () => {
    for (const term of [packed(atoms(1000, 'a')), plain(atoms(200, 'b')), packed(atoms(101, 'c'))])
      for (const query of [
        `since=1-${term}`,
        `since=${term}`,
        `Since=%22${term}%22`,
        `s%69nce=1-${term}%0A`,
        `limit=1;since=1-${term}`,
        `last-event-id=1-${term}`,
        // CouchDB up to 3.2.
        `since=${encodeURIComponent(`[1,"${term}"]`)}`,
        `since=${encodeURIComponent(`[77 , "${term}"]\n`)}`,
        `since=0&since=1-${term}&since=now`,
      ])
        assert.equal(await changes('reader', query), 400, query);
    const header = { 'last-event-id': `1-${packed(atoms(1000, 'd'))}` };
    assert.equal(await changes('reader', 'feed=eventsource', header), 400);
    assert.deepEqual(front.takeAll(), []);
  });

  it('may not bring new names again and again – the second hundred of a caller – 400', async () => {
    assert.equal(await changes('replicator', `since=1-${packed(atoms(60, 'first'))}`), 200);
    assert.equal(await changes('replicator', `since=1-${packed(atoms(60, 'second'))}`), 400);
    assert.equal(await changes('replicator', `since=1-${packed(atoms(60, 'first'))}`), 200);
    assert.equal(await changes('reader', `since=1-${packed(atoms(60, 'third'))}`), 200);
  });

  it('is data – a function, a process, a reference – 400', async () => {
    for (const tag of [88, 90, 103, 112, 113])
      assert.equal(await changes('reader', `since=1-${plain(Buffer.from([tag, 119, 1, 97]))}`), 400);
  });

  it('is small after decompression – since, and bookmark of _find – 413', async () => {
    const bomb = packed(nils(5_000_000));
    assert.equal(await changes('reader', `since=1-${bomb}`), 413);
    const escaped = bomb.replace('g', '\\u0067');
    front.takeAll();
    for (const text of [bomb, escaped])
      for (const path of ['/h20/_find', '/h20/_explain', '/h20/_partition/a/_find'])
        assert.equal(await find('reader', `{"selector":{},"bookmark":"${text}"}`, path), 413, path);
    assert.equal(await find('reader', `{${`"bookmark":"${packed(nils(60_000))}",`.repeat(9)}"a":1}`), 413);
    assert.deepEqual(front.takeAll(), []);
  });

  it('may be that of a cluster; other texts are left to CouchDB – 200', async () => {
    const nodes = Array.from({ length: 12 }, (_, at) => `couchdb@node${at}.example`);
    for (const since of [`77-${sequence(nodes)}`, '0', 'now', '12', '5-embedded', 'g1AAAAgarbage', 'gw'])
      assert.equal(await changes('reader', `since=${since}`), 200, since);
    const bookmark = packed(list([atom('startkey'), atom('startkey_docid'), atom('null')]));
    assert.equal(await find('reader', `{"selector":{},"bookmark":"${bookmark}"}`), 200);
    assert.equal(await find('reader', `{"selector":{"a":"${packed(nils(100_000))}"},"bookmark":"nil"}`), 200);
  });
});

describe('H20 a real node', { skip: withoutCouchdb }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster();
    const [node] = cluster.nodes;
    const admin = openAdmin({ url: node.url, credentials: cluster.owner });
    const { member, dbadmin } = markersOf('h20');
    await admin.ask('PUT', '/h20?q=8');
    await admin.ask('PUT', '/h20/_security', { members: { roles: [member] }, admins: { roles: [dbadmin] } });
    for (const id of ['a', 'b', 'c']) await admin.ask('PUT', `/h20/${id}`, { n: 1 });
    const { jwtSecretBase64, kid } = cluster;
    front = await startPolicyFront({ couchdb: { url: node.url, jwtSecretBase64, kid } });
  });
  after(async () => {
    await front.close();
    await cluster.close();
  });

  it('continues at its own sequences and bookmarks', async () => {
    const all = (await (await ask('reader', '/h20/_changes')).json()) as { last_seq: string };
    const since = await ask('reader', `/h20/_changes?since=${encodeURIComponent(all.last_seq)}`);
    assert.deepEqual(((await since.json()) as { results: unknown[] }).results, []);
    const page = async (bookmark?: string): Promise<{ bookmark: string; docs: readonly unknown[] }> => {
      const body = JSON.stringify({ selector: {}, limit: 2, bookmark });
      const headers = { 'content-type': 'application/json' };
      const answer = await ask('reader', '/h20/_find', { method: 'POST', headers, body });
      return (await answer.json()) as { bookmark: string; docs: readonly unknown[] };
    };
    const first = await page();
    assert.equal(first.docs.length, 2);
    assert.equal((await page(first.bookmark)).docs.length, 1);
  });
});
