// Couchgate's own requests carry the rights of a server admin: their paths name what they mean, and no more.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attachmentPath, databasePath, documentPath, securityPath } from '../../src/couch/document-path.ts';

describe('a path of an own request', () => {
  const PATHS: readonly (readonly [name: string, path: string, expected: string])[] = [
    ['a database with slashes', databasePath('a/b+c'), '/a%2Fb%2Bc'],
    ['a database that is a dot segment', securityPath('..'), '/%2E%2E/_security'],
    ['a document with a query and a slash', documentPath('db', 'a/../b?rev=1'), '/db/a%2F..%2Fb%3Frev%3D1'],
    ['a document that is a dot segment', documentPath('db', '..'), '/db/%2E%2E'],
    ['a design document', documentPath('db', '_design/..'), '/db/_design/%2E%2E'],
    ['an attachment that is a dot segment', attachmentPath('db', 'a', '.'), '/db/a/%2E'],
  ];
  for (const [name, path, expected] of PATHS)
    it(`keeps ${name} in its segment – ${expected}`, () => assert.equal(path, expected));
});
