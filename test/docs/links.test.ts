// Relative links of the documents lead to files and headings that exist.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');

/** Examples hold lines that look like headings and links. */
const textOf = (page: string): string => readFileSync(page, 'utf8').replaceAll(/^ *```[^]*?^ *```/gm, '');

/** The anchors of a page: GitHub makes them of its headings, and numbers repeated ones. */
function anchorsOf(page: string): readonly string[] {
  const found: string[] = [];
  for (const [, heading = ''] of textOf(page).matchAll(/^#+ (.+)$/gm)) {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const before = found.filter((each) => each.replace(/-\d+$/, '') === anchor).length;
    found.push(before === 0 ? anchor : `${anchor}-${before}`);
  }
  return found;
}

const below = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
const pages = [...readdirSync(ROOT), ...below.map((name) => join('docs', name))]
  .filter((name) => name.endsWith('.md'))
  .map((name) => join(ROOT, name));

describe('relative links of the documents', () => {
  for (const page of pages)
    it(`lead to what exists – ${relative(ROOT, page)}`, () => {
      const links = [...textOf(page).matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, link = '']) => link);
      const dead = links.filter((link) => {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? page : join(dirname(page), path);
        if (!existsSync(target)) return true;
        return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(anchor);
      });
      assert.deepEqual(dead, []);
    });
});
