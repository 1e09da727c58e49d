// JSON as text: what a person sees and saves has the numbers that CouchDB has.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatted, membersOf, objectOf, problemIn } from '../../src/dashboard/json-text.ts';

const SAMPLES: readonly string[] = [
  '{}',
  '{"a":[]}',
  '{"a":{"b":[1,2,{"c":null}]},"d":"x, } ] \\" { ["}',
  ' { "a" : 12345678901234567890 , "b" : 1.0e400, "c":-0.0 } ',
  '{"\\u0041":"\\\\","":""}',
  '{"a":"\\\\\\"","b":true}',
];

describe('JSON as text', () => {
  for (const sample of SAMPLES)
    it(`keeps ${sample} as it is, apart from white space`, () => {
      const squeezed = (text: string): string => text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
      assert.equal(squeezed(formatted(sample)), squeezed(sample));
      const again = objectOf(membersOf(sample));
      assert.deepEqual(JSON.parse(again), JSON.parse(sample));
    });

  it('breaks objects and lists into lines, and leaves empty ones closed', () => {
    assert.equal(
      formatted('{"a":[1,{}],"b":{"c":[]}}'),
      '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": {\n    "c": []\n  }\n}',
    );
  });

  it('finds the members with their digits', () => {
    assert.deepEqual(membersOf('{"_id":"a","n":12345678901234567890,"o":{"x":[1.50]},"s":"}"}'), [
      { name: '_id', value: '"a"' },
      { name: 'n', value: '12345678901234567890' },
      { name: 'o', value: '{"x":[1.50]}' },
      { name: 's', value: '"}"' },
    ]);
    assert.deepEqual(membersOf('{}'), []);
  });

  it('says why a text is no document', () => {
    assert.equal(problemIn('{"a":1}'), undefined);
    for (const text of ['[]', '1', 'null', '{', '', '{"a":1,}'])
      assert.notEqual(problemIn(text), undefined, text);
  });
});
