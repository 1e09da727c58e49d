// The answers of the page Test access, in words.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  afterwardsOf,
  type Explanation,
  OPERATIONS,
  requestsOf,
  verdictOf,
  whyOf,
} from '../../src/dashboard/explain-words.ts';

const REQUEST = { method: 'GET', path: '/fruit' };
const explained = (fields: Partial<Explanation>): Explanation => ({
  ...{ decision: 'deny', rule: 'grant', held: [], missing: [], couchdb: [] },
  ...fields,
});
const summedUp = (...answers: readonly Partial<Explanation>[]) => {
  const verdict = verdictOf(answers.map((fields) => [REQUEST, explained(fields)] as const));
  assert.ok(verdict !== undefined, 'verdict is missing');
  return verdict;
};

describe('the answer to several requests', () => {
  const rows: readonly (readonly [string, readonly Partial<Explanation>[], string, unknown])[] = [
    ['allows what each allows', [{ decision: 'allow' }, { decision: 'allow' }], 'allow', []],
    [
      'refuses what one refuses, and knows the role',
      [{ decision: 'allow' }, { missing: [['_writer']] }],
      'deny',
      [['_writer']],
    ],
    [
      'names sets that permit all, without larger ones',
      [{ missing: [['_reader'], ['_replicator']] }, { missing: [['_writer'], ['_replicator']] }],
      'deny',
      [['_replicator'], ['_reader', '_writer']],
    ],
    ['names no way if one refusal has none', [{ missing: [['_writer']] }, { missing: [] }], 'deny', []],
    [
      'names roles that grant everything last',
      [{ missing: [['_admin'], ['_reader', '_design', '_shards']] }],
      'deny',
      [['_reader', '_design', '_shards'], ['_admin']],
    ],
    [
      'does not call allowed what is unknown',
      [{ decision: 'allow' }, { decision: 'unknown' }],
      'unknown',
      [],
    ],
    ['refuses in spite of what is unknown', [{ decision: 'unknown' }, {}], 'deny', []],
  ];
  for (const [title, answers, decision, ways] of rows)
    it(title, () => {
      const verdict = summedUp(...answers);
      assert.deepEqual([verdict.explanation.decision, verdict.ways], [decision, ways]);
    });
});

describe('the reason in words', () => {
  const rows: readonly (readonly [Partial<Explanation>, RegExp])[] = [
    [{ missing: [['_writer']], held: ['_reader'] }, /^It lacks Write\. It has Read here\.$/],
    [{ missing: [['_reader'], ['_replicator']] }, /^It lacks Read, or Replicate\. It has no role here\.$/],
    [{ needed: 'owner' }, /needs a server admin/],
    [{ needed: '_reader or _design+_writer' }, /needs Read or Design and Write,/],
    [{ rule: 'credentials', reason: 'expired' }, /has expired/],
    [{ rule: 'credentials', reason: 'revoked' }, /was revoked/],
    [{ rule: 'credentials', reason: 'unknown name' }, /No API key and no user/],
    [{ rule: 'blocked', reason: 'x' }, /closed for everybody/],
    [{ rule: 'a rule of later', reason: 'In its own words.' }, /^In its own words\.$/],
    [{ decision: 'allow', held: ['_reader', '_design'] }, /allowed by Read and Design/],
    [{ decision: 'allow', rule: 'prefix grant' }, /A prefix grant gives/],
    [{ decision: 'unknown', reason: 'The body decides.' }, /^The body decides\.$/],
  ];
  for (const [fields, words] of rows)
    it(`says ${words.source}`, () => assert.match(whyOf(summedUp(fields)), words));

  it('says what CouchDB may still refuse, and never hides a word that it does not know', () => {
    const said = afterwardsOf(explained({ couchdb: ['validate_doc_update', 'something new'] }));
    assert.match(said.join('\n'), /may still refuse a document[^]*something new/);
  });
});

describe('the requests of an operation', () => {
  it('name the database with its characters encoded', () => {
    for (const { id } of OPERATIONS.filter(({ id }) => id !== 'other'))
      for (const { path } of requestsOf('a/b+c', { name: 'x', operation: id, method: '', path: '' }))
        assert.ok(path === '/a%2Fb%2Bc' || path.startsWith('/a%2Fb%2Bc/'), path);
  });

  it('are none before a path is named', () => {
    const question = { name: 'x', operation: 'other', method: 'GET' };
    assert.deepEqual(requestsOf('fruit', { ...question, path: '' }), []);
    assert.deepEqual(requestsOf('fruit', { ...question, path: '/fruit/a' }), [
      { method: 'GET', path: '/fruit/a' },
    ]);
  });
});
