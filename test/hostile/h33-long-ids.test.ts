// H33: an id may be longer than the path that CouchDB accepts. An export goes on after it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { basic, startCouchgate } from '../support/couchgate.ts';
import { closedAfterSuite } from '../support/started.ts';

describe('H33: exports of long ids', () => {
  const started = closedAfterSuite();

  for (const query of ['format=jsonl', 'format=csv', 'format=jsonl&deleted=true&conflicts=true'])
    it(`exports every document after one with an id of 9000 bytes – ${query}`, async () => {
      const gate = await started(startCouchgate());
      const reader = await gate.key();
      await gate.database('fruit', { [reader.name]: ['_reader'] });
      // The first page has 50 rows: the long id is the last of them.
      const ids = Array.from(
        { length: 110 },
        (_, at) => String(at).padStart(3, '0') + 'é'.repeat(at === 49 ? 4500 : 0),
      );
      const docs = ids.map((_id) => ({ _id }));
      await gate.ask('POST', '/fruit/_bulk_docs', { as: gate.owner, body: { docs } });
      const url = `${gate.url}/_api/v2/db/fruit/_export?${query}`;
      const answer = await fetch(url, { headers: { Authorization: basic(reader) } });
      assert.equal(answer.status, 200);
      const text = await answer.text();
      const missing = ids.filter((id) => !text.includes(id));
      assert.deepEqual(missing, []);
    });
});
