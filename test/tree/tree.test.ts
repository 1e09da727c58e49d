// Holds the source tree to its own rules: which way imports point, who may use which package, how long a file may be.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';

const SRC = join(import.meta.dirname, '../../src');
const VERBS = new Set([
  'listen',
  'admit',
  'classify',
  'authenticate',
  'authorize',
  'forward',
  'handle',
  'audit',
]);
const NOUNS = new Set(['endpoints', 'permissions', 'identity', 'couch', 'config', 'setup']);
/** Packages that one folder alone may import. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'http-proxy': ['forward'],
  nano: ['couch'],
  undici: ['couch'],
  helmet: ['listen'],
  'rate-limiter-flexible': ['identity'],
  'prom-client': ['audit'],
  'quickjs-emscripten': ['embedded'],
  'pouchdb-core': ['embedded'],
};
/** Files at the top that every folder may read: values and shapes, no behaviour of a request. */
const COMMON = new Set(['context.ts', 'http-errors.ts', 'respond.ts']);

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly lines: readonly string[];
  readonly imports: readonly string[];
}

const files: readonly SourceFile[] = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  .map((path) => {
    const text = readFileSync(join(SRC, path), 'utf8');
    const imports = [...text.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)';|^import '([^']+)';/gms)].map(
      (m) => m[1] ?? m[2] ?? '',
    );
    return {
      path,
      folder: path.includes('/') ? (path.split('/')[0] ?? '') : '',
      lines: text.split('\n'),
      imports,
    };
  });

const local = (file: SourceFile): readonly string[] =>
  file.imports
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(SRC, join(SRC, dirname(file.path), name)));

const folderOf = (path: string): string => (path.includes('/') ? (path.split('/')[0] ?? '') : '');

/** Comments do not count: a docstring must not force a split. */
function codeLines({ lines }: SourceFile): number {
  return lines.filter((line) => !/^\s*(?:\/\/|\/\*\*|\*)/.test(line)).length;
}

function offences(rule: (file: SourceFile) => readonly string[]): readonly string[] {
  return files.flatMap((file) => rule(file).map((offence) => `${file.path}: ${offence}`));
}

describe('the source tree', () => {
  it('is read at all', () => {
    assert.ok(files.length > 10, `only ${String(files.length)} files found under ${SRC}`);
  });

  it('lets no verb import another verb', () => {
    assert.deepEqual(
      offences((file) =>
        VERBS.has(file.folder)
          ? local(file).filter((path) => VERBS.has(folderOf(path)) && folderOf(path) !== file.folder)
          : [],
      ),
      [],
    );
  });

  it('lets no noun import a verb, services, or Express', () => {
    assert.deepEqual(
      offences((file) => {
        if (!NOUNS.has(file.folder)) return [];
        const up = local(file).filter((path) => !NOUNS.has(folderOf(path)) && !COMMON.has(path));
        return [...up, ...file.imports.filter((name) => name === 'express')];
      }),
      [],
    );
  });

  it('lets the folders reach up only to the record of the request, its errors and its answers', () => {
    assert.deepEqual(
      offences((file) =>
        file.folder === '' ? [] : local(file).filter((path) => folderOf(path) === '' && !COMMON.has(path)),
      ),
      [],
    );
  });

  it('keeps each owned package in its folder', () => {
    assert.deepEqual(
      offences((file) =>
        file.imports.filter((name) => OWNERS[name] !== undefined && !OWNERS[name].includes(file.folder)),
      ),
      [],
    );
  });

  it('lets only serve.ts know the embedded node', () => {
    assert.deepEqual(
      offences((file) =>
        file.folder === 'embedded' || file.path === 'serve.ts'
          ? []
          : local(file).filter((path) => folderOf(path) === 'embedded'),
      ),
      [],
    );
  });

  it('opens every file with a sentence that says what it decides', () => {
    assert.deepEqual(
      offences((file) => (/^(\/\/|#!)/.test(file.lines[0] ?? '') ? [] : ['no opening sentence'])),
      [],
    );
  });

  it('keeps app.ts under 80 lines of code and every other file under 200, the tables of settings and endpoints excepted', () => {
    const tables = new Set(['config/settings.ts', 'catalogue/catalogue.ts']);
    const limit = (path: string): number => (path === 'app.ts' ? 80 : tables.has(path) ? 600 : 201);
    assert.deepEqual(
      offences((file) =>
        codeLines(file) > limit(file.path) ? [`${String(codeLines(file))} lines of code`] : [],
      ),
      [],
    );
  });
});
