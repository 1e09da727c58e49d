// What an export reads: nothing is left out without a word.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CouchTransfer, type TransferRequest } from '../../src/couch/transfer.ts';
import { documentPages } from '../../src/export/document-pages.ts';
import { BadGateway } from '../../src/http-errors.ts';

/** A CouchDB with one document, whose losing revision is read with this result. */
function couchWith(...read: readonly object[]): Pick<CouchTransfer, 'ask'> {
  const doc = { _id: 'a', _conflicts: ['1-b'] };
  return {
    ask: ({ path, body }: TransferRequest) => {
      const rows = body === '{}' ? [{ id: 'a', doc }] : [];
      const answer = path.endsWith('/_bulk_get') ? { results: [{ docs: read }] } : { rows };
      return Promise.resolve({ status: 200, bytes: Buffer.from(JSON.stringify(answer)) });
    },
  };
}

async function documentsFrom(couch: Pick<CouchTransfer, 'ask'>): Promise<number> {
  const source = { couch, database: 'db', signal: new AbortController().signal };
  let documents = 0;
  for await (const page of documentPages(source, { deleted: false, design: false, conflicts: true }))
    documents += page.documents.length;
  return documents;
}

describe('the pages of an export', () => {
  it('leave out a conflict that was resolved, and end at one that cannot be read', async () => {
    assert.equal(await documentsFrom(couchWith({ ok: { _id: 'a' } })), 2);
    assert.equal(await documentsFrom(couchWith({ error: { error: 'not_found', reason: 'missing' } })), 1);
    const failed = { error: { error: 'internal_fabric_error', reason: 'timeout' } };
    for (const read of [[failed], []]) await assert.rejects(documentsFrom(couchWith(...read)), BadGateway);
  });
});
