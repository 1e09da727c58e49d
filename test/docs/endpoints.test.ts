// Each endpoint links to a page that describes it. links.test.ts checks those of docs/ in docs/endpoints.md.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';

describe('docs/endpoints.md', () => {
  it('links to no front page, which describes no endpoint', () => {
    const front = ENDPOINTS.filter(({ manual }) => /\/cloudant$/i.test(manual));
    assert.deepEqual(
      front.map(({ id }) => id),
      [],
    );
  });
});
