// Every kind of refusal through the whole of Couchgate: its status in CouchDB's shape, nothing forwarded, a line in the access log, a connection that is usable or closed.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { exchangeBytes } from '../support/raw-http.ts';
import { until } from '../support/until.ts';

interface Refusal {
  readonly line: string;
  readonly as?: 'owner' | 'key';
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly status: number;
  readonly error: string;
  /** The operation in the access log; undefined where the target has no reading. */
  readonly operation?: string;
}

const JSON_TYPE = 'Content-Type: application/json';
const REFUSALS: readonly Refusal[] = [
  { line: 'GET /refusals/%zz', as: 'key', status: 400, error: 'bad_request' },
  { line: 'GET /../x', as: 'owner', status: 400, error: 'bad_request' },
  {
    line: 'PUT /Refusals',
    as: 'owner',
    status: 400,
    error: 'illegal_database_name',
    operation: 'db-illegal-create',
  },
  { line: 'GET /refusals/doc', status: 401, error: 'unauthorized', operation: 'doc-get' },
  { line: 'GET /_membership', as: 'key', status: 403, error: 'forbidden', operation: 'membership' },
  {
    line: 'GET /refusals/_design/d/_rewrite/x',
    as: 'owner',
    status: 403,
    error: 'forbidden',
    operation: 'rewrite',
  },
  {
    line: 'GET /_node/_local/_config',
    as: 'owner',
    status: 403,
    error: 'forbidden',
    operation: 'node-config-read',
  },
  {
    line: 'GET /couchgate/_all_docs',
    as: 'owner',
    status: 403,
    error: 'forbidden',
    operation: 'store-database',
  },
  {
    line: 'GET /refusals/_nonsense',
    as: 'owner',
    status: 404,
    error: 'not_found',
    operation: 'db-unknown-underscore',
  },
  { line: 'GET /not-there/doc', as: 'key', status: 404, error: 'not_found', operation: 'doc-get' },
  {
    line: 'DELETE /refusals/_all_docs',
    as: 'owner',
    status: 405,
    error: 'method_not_allowed',
    operation: 'unknown-method',
  },
  {
    line: 'POST /refusals',
    as: 'key',
    headers: [JSON_TYPE],
    body: '{"_id":"_design/x"}',
    status: 403,
    error: 'forbidden',
    operation: 'db-post-doc',
  },
  {
    line: 'POST /refusals',
    as: 'key',
    headers: [JSON_TYPE],
    body: '{"_id":"_design/x"',
    status: 400,
    error: 'bad_request',
    operation: 'db-post-doc',
  },
  {
    line: 'POST /refusals',
    as: 'key',
    headers: [JSON_TYPE, 'Content-Length: 2000'],
    status: 413,
    error: 'too_large',
    operation: 'db-post-doc',
  },
  { line: `GET /refusals/${'a'.repeat(17_000)}`, as: 'key', status: 414, error: 'too_long' },
  {
    line: 'POST /refusals',
    as: 'key',
    headers: ['Content-Type: text/plain'],
    body: '{}',
    status: 415,
    error: 'bad_content_type',
    operation: 'db-post-doc',
  },
];

describe('a refusal', () => {
  let gate: Couchgate;
  let key: Credentials;

  before(async () => {
    gate = await startCouchgate({ settings: { inspectLimitBytes: 1000 } });
    key = await gate.key();
    await gate.database('refusals', { [key.name]: ['_writer'] });
    gate.recorder.take();
  });
  after(() => gate.close());

  function bytesOf({ line, as, headers = [], body = '' }: Refusal, id: string, connection: string): string {
    const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
    const who = as === undefined ? [] : [`Authorization: ${basic(as === 'owner' ? gate.owner : key)}`];
    const head = [`${line} HTTP/1.1`, 'Host: a', `X-Couch-Request-ID: ${id}`, `Connection: ${connection}`];
    return `${[...head, ...who, ...headers, ...length].join('\r\n')}\r\n\r\n${body}`;
  }

  for (const [at, refusal] of REFUSALS.entries()) {
    const { line, as = 'nobody', status, error, operation } = refusal;
    it(`${status} ${error} – ${line.slice(0, 60)} as ${as} – is logged, and CouchDB is not called`, async () => {
      const id = `refusal-${at}`;
      const answer = await exchangeBytes(gate.url, bytesOf(refusal, id, 'close'));
      const [head = '', body = ''] = answer.split('\r\n\r\n');
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(head, /\r\nContent-Type: application\/json(\r\n|$)/);
      const said = JSON.parse(body) as Readonly<Record<string, string>>;
      assert.deepEqual(Object.keys(said), ['error', 'reason']);
      assert.equal(said['error'], error);
      assert.deepEqual(gate.recorder.take(), []);
      const logged = async () => (await gate.accessLog()).find((record) => record['id'] === id);
      await until(async () => (await logged()) !== undefined, 'the refusal is in the access log');
      const record = await logged();
      assert.deepEqual([record?.['statusCode'], record?.['operation']], [status, operation]);
    });
  }

  it('leaves the connection usable where nothing of a body is left – every such refusal, then GET /_up', async () => {
    // These are refused before their body is read: the answer closes the connection, so that the rest is never taken for a request.
    const whole = REFUSALS.filter(({ status }) => status !== 413 && status !== 415);
    for (const refusal of whole) {
      const after: Refusal = { line: 'GET /_up', status: 200, error: '' };
      const answers = await exchangeBytes(
        gate.url,
        bytesOf(refusal, 'first', 'keep-alive') + bytesOf(after, 'second', 'close'),
      );
      const statuses = [...answers.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
      assert.deepEqual(statuses, [refusal.status, 200], refusal.line.slice(0, 60));
    }
  });
});
