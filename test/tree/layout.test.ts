// Checks that the folders of test mirror those of src, and that CONTRIBUTING.md lists all others.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const foldersIn = (path: string): readonly string[] =>
  readdirSync(join(ROOT, path), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [entry.name] : [],
  );

/** Folders of test that test more than one folder of src. */
const CROSS_CUTTING = new Set([
  ...['browser', 'compare', 'compose', 'conformance', 'docs', 'fence', 'hostile', 'integration', 'matrix'],
  ...['property', 'support', 'tree'],
]);
const sources = new Set(foldersIn('src'));
const tests = foldersIn('test');
const contributing = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
const listed = [...contributing.matchAll(/^\|.*`test\/(\w+)\/`/gm)].map(([, name = '']) => name);

describe('the layout of the tests', () => {
  it('has a folder for one of src, or for what concerns several', () => {
    assert.deepEqual(
      tests.filter((name) => !sources.has(name) && !CROSS_CUTTING.has(name)),
      [],
    );
    assert.deepEqual(
      [...CROSS_CUTTING].filter((name) => !tests.includes(name)),
      [],
    );
  });

  it('has a line in CONTRIBUTING.md for each folder that concerns several', () => {
    assert.deepEqual([...listed].sort(), [...CROSS_CUTTING].sort());
  });

  it('names a test of one folder after the file that it tests', () => {
    // A test of several files of its folder has a name of its own.
    const ofSeveral = new Set(['cli/commands.test.ts', 'dashboard/build.test.ts']);
    const lost = tests
      .filter((folder) => sources.has(folder) && folder !== 'embedded')
      .flatMap((folder) => readdirSync(join(ROOT, 'test', folder)).map((name) => `${folder}/${name}`))
      .filter((path) => path.endsWith('.test.ts') && !ofSeveral.has(path))
      .filter((path) => !existsSync(join(ROOT, 'src', path.replace('.test.ts', '.ts'))));
    assert.deepEqual(lost, []);
  });
});
