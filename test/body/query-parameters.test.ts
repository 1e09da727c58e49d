// Where a query ends a parameter: at `&` and, as in CouchDB, at a semicolon.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parametersOf, rawParametersOf } from '../../src/body/query-parameters.ts';

it('ends a parameter at a semicolon too, but not at an escaped one', () => {
  const query = '?a=1;b=%3B2&c';
  assert.deepEqual(
    [...parametersOf(query)],
    [
      ['a', '1'],
      ['b', ';2'],
      ['c', ''],
    ],
  );
  assert.deepEqual(rawParametersOf(query), ['a=1', 'b=%3B2', 'c']);
});
