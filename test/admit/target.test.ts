// One reading of a request target and of a Destination header: what is accepted, as what, and what is refused.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDestination } from '../../src/admit/destination.ts';
import { parseTarget } from '../../src/admit/target.ts';
import { HttpError } from '../../src/http-errors.ts';

const LIMITS = { maxUrlBytes: 256 };

const READ: readonly (readonly [raw: string, segments: readonly string[], path: string, query?: string])[] = [
  ['/', [], '/'],
  ['//', [], '/'],
  ['/?q=%22/a%22', [], '/', '?q=%22/a%22'],
  ['/db', ['db'], '/db'],
  ['/db/', ['db'], '/db'],
  ['//db//doc/', ['db', 'doc'], '/db/doc'],
  ['/db/doc?', ['db', 'doc'], '/db/doc', '?'],
  ['/db/doc?a=/x?y', ['db', 'doc'], '/db/doc', '?a=/x?y'],
  ['/%65p-a', ['ep-a'], '/ep-a'],
  ['/db/%5Fall_docs', ['db', '_all_docs'], '/db/_all_docs'],
  ['/db/%5f%73ecurity', ['db', '_security'], '/db/_security'],
  ['/db%2Fx/doc', ['db/x', 'doc'], '/db%2Fx/doc'],
  ['/a+b', ['a b'], '/a%20b'],
  ['/a%2Bb', ['a+b'], '/a%2Bb'],
  ['/db/a:b', ['db', 'a:b'], '/db/a%3Ab'],
  ['/db/100%25', ['db', '100%'], '/db/100%25'],
  ['/db/doc/a/b%2Fc', ['db', 'doc', 'a', 'b/c'], '/db/doc/a/b%2Fc'],
  ['/db/_design%2Fx', ['db', '_design', 'x'], '/db/_design/x'],
  ['/db/%5Fdesign%2fx/_view/m', ['db', '_design', 'x', '_view', 'm'], '/db/_design/x/_view/m'],
  ['/db/_design%2Fx%2Fy', ['db', '_design', 'x/y'], '/db/_design/x%2Fy'],
  ['/db/_local%2Fx', ['db', '_local', 'x'], '/db/_local/x'],
  ['/_users/_design%2F_auth', ['_users', '_design', '_auth'], '/_users/_design/_auth'],
  ['/_node/_local%2Fx', ['_node', '_local/x'], '/_node/_local%2Fx'],
  ['/db/_design%252Fx', ['db', '_design%2Fx'], '/db/_design%252Fx'],
  ['/db/%E2%82%AC', ['db', '€'], '/db/%E2%82%AC'],
  ['/db/..a', ['db', '..a'], '/db/..a'],
  ['/db/..', ['db', '..'], '/db/%2E%2E'],
  ['/db/.', ['db', '.'], '/db/%2E'],
  ['/db/%2E', ['db', '.'], '/db/%2E'],
  ['/db/.%2e?rev=1-x', ['db', '..'], '/db/%2E%2E', '?rev=1-x'],
  ['//db//..//', ['db', '..'], '/db/%2E%2E'],
  ['/db/../x', ['db', '..', 'x'], '/db/%2E%2E/x'],
  ['/db/doc/../x', ['db', 'doc', '..', 'x'], '/db/doc/%2E%2E/x'],
  ['/db/../_security', ['db', '..', '_security'], '/db/%2E%2E/_security'],
  ['/db/_design/..', ['db', '_design', '..'], '/db/_design/%2E%2E'],
  ['/db/_design%2F..', ['db', '_design', '..'], '/db/_design/%2E%2E'],
  ['/db/_local%2f%2e', ['db', '_local', '.'], '/db/_local/%2E'],
  ['/db/_partition/../_all_docs', ['db', '_partition', '..', '_all_docs'], '/db/_partition/%2E%2E/_all_docs'],
  ['/_users/..', ['_users', '..'], '/_users/%2E%2E'],
  ['/db/doc0%00', ['db', 'doc0\0'], '/db/doc0%00'],
  ['/db/%00/%00', ['db', '\0', '\0'], '/db/%00/%00'],
  ['/db/a%2F..%2Fb', ['db', 'a/../b'], '/db/a%2F..%2Fb'],
  ['/db;/doc\\x', ['db;', 'doc\\x'], '/db%3B/doc%5Cx'],
  ['/_utils', ['_utils'], '/_utils'],
  ['/_utils/', ['_utils'], '/_utils/'],
  ['/_utils/docs/', ['_utils', 'docs'], '/_utils/docs/'],
  ['//%5futils//docs//', ['_utils', 'docs'], '/_utils/docs/'],
  ['/_utils/docs', ['_utils', 'docs'], '/_utils/docs'],
  ['/_utils/a+b/', ['_utils', 'a b'], '/_utils/a%20b/'],
  ['/db/_utils/', ['db', '_utils'], '/db/_utils'],
  ['/db%2F_utils/', ['db/_utils'], '/db%2F_utils'],
  ['/_utils//index.html', ['_utils', 'index.html'], '/_utils/index.html'],
];

const REFUSED: readonly (readonly [raw: string, status: number, error: string])[] = [
  ['', 400, 'bad_request'],
  ['db/doc', 400, 'bad_request'],
  ['*', 400, 'bad_request'],
  ['?', 400, 'bad_request'],
  ['http://evil/db/doc', 400, 'bad_request'],
  ['ftp://evil/db', 400, 'bad_request'],
  ['/db#/doc?rev=1-x', 400, 'bad_request'],
  ['/db/_security#/doc', 400, 'bad_request'],
  ['/db?a=#b', 400, 'bad_request'],
  ['/db/a b', 400, 'bad_request'],
  ['/db/a\tb', 400, 'bad_request'],
  ['/db/a\u007f', 400, 'bad_request'],
  ['/db/\u00e9', 400, 'bad_request'],
  ['/db?k=\u00e9', 400, 'bad_request'],
  ['/db?k=a b', 400, 'bad_request'],
  ['/db/\u0000', 400, 'bad_request'],
  ['/db%00/doc', 400, 'bad_request'],
  ['/db/%', 400, 'bad_request'],
  ['/db/%zz', 400, 'bad_request'],
  ['/db/%u0041', 400, 'bad_request'],
  ['/db/%c0%af', 400, 'illegal_docid'],
  ['/db/%ff', 400, 'illegal_docid'],
  ['/db/%ed%a0%80', 400, 'illegal_docid'],
  ['/db/%f4%90%80%80', 400, 'illegal_docid'],
  ['/db/_local/%ff', 400, 'illegal_docid'],
  ['/db/_design%2F%ff', 400, 'illegal_docid'],
  ['/%ff', 400, 'bad_request'],
  ['/db/doc/%ff', 400, 'bad_request'],
  ['/db/%ff%', 400, 'bad_request'],
  ['/./db', 400, 'bad_request'],
  ['/..', 400, 'bad_request'],
  ['/%2e%2e/db', 400, 'bad_request'],
  ['/_utils/..', 400, 'bad_request'],
  ['/_node/%2e%2e/_stats', 400, 'bad_request'],
  ['/_api/v2/db/../db/_security', 400, 'bad_request'],
  ['/_utils/a%00', 400, 'bad_request'],
  ['/db/_design%2F', 400, 'illegal_docid'],
  ['/db/_local%2F', 400, 'bad_request'],
  [`/${'a'.repeat(256)}`, 414, 'too_long'],
];

function refusalOf(run: () => unknown): { status: number; error: string } {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof HttpError) return { status: thrown.status, error: thrown.error };
    throw thrown;
  }
  return { status: 0, error: 'accepted' };
}

describe('a request target', () => {
  for (const [raw, segments, path, query] of READ) {
    it(`is read – ${raw} – as ${JSON.stringify(segments)}, sent as ${path}`, () => {
      const target = parseTarget(raw, LIMITS);
      assert.deepEqual(target, { segments, path, query: query ?? '' });
      assert.deepEqual(parseTarget(target.path + target.query, LIMITS), target, 'is its own spelling');
    });
  }
  for (const [raw, status, error] of REFUSED) {
    it(`is refused – ${JSON.stringify(raw).slice(0, 40)} – ${String(status)} ${error}`, () => {
      assert.deepEqual(
        refusalOf(() => parseTarget(raw, LIMITS)),
        { status, error },
      );
    });
  }
});

describe('a Destination header', () => {
  const DESTINATIONS: readonly (readonly [header: string, id: string, sent: string])[] = [
    ['copy', 'copy', 'copy'],
    ['copy?rev=3-abc', 'copy', 'copy?rev=3-abc'],
    ['_design%2Fx', '_design/x', '_design%2Fx'],
    ['%5Fdesign/x', '_design/x', '_design%2Fx'],
    ['_design%252Fx', '_design%2Fx', '_design%252Fx'],
    ['a+b', 'a b', 'a%20b'],
    ['a%2Bb', 'a+b', 'a%2Bb'],
    ['/ep-b/x', '/ep-b/x', '%2Fep-b%2Fx'],
    ['../ep-b/x', '../ep-b/x', '..%2Fep-b%2Fx'],
    ['_local/x', '_local/x', '_local%2Fx'],
    ['my doc', 'my doc', 'my%20doc'],
    ['x\u00e5\u0095\u008ax', 'x啊x', 'x%E5%95%8Ax'],
    ['h#x', 'h#x', 'h%23x'],
    ['a\tb', 'a\tb', 'a%09b'],
    ['100%', '100%', '100%25'],
    ['100%2', '100%2', '100%252'],
    ['%zz', '%zz', '%25zz'],
    ['%%20', '% ', '%25%20'],
    ['%2%30', '%20', '%2520'],
    ['100%?rev=1-a', '100%', '100%25?rev=1-a'],
    ['a%00', 'a\0', 'a%00'],
    ['..', '..', '..'],
    ['"q"', '"q"', '%22q%22'],
  ];
  for (const [header, id, sent] of DESTINATIONS) {
    it(`is read – ${header} – as ${id}, sent as ${sent}`, () => {
      assert.deepEqual(parseDestination(header), { id, header: sent });
      assert.equal(parseDestination(sent).id, id);
    });
  }
  const BAD = [
    '',
    '?rev=1-a',
    'http://evil/db/x',
    'HTTPS://evil/x',
    'a\u00e9',
    '\u5565',
    '%ff',
    '%ed%a0%80',
    '%e5%95',
    'a?rev=1',
    'a?rev=1-a&rev=2-b',
    'a?rev=1-a%26',
    'a?x=1-a',
    'a?rev=x-a',
    '_design/',
    '_local%2F',
  ];
  for (const header of BAD) {
    it(`is refused – ${JSON.stringify(header)} – 400`, () => {
      assert.equal(refusalOf(() => parseDestination(header)).status, 400);
    });
  }
});
