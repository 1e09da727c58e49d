// bootstrap.mjs, copied into a folder of its own with an npm that only records its calls: when it installs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

type Packages = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const LOCKED: Packages = {
  '': { name: 'couchgate' },
  'node_modules/express': { version: '5.3.0', integrity: 'sha512-a' },
  'node_modules/typescript': { version: '6.0.3', integrity: 'sha512-b', dev: true },
  'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-c', optional: true },
};
const { 'node_modules/express': EXPRESS = {}, 'node_modules/typescript': TYPESCRIPT = {} } = LOCKED;
const ALL: Packages = { 'node_modules/express': EXPRESS, 'node_modules/typescript': TYPESCRIPT };

describe('npm start', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'couchgate-bootstrap-'));
    for (const folder of ['src', 'dist', 'node_modules']) mkdirSync(join(root, folder));
    copyFileSync(join(import.meta.dirname, '../src/bootstrap.mjs'), join(root, 'src/bootstrap.mjs'));
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages: LOCKED }));
    writeFileSync(
      join(root, 'npm.cjs'),
      "require('node:fs').writeFileSync('called', process.argv.join(' '))",
    );
    writeFileSync(join(root, 'dist/main.js'), "process.stdout.write('started')");
    markBuilt(true);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function markBuilt(isCurrent: boolean): void {
    const { mtimeMs } = statSync(join(root, 'src/bootstrap.mjs'));
    writeFileSync(join(root, 'dist/.built'), isCurrent ? String(mtimeMs) : 'old');
  }

  /** Starts with these packages in node_modules; true if npm was called. */
  function installs(packages: Packages | undefined): boolean {
    if (packages !== undefined)
      writeFileSync(join(root, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
    const env = { ...process.env, npm_execpath: join(root, 'npm.cjs') };
    try {
      const args = [join(root, 'src/bootstrap.mjs'), 'start'];
      assert.equal(execFileSync(process.execPath, args, { env, encoding: 'utf8', stdio: 'pipe' }), 'started');
    } catch (error) {
      // Without the compiler, an outdated build fails after the installation.
      assert.match(String((error as { stderr?: unknown }).stderr), /the build failed/);
    }
    return existsSync(join(root, 'called'));
  }

  const rows: readonly [name: string, packages: Packages | undefined, isBuilt: boolean, installs: boolean][] =
    [
      ['a fresh clone', undefined, true, true],
      ['every package', ALL, true, false],
      ['a package that an update added', { 'node_modules/typescript': TYPESCRIPT }, true, true],
      ['another version', { ...ALL, 'node_modules/express': { ...EXPRESS, version: '5.2.0' } }, true, true],
      [
        'other contents',
        { ...ALL, 'node_modules/express': { ...EXPRESS, integrity: 'sha512-z' } },
        true,
        true,
      ],
      ['pruned development packages, current build', { 'node_modules/express': EXPRESS }, true, false],
      ['pruned development packages, outdated build', { 'node_modules/express': EXPRESS }, false, true],
      [
        'a package that is no longer needed',
        { ...ALL, 'node_modules/old': { version: '1.0.0' } },
        true,
        false,
      ],
    ];
  for (const [name, packages, isBuilt, expected] of rows)
    it(`${expected ? 'installs' : 'installs nothing'} – ${name}`, () => {
      markBuilt(isBuilt);
      assert.equal(installs(packages), expected);
    });
});
