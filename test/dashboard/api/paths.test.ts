// Paths of documents: nothing but a document is behind them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentPath } from '../../../src/dashboard/api/paths.ts';

describe('the path of a document', () => {
  for (const [id, path] of [
    ['fig/1', 'fruit/fig%2F1'],
    ['_design/a/b', 'fruit/_design/a%2Fb'],
    ['_local/\n', 'fruit/_local/%0A'],
    ['...', 'fruit/...'],
    ['%2e', 'fruit/%252e'],
  ] as const)
    it(`is ${path}`, () => assert.equal(documentPath('fruit', id), path));

  for (const id of ['_security', '_', '_design', '_design/', '_local/', '_designs/x', '_design/..', '.', ''])
    it(`is not there for the id ${JSON.stringify(id)}`, () =>
      assert.throws(() => documentPath('fruit', id), { status: 404 }));

  for (const database of ['.', '..', ''])
    it(`is not there in the database ${JSON.stringify(database)}`, () =>
      assert.throws(() => documentPath(database, 'x'), { status: 404 }));
});
