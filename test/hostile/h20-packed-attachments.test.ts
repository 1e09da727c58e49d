// H20.7: attachments in gzip that unpack to much more than was uploaded. CouchDB unpacks them in memory for a read of
// the document with attachments=true. With COUCHDB_HOME, what Couchgate assumes of CouchDB is checked.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { type Following, FollowingAttachments, FollowingScan } from '../../src/body/following-attachments.ts';
import { UnpackedMeter } from '../../src/body/unpacked-meter.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { basic, startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { exchangeBytes } from '../support/raw-http.ts';

const MIB = 2 ** 20;
const MEMBER = gzipSync(Buffer.alloc(8 * MIB)).toString('latin1');
/** 8 MiB for each member. */
const members = (count: number): string => MEMBER.repeat(count);
const MOST = members(8);
const BOMB = members(9);
const NOISE = gzipSync(randomBytes(1.5 * MIB)).toString('latin1');

interface Row {
  readonly title: string;
  readonly line: string;
  readonly header: string;
  readonly body: string;
  readonly status: number;
}

const ATTACHMENT = 'PUT /h20/doc/a';
const GZIP = 'Content-Encoding: gzip';
const attachment = (title: string, body: string, status: number, header = GZIP): Row => ({
  title,
  line: ATTACHMENT,
  header,
  body,
  status,
});

const related = (json: string, ...parts: readonly string[]): string =>
  `--x\r\nContent-Type: application/json\r\n\r\n${json}${parts.map((part) => `\r\n--x\r\n\r\n${part}`).join('')}\r\n--x--`;
const document = (attachments: string): string => `{"a":{"b":["c"]},"_attachments":{${attachments}}}`;
const plain = (content: string): string => `{"follows":true,"length":${content.length}}`;
const packed = (content: string): string =>
  `{"follows":true,"encoding":"gzip","length":1,"encoded_length":${content.length}}`;
const multipart = (title: string, status: number, json: string, ...parts: readonly string[]): Row => ({
  title,
  line: 'PUT /h20/doc',
  header: 'Content-Type: multipart/related; boundary=x',
  body: related(json, ...parts),
  status,
});
const one = (title: string, status: number, fields: string): Row =>
  multipart(title, status, document(`"a":{${fields}}`), BOMB);
const LENGTHS = `"length":1,"encoded_length":${BOMB.length}`;

const ROWS: readonly Row[] = [
  attachment('64 MiB', MOST, 200),
  attachment('more than 64 MiB', BOMB, 413),
  attachment('more than 64 MiB, with a fault behind', `${BOMB}junk`, 413),
  attachment('another spelling of gzip', BOMB, 413, 'Content-Encoding: GZIP'),
  attachment('more than 64 MiB, below 50 times what has arrived', NOISE + BOMB, 200),
  attachment('more than 64 MiB before more has arrived', BOMB + NOISE, 413),
  attachment('no gzip', `junk${BOMB}`, 200),
  attachment('a fault after 8 MiB, behind which CouchDB unpacks nothing', `${MEMBER}junk${BOMB}`, 200),
  attachment('zeros after 8 MiB, behind which CouchDB unpacks nothing', `${MEMBER}\0\0${BOMB}`, 200),
  attachment('stored as it is', BOMB, 200, 'Content-Encoding: identity'),
  attachment('stored as it is, without the header', BOMB, 200, 'Content-Type: application/gzip'),

  multipart('64 MiB', 200, document(`"a":${packed(MOST)}`), MOST),
  multipart('more than 64 MiB', 413, document(`"a":${packed(BOMB)}`), BOMB),
  multipart(
    'of one document together',
    413,
    document(`"a":${packed(MOST)},"b":${packed(MEMBER)}`),
    MOST,
    MEMBER,
  ),
  one('stored as it is', 200, `"follows":true,"length":${BOMB.length}`),
  one('identity', 200, `"follows":true,"encoding":"identity",${LENGTHS}`),
  one(
    'the length stands for encoded_length',
    413,
    `"follows":true,"encoding":"gzip","length":${BOMB.length}`,
  ),
  one('a stub has no bytes', 200, `"stub":true,"follows":true,"encoding":"gzip",${LENGTHS}`),
  one('any order', 413, `${LENGTHS},"encoding":"gzip","x":{"encoding":"identity"},"follows":true`),
  one('escaped', 413, `"f\\u006fllows":true,"\\u0065ncoding":"g\\u007aip",${LENGTHS}`),
  one('spaces', 413, `"follows"${' '.repeat(9000)}:true , "encoding"\r\n: "gzip" ,${LENGTHS}`),
  one(
    'the last of two keys counts, gzip',
    413,
    `"follows":true,"encoding":"identity","encoding":"gzip",${LENGTHS}`,
  ),
  one(
    'the last of two keys counts, identity',
    200,
    `"follows":true,"encoding":"gzip","encoding":"identity",${LENGTHS}`,
  ),
  one('no valid length', 400, '"follows":true,"encoding":"gzip","length":-0'),
  one('no length', 400, '"follows":true,"encoding":"gzip"'),
  multipart('an escaped _attachments', 413, `{"\\u005fattachments":{"a":${packed(BOMB)}}}`, BOMB),
  multipart(
    'the last _attachments counts',
    413,
    `{"_attachments":{"b":${plain(BOMB)}},"_attachments":{"a":${packed(BOMB)}}}`,
    BOMB,
  ),
  multipart('_attachments within a field', 200, `{"b":{"_attachments":{"a":${packed(BOMB)}}}}`, BOMB),
  multipart(
    'the last of two names counts',
    413,
    document(`"a":${plain(BOMB)},"b":${plain('junk')},"\\u0061":${packed(BOMB)}`),
    'junk',
    BOMB,
  ),
  multipart(
    'names that are numbers',
    413,
    document(`"2":${plain('junk')},"1":${packed(BOMB)}`),
    'junk',
    BOMB,
  ),
  multipart('within a part', 413, document(`"a":${plain('junk')},"b":${packed(BOMB)}`), `junk${BOMB}`),
  multipart('in two parts', 413, document(`"a":${packed(BOMB)}`), BOMB.slice(0, 9000), BOMB.slice(9000)),
  multipart('after an empty one', 413, document(`"a":${packed('')},"b":${packed(BOMB)}`), '', BOMB),
  multipart(
    'after one with a fault',
    413,
    document(`"a":${packed('junk')},"b":${packed(BOMB)}`),
    'junk',
    BOMB,
  ),
  multipart(
    'after one that is cut',
    413,
    document(`"a":${packed(MEMBER.slice(9))},"b":${packed(BOMB)}`),
    MEMBER.slice(0, -9),
    BOMB,
  ),
  multipart('behind the last boundary', 200, document(`"a":${packed(BOMB)}`), 'junk\r\n--x--', BOMB),
  multipart('an ambiguous boundary', 400, document(`"a":${packed(BOMB)}`), `junk\r\n--xy\r\n\r\n${BOMB}`),
  multipart('a long name', 400, document(`"${'a'.repeat(8200)}":${packed(BOMB)}`), BOMB),
  {
    ...multipart('the header of a part does not count', 200, document(`"a":${plain(BOMB)}`)),
    body: related(document(`"a":${plain(BOMB)}`), '').replace(
      '\r\n--x\r\n\r\n',
      () => `\r\n--x\r\n${GZIP}\r\n\r\n${BOMB}`,
    ),
  },
  {
    ...attachment('within JSON, CouchDB stores what it gets', '', 200, 'Content-Type: application/json'),
    line: 'PUT /h20/doc',
    body: document(`"a":{"encoding":"gzip","data":"${Buffer.from(BOMB, 'latin1').toString('base64')}"}`),
  },
];

describe('H20 packed attachments', () => {
  let front: PolicyFront;
  before(async () => (front = await startPolicyFront()));
  after(() => front.close());

  for (const { title, line, header, body, status } of ROWS)
    for (const isChunked of title === 'more than 64 MiB' ? [false, true] : [false])
      it(`is measured unpacked – ${line} – ${title}${isChunked ? ', in chunks' : ''} – ${status}`, async () => {
        const framing = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
        const head = [
          `${line} HTTP/1.1`,
          'Host: x',
          'x-test-caller: writer',
          'Connection: close',
          framing,
          header,
        ];
        const sent = isChunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
        const answer = await exchangeBytes(front.url, `${head.join('\r\n')}\r\n\r\n${sent}`, {
          until: '\r\n\r\n',
        });
        assert.equal(Number(answer.split(' ')[1]), status);
        const reached = front.takeAll().map((request) => request.body.toString('latin1') === body);
        assert.deepEqual(reached, status === 200 ? [true] : []);
      });
});

describe('the measure of packed attachments', () => {
  it('unpacks one piece of a caller at a time, and of others meanwhile', async () => {
    const done: string[] = [];
    const measure = async (name: string, caller: string, piece: string): Promise<void> => {
      await new UnpackedMeter(caller).add(Buffer.from(piece, 'latin1'));
      done.push(name);
    };
    await Promise.all([
      measure('large', 'a', MOST),
      measure('small', 'a', 'junk'),
      measure('of another', 'b', 'junk'),
    ]);
    assert.deepEqual(done, ['of another', 'large', 'small']);
  });

  it('ends with its body', async () => {
    const meter = new UnpackedMeter('a');
    const adding = meter.add(Buffer.from(BOMB, 'latin1'));
    meter.stop();
    assert.equal(await adding, undefined);
    assert.equal(await meter.add(Buffer.from(BOMB, 'latin1')), undefined);
  });

  it('looks at each attachment a few times, however many parts there are, and ends behind the last packed one', async () => {
    const list = [
      ...Array<Following>(1000).fill({ isPacked: false, bytes: 1 }),
      { isPacked: true, bytes: 1 },
    ];
    let reads = 0;
    const counted = new Proxy(list, {
      get: (of, key, receiver): unknown => {
        reads += 1;
        return Reflect.get(of, key, receiver);
      },
    });
    const following = new FollowingAttachments(counted, new UnpackedMeter('a'));
    for (let part = 0; part < 1000; part += 1) {
      assert.equal(following.areUnpacked, false);
      following.add(Buffer.from('x'));
    }
    assert.ok(reads < 10 * list.length, `${reads} reads`);
    following.add(Buffer.from('xx'));
    assert.equal(following.areUnpacked, true);
    assert.equal(await following.measure(), undefined);
  });

  it('unpacks nothing of attachments without bytes', () => {
    const list = [
      ...Array<Following>(1000).fill({ isPacked: true, bytes: 0 }),
      { isPacked: false, bytes: 5 },
    ];
    const following = new FollowingAttachments(list, new UnpackedMeter('a'));
    following.add(Buffer.from('x'));
    assert.equal(following.measure(), undefined);
    assert.equal(following.areUnpacked, true);
  });

  it('finds the same attachments whatever the pieces are', () => {
    const json = Buffer.from(
      '{"a":"{\\"_attachments\\":{","b":[1,{"c":2}],"_attachments":{"ä":{"follows":true,"length":3},' +
        '"1":{"stub":true,"length":4},"0":{"encoding":"gzip","length":9,"encoded_length":5,"follows":true},' +
        '"\\u00e4":{"length":6,"follows":true,"digest":"md5-\\"{"},"d":{"data":"","follows":false},"e":[]},"f":{}}',
    );
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sizes) => {
        const scan = new FollowingScan();
        for (let at = 0, turn = 0; at < json.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          assert.equal(scan.add(json.subarray(at, at + size)), undefined);
          at += size;
        }
        assert.deepEqual(scan.found, [
          { isPacked: true, bytes: 5 },
          { isPacked: false, bytes: 6 },
        ]);
      }),
    );
  });
});

describe('what CouchDB does with attachments', { skip: withoutCouchdb }, () => {
  let couchgate: Couchgate;
  before(async () => {
    couchgate = await startCouchgate();
    await couchgate.database('h20');
  });
  after(() => couchgate.close());

  async function put(path: string, headers: Readonly<Record<string, string>>, body: string): Promise<number> {
    const answer = await fetch(`${couchgate.url}/h20/${path}`, {
      method: 'PUT',
      headers: { ...headers, Authorization: basic(couchgate.owner) },
      body: Buffer.from(body, 'latin1'),
    });
    await answer.arrayBuffer();
    return answer.status;
  }

  /** The contents as CouchDB unpacks them. */
  async function contentsOf(id: string): Promise<Readonly<Record<string, string>>> {
    const { body } = await couchgate.ask('GET', `/h20/${id}?attachments=true`, {
      as: couchgate.owner,
      headers: { Accept: 'application/json' },
    });
    const { _attachments: found = {} } = body as {
      readonly _attachments?: Record<string, { readonly data: string }>;
    };
    return Object.fromEntries(
      Object.entries(found).map(([name, { data }]) => [name, Buffer.from(data, 'base64').toString('latin1')]),
    );
  }

  const RELATED = { 'Content-Type': 'multipart/related; boundary=x' };
  const [a, b] = ['aaaa', 'bbbb'].map((text) => gzipSync(text).toString('latin1')) as [string, string];

  it('divides the parts by the lengths in the document, in the order of the last keys', async () => {
    const json = document(`"2":${plain('bbbb')},"1":${packed(a)},"2":${plain('bbbb')}`);
    assert.equal(await put('lengths', RELATED, related(json, a.slice(0, 5), a.slice(5), 'bb', 'bb')), 201);
    assert.deepEqual(await contentsOf('lengths'), { 1: 'aaaa', 2: 'bbbb' });
  });

  it('unpacks all members of a gzip', async () => {
    assert.equal(await put('members/a', { 'Content-Encoding': 'gzip' }, a + b), 201);
    assert.deepEqual(await contentsOf('members'), { a: 'aaaabbbb' });
  });

  it('does not unpack what is called gzip within JSON, or in the header of a part only', async () => {
    const data = Buffer.from(a, 'latin1').toString('base64');
    const inline = document(`"a":{"encoding":"gzip","encoded_length":4,"data":"${data}"}`);
    assert.equal(await put('inline', { 'Content-Type': 'application/json' }, inline), 201);
    assert.deepEqual(await contentsOf('inline'), { a });
    const body = related(document(`"a":${plain(a)}`), '').replace(
      '\r\n--x\r\n\r\n',
      () => `\r\n--x\r\n${GZIP}\r\n\r\n${a}`,
    );
    assert.equal(await put('header', RELATED, body), 201);
    assert.deepEqual(await contentsOf('header'), { a });
  });
});
