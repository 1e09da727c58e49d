// What the dashboard says of a document that is about to be deleted.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { afterDeletion } from '../../src/dashboard/document-words.ts';

describe('what becomes of a document', () => {
  const TABLE = [
    [0, false, /^is deleted in this database/],
    [0, true, /Its attachments are deleted too\.$/],
    [1, true, /^stays: only this revision is deleted, and the revision in conflict .* becomes the document/],
    [3, false, /^stays: .* one of the 3 revisions in conflict/],
    [undefined, false, /Whether it has conflicts is not known/],
  ] as const;
  for (const [conflicts, hasAttachments, words] of TABLE)
    it(`is said with ${conflicts ?? 'an unknown number of'} conflicts${hasAttachments ? ' and attachments' : ''}`, () =>
      assert.match(afterDeletion(conflicts, hasAttachments), words));
});
