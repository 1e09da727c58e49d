// A node that was installed again has no store: its 404 must not count as "no such key" or "no record".
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CouchAnswer, isMissing } from '../../src/couch/couch.ts';
import { Unavailable } from '../../src/http-errors.ts';
import { RecordCopies } from '../../src/permissions/record-copies.ts';

const notFound = (reason: string): CouchAnswer => ({ status: 404, body: { error: 'not_found', reason } });

describe('a 404 of CouchDB', () => {
  it('says that a document is missing only by its reason', () => {
    assert.deepEqual(
      ['missing', 'deleted', 'Database does not exist.', 'no_db_file'].map((reason) =>
        isMissing(notFound(reason)),
      ),
      [true, true, false, false],
    );
    assert.equal(isMissing({ status: 404, body: undefined }), false);
    assert.equal(isMissing({ status: 200, body: { reason: 'missing' } }), false);
  });

  it('is no answer about a permission record if the node has no store', async () => {
    let reason = 'missing';
    const copies = new RecordCopies({
      storeDatabase: 'store',
      couch: {
        ask: ({ path }) =>
          Promise.resolve(
            path === '/store' ? { status: 200, body: { cluster: { n: 3 } } } : notFound(reason),
          ),
      },
    });
    assert.equal(await copies.read('fruit'), undefined);
    reason = 'Database does not exist.';
    await assert.rejects(copies.read('fruit'), Unavailable);
  });
});
