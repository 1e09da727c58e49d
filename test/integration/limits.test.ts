// Limits of a request head: Couchgate answers where CouchDB would send an empty 400, and not before.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadSettings } from '../../src/config/load.ts';
import { startBackend, type Backend } from '../support/backend.ts';
import { withoutCouchdb } from '../support/cluster.ts';
import { startCouchgate, type Couchgate } from '../support/couchgate.ts';
import { describeHostile } from '../support/hostile.ts';
import { exchangeBytes } from '../support/raw-http.ts';

/** Bytes of a request line and of a header line, with their line ends, that CouchDB 3.5 can read. */
const MAX_REQUEST_LINE = 8192;
const MAX_HEADER_LINE = 8191;
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'] as const;

/**
 * A target that makes a request line of so many bytes. It names a document, so no method deletes the
 * database.
 */
function targetFor(method: string, lineBytes: number): string {
  const start = '/limits/doc?x=';
  return start + 'a'.repeat(lineBytes - `${method} ${start} HTTP/1.1\r\n`.length);
}

const headerOf = (name: string, lineBytes: number): string =>
  `${name}: ${'a'.repeat(lineBytes - `${name}: \r\n`.length)}`;

describeHostile('The longest request head', { databases: ['limits'] }, (gate) => {
  it('is that of CouchDB by default', () => {
    const { maxUrlBytes, maxBodyBytes } = loadSettings({ env: {}, folder: '/nonexistent' });
    assert.equal(maxUrlBytes, MAX_REQUEST_LINE - 'GET  HTTP/1.1\r\n'.length);
    // [chttpd] max_http_request_size
    assert.equal(maxBodyBytes, 4_294_967_296);
  });

  for (const method of METHODS) {
    it(`reaches CouchDB, and one byte more is a 414 – ${method}`, async () => {
      const as = 'reader+writer';
      const longest = await gate.send({ line: `${method} ${targetFor(method, MAX_REQUEST_LINE)}`, as });
      assert.equal(longest.reached.length, 1);
      if (method !== 'HEAD') assert.notEqual(longest.body, '', longest.head);
      const longer = await gate.send({
        line: `${method} ${targetFor(method, MAX_REQUEST_LINE + 1)}`,
        as,
      });
      assert.deepEqual([longer.status, longer.reached], [414, []]);
      if (method !== 'HEAD') assert.match(longer.body, /"too_long"/);
    });
  }

  it('counts what is sent, not what came – GET /limits/::: – 414', async () => {
    const line = `GET /limits/${':'.repeat(3000)}`;
    const { status, reached } = await gate.send({ line, as: 'reader' });
    assert.deepEqual([status, reached], [414, []]);
  });

  for (const name of ['If-None-Match', 'Accept', 'User-Agent', 'Prefer']) {
    it(`holds for a header that CouchDB gets – ${name} – 431`, async () => {
      const send = (bytes: number) =>
        gate.send({ line: 'GET /limits', as: 'reader', headers: [headerOf(name, bytes)] });
      const longest = await send(MAX_HEADER_LINE);
      assert.deepEqual([longest.status, longest.reached.length], [200, 1]);
      const longer = await send(MAX_HEADER_LINE + 1);
      assert.deepEqual([longer.status, longer.reached], [431, []]);
      assert.match(longer.body, new RegExp(name.toLowerCase()));
    });
  }

  it('holds for a Destination as it is sent – COPY /limits/doc – 431', async () => {
    const headers = [`Destination: ${':'.repeat(3000)}`];
    const answer = await gate.send({ line: 'COPY /limits/doc', as: 'reader+writer', headers });
    assert.deepEqual([answer.status, answer.reached], [431, []]);
  });

  it('does not count headers that CouchDB does not get', async () => {
    const headers = [headerOf('Cookie', 9000), ...Array.from({ length: 1100 }, (_, n) => `x${n}: 1`)];
    const { status, reached } = await gate.send({ line: 'GET /limits', as: 'reader', headers });
    assert.deepEqual([status, reached.length], [200, 1]);
  });
});

describe('A user with more roles than a header can hold', () => {
  let gate: Couchgate;
  before(async () => {
    gate = await startCouchgate();
  });
  after(() => gate.close());

  it('is told so – GET /limits-roles – 431', async () => {
    const user = { name: 'limits-roles', password: 'limits-roles' };
    await gate.database('limits-roles', { [user.name]: ['_reader'] });
    const write = async (roles: number): Promise<void> => {
      const path = `/_users/org.couchdb.user:${user.name}`;
      const { body } = await gate.ask('GET', path, { as: gate.owner });
      const { _rev } = body as { readonly _rev?: string };
      const list = Array.from({ length: roles }, (_, n) => `a-role-with-a-long-name-${n}`);
      const doc = { ...user, type: 'user', roles: list, ...(_rev === undefined ? {} : { _rev }) };
      assert.equal((await gate.ask('PUT', path, { as: gate.owner, body: doc })).status, 201);
    };
    await write(150);
    assert.equal((await gate.ask('GET', '/limits-roles', { as: user })).status, 200);
    await write(300);
    const { status, body } = await gate.ask('GET', '/limits-roles', { as: user });
    assert.deepEqual(
      [status, body],
      [431, { error: 'too_large', reason: 'The name and the roles of the caller are too long for CouchDB.' }],
    );
  });
});

describe('The longest request head of CouchDB itself', { skip: withoutCouchdb }, () => {
  let backend: Backend;
  before(async () => {
    backend = await startBackend();
  });
  after(() => backend.close());

  const answerTo = async (line: string, ...headers: readonly string[]): Promise<string> =>
    exchangeBytes(
      backend.urls[0] ?? '',
      `${[`${line} HTTP/1.1`, 'Host: a', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`,
    );
  const EMPTY_400 = /^HTTP\/1\.1 400 .*\r\n\r\n$/s;

  for (const method of METHODS) {
    it(`is ${MAX_REQUEST_LINE} bytes – ${method}`, async () => {
      assert.doesNotMatch(await answerTo(`${method} ${targetFor(method, MAX_REQUEST_LINE)}`), EMPTY_400);
      assert.match(await answerTo(`${method} ${targetFor(method, MAX_REQUEST_LINE + 1)}`), EMPTY_400);
    });
  }

  it(`is ${MAX_HEADER_LINE} bytes for a header line`, async () => {
    assert.doesNotMatch(await answerTo('GET /', headerOf('Accept', MAX_HEADER_LINE)), EMPTY_400);
    assert.match(await answerTo('GET /', headerOf('Accept', MAX_HEADER_LINE + 1)), EMPTY_400);
  });
});
