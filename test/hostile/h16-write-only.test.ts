// H16: who may write and not read learns nothing from CouchDB but the fate of its own writes.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Admin } from '../../src/setup/admin.ts';
import { describeHostile, refuseAll, type Attack } from '../support/hostile.ts';

const JSON_TYPE = 'Content-Type: application/json';
const line = (text: string, body = '', ...headers: readonly string[]): Attack => ({
  line: text,
  as: 'writer',
  headers: [...(body === '' ? [] : [JSON_TYPE]), ...headers],
  body,
});

/** Every way to learn of a document that `_writer` alone does not open. */
const READS: readonly Attack[] = [
  line('GET /h16/doc'),
  line('GET /h16/doc/att'),
  line('GET /h16/doc?open_revs=all&revs=true'),
  line('GET /h16/_all_docs'),
  line('POST /h16/_all_docs', '{"keys":["doc","_design/d","_local/l"]}'),
  line('POST /h16/_all_docs/queries', '{"queries":[{"keys":["doc"]}]}'),
  line('GET /h16/_design_docs'),
  line('GET /h16/_local_docs'),
  line('POST /h16/_local_docs', '{"keys":["_local/l"]}'),
  line('GET /h16/_local/l'),
  line('GET /h16/_changes'),
  line('GET /h16/_changes?include_docs=true'),
  line('POST /h16/_changes?filter=_doc_ids', '{"doc_ids":["doc"]}'),
  line('POST /h16/_bulk_get', '{"docs":[{"id":"doc"}]}'),
  line('POST /h16/_revs_diff', '{"doc":["1-a"]}'),
  line('POST /h16/_missing_revs', '{"doc":["1-a"]}'),
  line('POST /h16/_find', '{"selector":{}}'),
  line('POST /h16/_explain', '{"selector":{}}'),
  line('GET /h16/_index'),
  line('GET /h16/_design/d'),
  line('GET /h16/_design/d/_info'),
  line('GET /h16/_design/d/_view/v'),
  line('POST /h16/_design/d/_view/v/queries', '{"queries":[{}]}'),
  line('GET /h16/_design/d/_show/s/doc'),
  line('GET /h16/_design/d/_list/l/v'),
  line('POST /h16/_design/d/_update/u/doc'),
  line('PUT /h16/_design/d/_update/u/doc'),
  line('GET /h16/_partition/p'),
  line('GET /h16/_partition/p/_all_docs'),
  line('POST /h16/_partition/p/_find', '{"selector":{}}'),
  line('GET /h16/_security'),
  line('GET /h16/_shards/doc'),
  line('GET /h16/_revs_limit'),
  line('COPY /h16/doc', '', 'Destination: mine'),
  line('COPY /h16/doc', '', 'Destination: _local/mine'),
  line('COPY /h16/_local/l', '', 'Destination: mine'),
  line('COPY /h16/_local/l', '', 'Destination: _local/mine'),
  line('COPY /h16/_design/d', '', 'Destination: mine'),
];

async function fill(couchdb: Admin): Promise<void> {
  await couchdb.ask('PUT', '/h16/doc', { secret: 'canary' });
  await couchdb.ask('PUT', '/h16/_local/l', { secret: 'canary' });
}

describeHostile('H16: write only', { databases: ['h16'], prepare: fill }, (gate) => {
  refuseAll(gate, 403, READS);

  it('learns nothing by HEAD – HEAD /h16/doc – 403', async () => {
    const answer = await gate.send(line('HEAD /h16/doc'));
    assert.deepEqual([answer.status, answer.reached], [403, []]);
    assert.doesNotMatch(answer.head, /etag/i);
  });

  for (const write of [
    line('POST /h16', '{"a":1}'),
    line('PUT /h16/mine', '{"a":1}'),
    line('PUT /h16/_local/mine', '{"a":1}'),
    line('POST /h16/_bulk_docs', '{"docs":[{"a":1}]}'),
    line('POST /h16/_ensure_full_commit', '{}'),
    line('GET /h16'),
  ]) {
    it(`may write – ${write.line} – and learns the result of its own write only`, async () => {
      const answer = await gate.send(write);
      assert.ok(answer.status < 300, answer.body);
      assert.equal(answer.reached.length, 1);
      assert.doesNotMatch(answer.body, /canary/);
    });
  }

  it('pushes with _replicator beside it – POST /h16/_revs_diff – 200', async () => {
    const answer = await gate.send({ ...line('POST /h16/_revs_diff', '{}'), as: 'replicator+writer' });
    assert.equal(answer.status, 200);
  });
});
