// H15: bodies that Couchgate reads itself. They are small to send and large to hold, and one caller must neither stop the others nor take all room.
import assert from 'node:assert/strict';
import { afterEach, describe, it, mock } from 'node:test';
import { gzipSync } from 'node:zlib';
import { idsIn } from '../../src/body/inspect.ts';
import { type Reserve } from '../../src/body/budget.ts';
import { gunzip } from '../../src/body/decode.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { startPolicyFront, type PolicyFront } from '../support/policy-front.ts';
import { connectRaw, head, type RawClient } from '../support/raw-client.ts';
import { until } from '../support/until.ts';

const MIB = 2 ** 20;
const JSON_TYPE = 'Content-Type: application/json';

const open: { close(): unknown }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  mock.restoreAll();
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function send(port: number, bytes: string | Buffer, times = 1): Promise<readonly RawClient[]> {
  const sent = await Promise.all(Array.from({ length: times }, () => connectRaw(port)));
  for (const client of sent) client.send(bytes);
  clients.push(...sent);
  return sent;
}

const statusesOf = (sent: readonly RawClient[]): readonly (string | undefined)[] =>
  sent.map(({ received }) => received.split(' ')[1]);

const countOf = (sent: readonly RawClient[], status: string): number =>
  statusesOf(sent).filter((each) => each === status).length;

function post(path: string, as: string, body: string | Buffer, ...lines: readonly string[]): Buffer {
  const lengths = lines.some((line) => line.startsWith('Content-Length'))
    ? []
    : [`Content-Length: ${Buffer.byteLength(body)}`];
  const start = [`POST ${path} HTTP/1.1`, 'Host: x', `x-test-caller: ${as}`, JSON_TYPE, ...lengths, ...lines];
  return Buffer.concat([Buffer.from(head(...start)), Buffer.from(body)]);
}

async function startFront(inspectLimitBytes: number): Promise<PolicyFront> {
  const front = await startPolicyFront({ inspectLimitBytes });
  open.push(front);
  return front;
}

describe('H15 a body that is read to decide', () => {
  for (const [path, as, start, status] of [
    ['/db', 'writer', '{"_id":"a\\/b",', '200'],
    ['/db', 'writer', '{"_id":"_design\\/x",', '403'],
    ['/db/_bulk_docs', 'design', '{"docs":[{"_id":"_design\\/x"}],', '200'],
  ] as const)
    it(`is decided without being built – POST ${path} ${start}…} of 4 MiB in gzip – ${status}`, async () => {
      const front = await startFront(8 * MIB);
      const parse = mock.method(JSON, 'parse');
      const member = `{"y":"${'x'.repeat(57)}"},`;
      // One level deeper than documents, which count more (H20).
      const body = gzipSync(`${start}"x":{"z":[${member.repeat((4 * MIB) / member.length)}{}]}}`);
      const sent = await send(front.port, post(path, as, body, 'Content-Encoding: gzip'));
      await until(() => countOf(sent, status) === 1, 'it is decided');
      const longest = Math.max(0, ...parse.mock.calls.map((call) => call.arguments[0].length));
      assert.ok(longest < 10_000, `JSON.parse was given ${longest} characters`);
    });

  for (const [what, text] of [
    ['is full of objects', `{"x":"\\/","y":[${'{},'.repeat((8 * MIB) / 3)}{}]}`],
    ['is one text', `{"x":"\\/","y":"${'x'.repeat(8 * MIB)}"}`],
    ['is ordinary', `{"x":"${'x'.repeat(8 * MIB)}"}`],
  ] as const)
    it(`lets others have their turn before it is decided – one of 8 MiB that ${what}`, async () => {
      let turns = 0;
      const state = { isDecided: false };
      const decided = idsIn(Buffer.from(text), 'document-id').finally(() => (state.isDecided = true));
      while (!state.isDecided) {
        await new Promise(setImmediate);
        turns += 1;
      }
      await decided;
      assert.ok(turns > 16, `${turns} turns`);
    });

  it('is refused if it nests deeper than the scanner has memory for – POST /db [[[[… – 400', async () => {
    const front = await startFront(MIB);
    const deep = `${'['.repeat(MIB / 4)}${']'.repeat(MIB / 4)}`;
    const sent = await send(front.port, post('/db', 'writer', `{"x":"\\/","y":${deep}}`));
    await until(() => countOf(sent, '400') === 1, 'it is refused');
  });

  it('leaves room to others if its end does not come – POST /db, 8 of one key, then one of another', async () => {
    const limit = 100_000;
    const front = await startFront(limit);
    const cut = post('/db', 'writer', ' '.repeat(limit - 1), `Content-Length: ${limit}`);
    const held = await send(front.port, cut, 8);
    await until(() => countOf(held, '503') === 4, 'one key gets half of the room');
    const [other] = await send(
      front.port,
      post('/other', 'reader+writer', `{"x":"${' '.repeat(limit - 8)}"}`),
    );
    await other?.sees(' 200 OK');
    const [same] = await send(front.port, post('/other', 'writer', '{"a":1}'));
    await same?.sees(' 503 ');
    for (const { socket } of held) socket.destroy();
    await until(async () => (await front.connections()) <= 2, 'what was held is given back');
    const [again] = await send(front.port, post('/other', 'writer', '{"a":1}'));
    await again?.sees(' 200 OK');
  });

  it('counts while it is inflated, not only after – a bomb of 16 MiB, room for one – 503', async () => {
    let told = 0;
    const reserve: Reserve = (bytes) => {
      told += bytes;
      return told > MIB ? new Unavailable('no room') : undefined;
    };
    const bomb = gzipSync(Buffer.alloc(16 * MIB, 32));
    await assert.rejects(gunzip(bomb, 64 * MIB, reserve), Unavailable);
    assert.ok(told < 2 * MIB, `${told} bytes were inflated`);
  });
});
