// The built dashboard: how much script the first screen loads, and that nothing in it needs what the policy forbids.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { DASHBOARD_FOLDER, readDashboardFiles } from '../../src/answer/dashboard-files.ts';

const MAX_SCRIPT_BYTES = 200 * 1024;
const files = readDashboardFiles(DASHBOARD_FOLDER);
const page = files.get('index.html')?.body.toString() ?? '';

describe('the built dashboard', { skip: files.size === 0 ? 'it was not built' : false }, () => {
  it('loads at most 200 KiB of compressed script on its first screen', () => {
    const scripts = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map(
      ([, path = '']) => path,
    );
    assert.ok(scripts.length > 0, page);
    // A file that gains nothing is served as it is.
    const sizeOf = (path: string): number => {
      const file = files.get(path);
      return (file?.gzip ?? file?.body)?.length ?? Infinity;
    };
    const bytes = scripts.reduce((sum, path) => sum + sizeOf(path), 0);
    assert.ok(bytes <= MAX_SCRIPT_BYTES, `${Math.ceil(bytes / 1024)} KiB`);
  });

  it('has no script, style or handler inside the page, and names no other host', () => {
    assert.doesNotMatch(page, /<style|style=|\son\w+=|<script>|https?:/);
    for (const [path, { body }] of files)
      if (path.endsWith('.css')) assert.doesNotMatch(body.toString(), /@import|url\(\s*['"]?https?:/, path);
  });

  it('serves the same bytes compressed and not', () => {
    for (const [path, { body, gzip }] of files)
      if (gzip !== undefined) assert.deepEqual(gunzipSync(gzip), body, path);
  });

  it('serves no source and no map of it', () => {
    for (const path of files.keys()) assert.match(path, /^(?:index\.html|assets\/[\w.-]+\.(?:js|css|svg))$/);
  });
});
