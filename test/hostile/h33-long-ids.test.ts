// H33: an id may be longer than the path that CouchDB accepts. An export goes on after it.
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { basic, startCouchgate, type Couchgate, type Credentials } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

/** The first page has 50 rows: the long id is the last of them. */
const IDS = Array.from(
  { length: 110 },
  (_, at) => String(at).padStart(3, '0') + 'é'.repeat(at === 49 ? 4500 : 0),
);

describe('H33: exports of long ids', () => {
  const started = closedAfterSuite();
  let gate: Couchgate;
  let reader: Credentials;

  before(async () => {
    gate = await started(startCouchgate());
    reader = await gate.key();
    await gate.database('long', { [reader.name]: ['_reader'] });
    const docs = IDS.map((_id) => ({ _id }));
    await gate.ask('POST', '/long/_bulk_docs', { as: gate.owner, body: { docs } });
  });

  for (const query of ['format=jsonl', 'format=csv', 'format=jsonl&deleted=true&conflicts=true'])
    it(`exports every document after one with an id of 9000 bytes – ${query}`, async () => {
      const url = `${gate.url}/_api/v2/db/long/_export?${query}`;
      const answer = await fetch(url, { headers: { Authorization: basic(reader) } });
      assert.equal(answer.status, 200);
      const text = await answer.text();
      assert.deepEqual(
        IDS.filter((id) => !text.includes(id)),
        [],
      );
    });
});
