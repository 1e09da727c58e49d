// The parameters of /_all_dbs, compared with the answers of CouchDB 3.5.0 to the same queries.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseListRange } from '../../src/answer/list-range.ts';
import { HttpError } from '../../src/http-errors.ts';

const NAMES = '_replicator _users a a$ a+ a-b a/b a_b b b0 ba z(1)';

/** Query → names, or the error and reason of a 400. */
const RECORDED: readonly (readonly [query: string, answer: string | readonly [string, string]])[] = [
  ['', 'all'],
  ['limit=2', '_replicator _users'],
  ['skip=1&limit=2', '_users a'],
  ['descending=true', 'z(1) ba b0 b a_b a/b a-b a+ a$ a _users _replicator'],
  ['startkey="a_b"', 'a_b b b0 ba z(1)'],
  ['start_key="a_b"', 'a_b b b0 ba z(1)'],
  ['endkey="a_b"', '_replicator _users a a$ a+ a-b a/b a_b'],
  ['end_key="a-b"', '_replicator _users a a$ a+ a-b'],
  ['startkey="b"&endkey="a"', ''],
  ['startkey="b"&endkey="a"&descending=true', 'b a_b a/b a-b a+ a$ a'],
  ['descending=true&startkey="b0"', 'b0 b a_b a/b a-b a+ a$ a _users _replicator'],
  ['inclusive_end=false&endkey="b"', '_replicator _users a a$ a+ a-b a/b a_b'],
  ['key="b"', 'b'],
  ['key="zz"', ''],
  ['limit=0', ''],
  ['limit=-1', ['query_parse_error', 'Invalid value for positive integer: "-1"']],
  ['limit=x', ['query_parse_error', 'Invalid value for integer: "x"']],
  ['limit=1.5', ['query_parse_error', 'Invalid value for integer: "1.5"']],
  ['limit="1"', ['query_parse_error', 'Invalid value for integer: "\\"1\\""']],
  ['skip=-1', ['query_parse_error', 'Invalid value for positive integer: "-1"']],
  ['skip=x', ['query_parse_error', 'Invalid value for integer: "x"']],
  ['startkey=a', ['bad_request', 'invalid UTF-8 JSON']],
  ['startkey=1', 'all'],
  ['startkey=null', 'all'],
  ['endkey=null', ''],
  ['startkey={}', 'all'],
  ['endkey={}', ''],
  ['startkey=["a"]', 'all'],
  ['descending=x', ['query_parse_error', 'Invalid boolean parameter: "x"']],
  ['descending=1', ['query_parse_error', 'Invalid boolean parameter: "1"']],
  ['include_docs=true', 'all'],
  ['update_seq=true', 'all'],
  ['group=true', ['query_parse_error', 'Invalid use of grouping on a map view.']],
  ['reduce=true', ['query_parse_error', 'Reduce is invalid for map-only views.']],
  ['foo=bar', 'all'],
  ['stale=ok', 'all'],
  ['conflicts=true', 'all'],
  ['limit=', ['query_parse_error', 'Invalid value for integer: []']],
  ['limit', ['query_parse_error', 'Invalid value for integer: []']],
  ['limit=1&limit=2', '_replicator _users'],
  ['startkey_docid="b"', 'all'],
  ['startkey=', ['bad_request', 'invalid UTF-8 JSON']],
  ['sorted=false', 'all'],
  ['inclusive_end=x', ['query_parse_error', 'Invalid boolean parameter: "x"']],
  ['startkey="b"&startkey="a"', 'a a$ a+ a-b a/b a_b b b0 ba z(1)'],
  [
    'limit=99999999999999999999',
    ['query_parse_error', 'Limit is too large, must not exceed 576460752303423487'],
  ],
  ['skip=3&descending=true&limit=2', 'b a_b'],
  ['startkey="\u00e9"', ''],
  ['endkey="_z"', '_replicator _users'],
  ['key="b"&limit=0', ''],
  ['key=1', ''],
  ['Limit=2', 'all'],
  ['startkey="a"&skip=1', 'a$ a+ a-b a/b a_b b b0 ba z(1)'],
  ['key="b"&startkey="c"', ''],
  ['limit=%32', '_replicator _users'],
  ['attachments=true', 'all'],
  ['descending=true&key="b"', 'b'],
  ['descending=true&startkey="b"&endkey="a-b"&inclusive_end=false', 'b a_b a/b'],
  ['stable=true', 'all'],
  ['update=lazy', 'all'],
  ['partition=x', ['query_parse_error', '`partition` parameter is not supported on this db']],
  ['group_level=1', ['query_parse_error', 'Invalid use of grouping on a map view.']],
  ['reduce=false', 'all'],
  ['key=%22b', ['bad_request', 'invalid UTF-8 JSON']],
  ['descending=TRUE', 'z(1) ba b0 b a_b a/b a-b a+ a$ a _users _replicator'],
  ['limit=+2', ['query_parse_error', 'Invalid value for integer: " 2"']],
  ['limit=%202', ['query_parse_error', 'Invalid value for integer: " 2"']],
  ['skip=2&skip=1', '_users a a$ a+ a-b a/b a_b b b0 ba z(1)'],
];

describe('the parameters of /_all_dbs', () => {
  const shuffled = NAMES.split(' ').toSorted(
    (a, b) => a.charCodeAt(a.length - 1) - b.charCodeAt(b.length - 1),
  );
  const answerTo = (query: string): unknown => {
    try {
      return parseListRange(query === '' ? '' : `?${query}`)
        .select(shuffled)
        .join(' ');
    } catch (error) {
      assert.ok(error instanceof HttpError, String(error));
      assert.equal(error.status, 400);
      return [error.error, error.reason];
    }
  };
  for (const [query, answer] of RECORDED)
    it(`select what CouchDB selects – ?${query}`, () => {
      assert.deepEqual(answerTo(query), answer === 'all' ? NAMES : answer);
    });

  it('refuse keys, for which CouchDB has a 500 – ?keys=["a"]', () => {
    assert.deepEqual(answerTo('keys=["a"]'), [
      'bad_request',
      '`keys` is not supported here; POST /_dbs_info takes them',
    ]);
  });

  it('are the same range when CouchDB reads them', () => {
    for (const [query, answer] of RECORDED) {
      if (typeof answer !== 'string') continue;
      const { parameters, skip, limit } = parseListRange(query === '' ? '' : `?${query}`);
      const again = parseListRange(`?${parameters}`).select(shuffled);
      assert.equal(again.slice(skip, skip + limit).join(' '), answerTo(query));
    }
  });
});
