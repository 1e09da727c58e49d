// Each endpoint links to a page that describes it: of docs/, of CouchDB's manual or of Cloudant's.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ENDPOINTS } from '../../src/catalogue/catalogue.ts';

const DOCS = join(import.meta.dirname, '../../docs');

/** The anchors of a page: GitHub makes them of its headings. */
function anchorsOf(page: string): readonly string[] {
  const headings = readFileSync(join(DOCS, page), 'utf8').matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('docs/endpoints.md', () => {
  it('links to pages and headings of docs that exist', () => {
    const own = ENDPOINTS.filter(({ manual }) => !manual.startsWith('https:'));
    assert.ok(own.length > 30, `${own.length} endpoints`);
    const lost = own.filter(({ manual }) => {
      const [page = '', anchor] = manual.split('#');
      return !existsSync(join(DOCS, page)) || (anchor !== undefined && !anchorsOf(page).includes(anchor));
    });
    assert.deepEqual(
      lost.map(({ id, manual }) => `${id}: ${manual}`),
      [],
    );
  });

  it('links to no front page, which describes no endpoint', () => {
    const front = ENDPOINTS.filter(({ manual }) => /\/cloudant$/i.test(manual));
    assert.deepEqual(
      front.map(({ id }) => id),
      [],
    );
  });
});
