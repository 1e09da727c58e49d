// docs/architecture.md names every file that lies directly in src, and no other.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');

describe('docs/architecture.md', () => {
  it('has every file directly in src in the row `src/*`', () => {
    const [row = ''] = /^\| `src\/\*` \|.*$/m.exec(text) ?? [];
    const named = [...row.matchAll(/`([\w-]+\.(?:ts|mjs))`/g)].map(([, name = '']) => name);
    const files = readdirSync(join(ROOT, 'src')).filter((name) => /\.(?:ts|mjs)$/.test(name));
    assert.deepEqual([...named].sort(), files.sort());
  });

  it('has every folder of src in the table of folders', () => {
    const named = new Set([...text.matchAll(/^\| `(\w+)\/` \|/gm)].map(([, name = '']) => name));
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    assert.deepEqual([...named].sort(), folders.sort());
  });
});
