// Applies the rules of the source tree to src: directions of imports, packages, cycles, comments.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as rules from './rules.ts';
import { packageImportsOf, type SourceFile } from './source-file.ts';

const ROOT = join(import.meta.dirname, '../..');
const SRC = join(ROOT, 'src');

/**
 * What offends today, by the title of the rule: a path, a folder (`audit/`), or a cycle. The test fails for an
 * entry that offends no longer.
 */
const KNOWN_OFFENCES: Readonly<Record<string, readonly string[]>> = {};

/** Files that are long today, and how long each may be: an entry goes when its file is short. */
const LONG_FILES: Readonly<Record<string, number>> = {
  'backup/restore-store.ts': 350,
  'catalogue/catalogue.ts': 330,
  'config/settings.ts': 650,
  'permissions/cached-permission-store.ts': 390,
  'steps.ts': 320,
};

const filesIn = (folder: string): readonly SourceFile[] =>
  readdirSync(folder, { recursive: true })
    .map((path) => String(path).replaceAll('\\', '/'))
    .filter((path) => /\.m?tsx?$|\.mjs$/.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(folder, path), 'utf8') }));

/** The dashboard runs in the browser and has a compiler configuration of its own. */
const files = filesIn(SRC).filter(({ path }) => !path.startsWith('dashboard/'));
const dashboard = filesIn(join(SRC, 'dashboard'));

const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

const RULES: Readonly<Record<string, rules.Rule>> = {
  'has every folder in one of the lists of verbs, nouns and consumers': rules.foldersAreKnown,
  'lets no verb import another verb': rules.noVerbImportsAVerb,
  'lets nouns import nouns, the context, the end of a response and the errors only':
    rules.nounsImportNounsOnly,
  'lets folders reach up to closed-response.ts, context.ts, http-errors.ts and respond.ts only':
    rules.foldersReachUpToSharedFilesOnly,
  'lets only main.ts import cli': rules.nobodyImportsAConsumer,
  'lets only serve.ts load the embedded node, on demand': rules.onlyServeLoadsTheEmbeddedNode,
  'lets the embedded node import nothing of the proxy': rules.theEmbeddedNodeStandsAlone,
  'loads Express in app.ts only, and names its types in verbs and at the top only': rules.expressStaysInApp,
  'keeps each package in its folder': rules.packagesStayInTheirFolder,
  'imports only packages that are installed in production': rules.packagesAreDependencies(
    new Set(Object.keys(dependencies)),
  ),
  'has no cycle between folders': rules.foldersHaveNoCycle,
  'begins every file with a sentence': rules.filesBeginWithASentence,
  'begins no file with what is the business of another': rules.openingsHandNothingOver,
  'has no line of a comment longer than 110 columns': rules.commentsFitTheLine,
  'keeps app.ts under 80 lines of code': rules.appHoldsTheOrderOnly,
};

describe('the source tree', () => {
  it('is read at all', () => {
    assert.ok(files.length > 150, `only ${String(files.length)} files found under ${SRC}`);
  });

  it('has known offences of its rules only', () => {
    assert.deepEqual(
      Object.keys(KNOWN_OFFENCES).filter((title) => !(title in RULES)),
      [],
    );
  });

  for (const [title, rule] of Object.entries(RULES)) {
    it(title, () => {
      const offences = rule(files);
      const known = KNOWN_OFFENCES[title] ?? [];
      const covers = (entry: string, path: string): boolean =>
        path === entry || (entry.endsWith('/') && path.startsWith(entry));
      assert.deepEqual(
        offences
          .filter(({ path }) => !known.some((entry) => covers(entry, path)))
          .map(({ path, what }) => `${path}: ${what}`),
        [],
      );
      assert.deepEqual(
        known.filter((entry) => !offences.some(({ path }) => covers(entry, path))),
        [],
        'KNOWN_OFFENCES names what offends no longer',
      );
    });
  }

  it('has no line of a comment longer than 110 columns in test/support', () => {
    const offences = rules.commentsFitTheLine(filesIn(join(ROOT, 'test/support')));
    assert.deepEqual(offences, []);
  });

  it('keeps the code of the browser apart from that of the server', () => {
    assert.ok(dashboard.length > 10, 'files of the dashboard were found');
    assert.deepEqual(rules.browserCodeStandsAlone(dashboard), []);
    assert.deepEqual(rules.nobodyImportsBrowserCode(files), []);
    assert.deepEqual(rules.filesBeginWithASentence(dashboard), []);
    assert.deepEqual(rules.commentsFitTheLine(dashboard), []);
  });

  it('imports every dependency of package.json', () => {
    const imported = new Set(
      files.flatMap((file) => packageImportsOf(file).map((found) => found.packageName)),
    );
    assert.deepEqual(
      Object.keys(dependencies).filter((name) => !imported.has(name)),
      [],
    );
  });

  it('names owners of dependencies only', () => {
    assert.deepEqual(
      Object.keys(rules.PACKAGE_OWNERS).filter((name) => !(name in dependencies)),
      [],
    );
  });

  it('has no file of more than 300 lines, but for those that LONG_FILES names with a limit of their own', () => {
    const all = [...files, ...dashboard.map(({ path, text }) => ({ path: `dashboard/${path}`, text }))];
    assert.deepEqual(rules.filesAreShort(LONG_FILES)(all), []);
  });
});
