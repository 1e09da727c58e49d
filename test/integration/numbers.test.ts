// Couchgate parses some JSON and writes it again. What it does not understand keeps the value of its numbers.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openAdmin } from '../../src/setup/admin.ts';
import { adopt, olderDatabases } from '../../src/setup/adopt.ts';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { CALLER_HEADER, EXCHANGE_HEADER, startPolicyFront } from '../support/policy-front.ts';

const BIG = '12345678901234567890';
const NEGATIVE = '-98765432109876543210';
const HUGE = '9'.repeat(400);
const FIELDS = `"n":${BIG},"list":[1.10,{"deep":[${NEGATIVE}]}],"huge":${HUGE},"text":"${BIG}","1e5":"1e400"`;

/** The numbers of `FIELDS` in an answer; 1.1 as CouchDB and Couchgate write it. */
function assertKept(text: string, times = 1): void {
  const count = (pattern: RegExp): number => [...text.matchAll(pattern)].length;
  assert.equal(count(new RegExp(`"n":${BIG}[,}]`, 'gu')), times, text.slice(0, 500));
  assert.equal(count(new RegExp(`\\[1\\.10?,\\{"deep":\\[${NEGATIVE}\\]`, 'gu')), times);
  assert.equal(count(new RegExp(`"huge":${HUGE}[,}]`, 'gu')), times);
  assert.equal(count(new RegExp(`"text":"${BIG}"`, 'gu')), times);
  assert.equal(count(/"1e5":"1e400"/gu), times);
}

describe('the numbers of a security object', () => {
  let gate: Couchgate;
  let key: Credentials;
  before(async () => {
    gate = await startCouchgate();
    key = await gate.key();
  });
  after(() => gate.close());

  async function send(
    method: string,
    path: string,
    body?: string,
    { as = gate.owner, url = gate.url, type = 'application/json' } = {},
  ): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: basic(as), 'content-type': type },
      ...(body === undefined ? {} : { body }),
    });
    return { status: answer.status, text: await answer.text() };
  }

  for (const isAuthOnly of [false, true]) {
    const kind = isAuthOnly ? ' with couchdb_auth_only' : '';
    it(`stay as they were put, also in members and admins${kind} – PUT and GET /db/_security`, async () => {
      const database = isAuthOnly ? 'own' : 'db';
      await gate.database(database);
      const lists = `"members":{"names":["a"],${FIELDS}},"admins":{"roles":["b"],${FIELDS}}`;
      const object = `{"cloudant":{"${key.name}":["_security"]},"couchdb_auth_only":${isAuthOnly},${lists},"own":{${FIELDS}},${FIELDS}}`;
      for (const path of [`/${database}/_security`, `/_api/v2/db/${database}/_security`]) {
        assert.equal((await send('PUT', path, object)).status, 200);
        assertKept((await send('GET', path)).text, 4);
        assertKept((await send('GET', path, undefined, { as: key })).text, 4);
        const stored = await send('GET', `/${database}/_security`, undefined, {
          url: gate.backend.urls[0] ?? '',
        });
        assertKept(stored.text, 4);
        // What was read is written again, as tools do.
        const again = await send('PUT', path, (await send('GET', path)).text);
        assert.equal(again.status, 200);
        assertKept((await send('GET', path)).text, 4);
      }
    });
  }

  it('stay as they are if another field changes – POST /api/set_permissions', async () => {
    await gate.database('form');
    await send('PUT', '/form/_security', `{"members":{${FIELDS}},${FIELDS}}`);
    const form = await send('POST', '/api/set_permissions', 'database=form&username=x&roles=_reader', {
      type: 'application/x-www-form-urlencoded',
    });
    assert.equal(form.status, 200, form.text);
    const { text } = await send('GET', '/form/_security');
    assertKept(text, 2);
    assert.match(text, /"x":\["_reader"\]/u);
  });

  it('stay as they are when setup adopts the database', async () => {
    const [url = ''] = gate.backend.urls;
    await send('PUT', '/older', undefined, { url });
    await send('PUT', '/older/_security', `{"members":{"names":["a"],${FIELDS}},${FIELDS}}`, { url });
    const admin = openAdmin({ url, credentials: gate.owner });
    const older = (await olderDatabases(admin, 'couchgate')).find(({ name }) => name === 'older');
    assert.ok(older !== undefined, 'older is missing');
    await adopt(admin, older, Date.now());
    assertKept((await send('GET', '/older/_security', undefined, { url })).text, 2);
  });

  it('are refused as CouchDB refuses them past the range of a double – PUT /db/_security – 400', async () => {
    const before = (await send('GET', '/db/_security')).text;
    for (const number of ['1e400', '-1.0e400', `${'1'.repeat(400)}.5`]) {
      const { status, text } = await send('PUT', '/db/_security', `{"n":[${number}]}`);
      assert.deepEqual(
        [status, text],
        [400, '{"error":"bad_request","reason":"invalid UTF-8 JSON"}\n'],
        number,
      );
    }
    assert.equal((await send('GET', '/db/_security')).text, before);
  });

  const MISPLACED = [
    ['{"members":NUMBER}', /`members` must be an object/u],
    ['{"admins":NUMBER}', /`admins` must be an object/u],
    ['{"members":{"names":[NUMBER]}}', /must be an array of strings/u],
    ['{"members":{"roles":NUMBER}}', /must be an array of strings/u],
    ['{"cloudant":NUMBER}', /must be an object of names/u],
    ['{"cloudant":{"x":NUMBER}}', /must be an array/u],
    ['{"cloudant":{"x":[NUMBER]}}', /is not one of/u],
    ['{"couchdb_auth_only":NUMBER}', /must be true or false/u],
    ['{"couchgate":NUMBER}', /is reserved/u],
    ['NUMBER', /must be a JSON object/u],
    ['[NUMBER]', /must be a JSON object/u],
  ] as const;
  for (const [object, reason] of MISPLACED) {
    it(`pass for nothing else where they mean something – PUT ${object} – 400`, async () => {
      const { status, text } = await send('PUT', '/db/_security', object.replace('NUMBER', BIG));
      assert.equal(status, 400, text);
      assert.match(text, reason);
      assert.doesNotMatch(text, /[0-9a-f]{8}-[0-9a-f]{4}/u);
    });
  }

  it('open nothing if CouchDB holds one in place of a list – GET /odd/doc', async () => {
    const [url = ''] = gate.backend.urls;
    await gate.database('odd');
    const odd = `{"couchdb_auth_only":true,"members":{"names":["x"],"n":${BIG}},"cloudant":${BIG},"admins":{"names":[]}}`;
    await send('PUT', '/odd/_security', odd, { url });
    assert.equal((await send('GET', '/odd/_all_docs', undefined, { as: key })).status, 403);
  });
});

describe('the numbers of a replication job', () => {
  it('stay as they are in what has no meaning for Couchgate – PUT /_replicator/job', async () => {
    const front = await startPolicyFront();
    const job = `{"source":"https://1.1.1.1/x","target":"https://8.8.8.8/y","selector":{${FIELDS}}}`;
    const answer = await fetch(`${front.url}/_replicator/job`, {
      method: 'PUT',
      headers: {
        'content-type': 'application/json',
        [CALLER_HEADER]: 'owner',
        [EXCHANGE_HEADER]: 'numbers',
      },
      body: job,
    });
    assert.equal(answer.status, 200, await answer.text());
    assertKept(String(front.reached('numbers')[0]?.body));
    await front.close();
  });
});
