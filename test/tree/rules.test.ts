// Shows for each rule of the source tree, on invented files, what it finds and what it lets pass.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as rules from './rules.ts';

type Files = Readonly<Record<string, string>>;

const offences = (rule: rules.Rule, files: Files): readonly string[] =>
  rule(Object.entries(files).map(([path, text]) => ({ path, text }))).map(
    ({ path, what }) => `${path}: ${what}`,
  );

interface Case {
  readonly rule: keyof typeof rules;
  readonly name: string;
  readonly files: Files;
  /** Empty: permitted. */
  readonly found: readonly string[];
}

const importing = (name: string): string => `import { x } from '${name}';\nexport const y = x;\n`;
const importingType = (name: string): string => `import { type X } from '${name}';\nexport type Y = X;\n`;

const CASES: readonly Case[] = [
  {
    rule: 'browserCodeStandsAlone',
    name: 'an import of the server or of Node',
    files: {
      'pages/keys/a.tsx': importing('../../../config/b.ts'),
      'pages/keys/b.tsx': importing('../../parts/c.tsx'),
      'api/d.ts': importing('node:fs'),
      'vite.config.ts': importing('node:zlib'),
    },
    found: ['pages/keys/a.tsx: imports ../../../config/b.ts', 'api/d.ts: imports node:fs'],
  },
  {
    rule: 'nobodyImportsBrowserCode',
    name: 'an import of the dashboard by the server',
    files: {
      'answer/a.ts': importing('../dashboard/api/http.ts'),
      'answer/b.ts': importing('./dashboard.ts'),
    },
    found: ['answer/a.ts: imports ../dashboard/api/http.ts'],
  },
  {
    rule: 'foldersAreKnown',
    name: 'a folder in none of the lists',
    files: { 'misc/a.ts': '', 'audit/a.ts': '', 'body/a.ts': '', 'cli/a.ts': '', 'a.ts': '' },
    found: ['misc/a.ts: is in a folder that is neither verb, noun nor consumer'],
  },
  {
    rule: 'noVerbImportsAVerb',
    name: 'an import of another step',
    files: { 'guard/a.ts': importing('../answer/b.ts') },
    found: ['guard/a.ts: imports ../answer/b.ts'],
  },
  {
    rule: 'noVerbImportsAVerb',
    name: 'a type of another step, over several lines',
    files: { 'guard/a.ts': `import {\n  type X,\n  type Y,\n} from '../answer/b.ts';\n` },
    found: ['guard/a.ts: imports ../answer/b.ts'],
  },
  {
    rule: 'noVerbImportsAVerb',
    name: 'an export from another step, and one on demand',
    files: { 'guard/a.ts': `export * from '../audit/b.ts';\nvoid import('../admit/c.ts');\n` },
    found: ['guard/a.ts: imports ../audit/b.ts', 'guard/a.ts: imports ../admit/c.ts'],
  },
  {
    rule: 'noVerbImportsAVerb',
    name: 'a type that is imported where it is used',
    files: { 'guard/a.ts': `export let x: import('../answer/b.ts').X;\n` },
    found: ['guard/a.ts: imports ../answer/b.ts'],
  },
  {
    rule: 'noVerbImportsAVerb',
    name: 'its own folder, a noun, and an import in a comment',
    files: {
      'guard/a.ts': `${importing('./b.ts')}${importing('../body/c.ts')}// import x from '../audit/d.ts'\n`,
    },
    found: [],
  },
  {
    rule: 'nounsImportNounsOnly',
    name: 'a verb, services, respond.ts and a consumer',
    files: {
      'body/a.ts': importing('../forward/b.ts'),
      'couch/a.ts': importing('../services.ts'),
      'identity/a.ts': importing('../respond.ts'),
      'config/a.ts': importing('../cli/b.ts'),
    },
    found: [
      'body/a.ts: imports ../forward/b.ts',
      'couch/a.ts: imports ../services.ts',
      'identity/a.ts: imports ../respond.ts',
      'config/a.ts: imports ../cli/b.ts',
    ],
  },
  {
    rule: 'nounsImportNounsOnly',
    name: 'another noun, the context and the errors',
    files: { 'body/a.ts': ['../limits/b.ts', '../context.ts', '../http-errors.ts'].map(importing).join('') },
    found: [],
  },
  {
    rule: 'foldersReachUpToSharedFilesOnly',
    name: 'a verb that reaches for services',
    files: { 'answer/a.ts': importing('../services.ts') + importing('../respond.ts') },
    found: ['answer/a.ts: imports ../services.ts'],
  },
  {
    rule: 'nobodyImportsAConsumer',
    name: 'a step that imports a command',
    files: { 'audit/a.ts': importing('../cli/b.ts'), 'main.ts': importing('./cli/b.ts') },
    found: ['audit/a.ts: imports ../cli/b.ts'],
  },
  {
    rule: 'onlyServeLoadsTheEmbeddedNode',
    name: 'another file, even a type of it, and serve.ts at once',
    files: {
      'run.ts': importingType('./embedded/index.ts'),
      'serve.ts': importing('./embedded/index.ts'),
    },
    found: ['run.ts: imports ./embedded/index.ts', 'serve.ts: imports ./embedded/index.ts'],
  },
  {
    rule: 'onlyServeLoadsTheEmbeddedNode',
    name: 'serve.ts on demand, and its types',
    files: {
      'serve.ts': `import type { X } from './embedded/index.ts';\nexport const y = await import('./embedded/index.ts') as X;\n`,
    },
    found: [],
  },
  {
    rule: 'theEmbeddedNodeStandsAlone',
    name: 'knowledge of the proxy',
    files: { 'embedded/a.ts': importing('../identity/b.ts') + importing('../http-errors.ts') },
    found: ['embedded/a.ts: imports ../identity/b.ts'],
  },
  {
    rule: 'expressStaysInApp',
    name: 'Express in a step, its types in a noun',
    files: { 'answer/a.ts': importing('express'), 'body/a.ts': importingType('express') },
    found: ['answer/a.ts: imports express', 'body/a.ts: imports express'],
  },
  {
    rule: 'expressStaysInApp',
    name: 'one value among its types',
    files: { 'answer/a.ts': `import { type Request, Router } from 'express';\n` },
    found: ['answer/a.ts: imports express'],
  },
  {
    rule: 'expressStaysInApp',
    name: 'app.ts, and types in steps and at the top',
    files: {
      'app.ts': importing('express'),
      'compose.ts': importingType('express'),
      'answer/a.ts': `import type { Request } from 'express';\n`,
    },
    found: [],
  },
  ...Object.entries(rules.PACKAGE_OWNERS).map(([name, owners]) => ({
    rule: 'packagesStayInTheirFolder' as const,
    name: `${name} outside ${owners.join(' and ')}, even a type of it`,
    files: {
      'permissions/a.ts': importing(name),
      'run.ts': importingType(name),
      ...Object.fromEntries(owners.map((owner) => [`${owner}/a.ts`, importing(name)])),
    },
    found: [`permissions/a.ts: imports ${name}`, `run.ts: imports ${name}`],
  })),
  {
    rule: 'packagesStayInTheirFolder',
    name: 'a file of a package, a package that was required, and an unknown one',
    files: {
      'body/a.ts': importing('undici/lib/x.js') + `export const p = require('http-proxy');\n`,
      'couch/a.ts': importing('@scope/unknown'),
    },
    found: [
      'body/a.ts: imports undici/lib/x.js',
      'body/a.ts: imports http-proxy',
      'couch/a.ts: imports @scope/unknown',
    ],
  },
  {
    rule: 'packagesStayInTheirFolder',
    name: 'lru-cache anywhere, and modules of Node',
    files: { 'forward/a.ts': importing('lru-cache') + importing('node:http') },
    found: [],
  },
  {
    rule: 'foldersHaveNoCycle',
    name: 'a cycle of three, one import of it a type',
    files: {
      'couch/a.ts': importing('../limits/a.ts'),
      'limits/a.ts': importing('./b.ts'),
      'limits/b.ts': importingType('../principal/a.ts'),
      'principal/a.ts': importing('../couch/b.ts'),
      'body/a.ts': importing('../couch/a.ts'),
    },
    found: [
      'couch → limits → principal → couch: couch/a.ts imports limits/a.ts, limits/b.ts imports principal/a.ts, principal/a.ts imports couch/b.ts',
    ],
  },
  {
    rule: 'foldersHaveNoCycle',
    name: 'two cycles that share a folder',
    files: {
      'body/a.ts': importing('../couch/a.ts') + importing('../limits/a.ts'),
      'couch/a.ts': importing('../body/b.ts'),
      'limits/a.ts': importing('../body/b.ts'),
    },
    found: [
      'body → couch → body: body/a.ts imports couch/a.ts, couch/a.ts imports body/b.ts',
      'body → limits → body: body/a.ts imports limits/a.ts, limits/a.ts imports body/b.ts',
    ],
  },
  {
    rule: 'foldersHaveNoCycle',
    name: 'a cycle of files at the top',
    files: { 'a.ts': importing('./b.ts'), 'b.ts': importing('./a.ts') },
    found: ['a.ts → b.ts → a.ts: a.ts imports b.ts, b.ts imports a.ts'],
  },
  {
    rule: 'foldersHaveNoCycle',
    name: 'two ways to one folder, and files of one folder that import each other',
    files: {
      'body/a.ts': importing('./b.ts') + importing('../couch/a.ts'),
      'body/b.ts': importing('./a.ts') + importing('../limits/a.ts'),
      'couch/a.ts': importing('../limits/a.ts'),
    },
    found: [],
  },
  {
    rule: 'filesBeginWithASentence',
    name: 'no comment, a bare one, too few words, no full stop, a comment that comes later',
    files: {
      'a.ts': 'export {};\n',
      'b.ts': '//\nexport {};\n',
      'c.ts': '// Reads bodies.\nexport {};\n',
      'd.ts': '// What reads the bodies of requests\nexport {};\n',
      'e.ts': '\n// Reads the bodies of requests.\nexport {};\n',
      'f.ts': '// --- – 1 2 3 4 .\nexport {};\n',
      'g.ts': '#!/usr/bin/env node\nexport {};\n',
    },
    found: [
      'a.ts: does not begin with a // comment',
      'b.ts: begins with fewer than 4 words',
      'c.ts: begins with fewer than 4 words',
      'd.ts: begins with a comment that is no sentence',
      'e.ts: does not begin with a // comment',
      'f.ts: begins with fewer than 4 words',
      'g.ts: does not begin with a // comment',
    ],
  },
  {
    rule: 'filesBeginWithASentence',
    name: 'one sentence, one over two lines, and one below #!',
    files: {
      'a.ts': '// Reads the bodies of requests.\nexport {};\n',
      'b.ts': '// Reads the\n// bodies of requests.\nexport {};\n',
      'c.ts': '#!/usr/bin/env node\n// Reads the bodies of requests.\nexport {};\n',
    },
    found: [],
  },
  {
    rule: 'openingsHandNothingOver',
    name: 'a hand-off in the first line and one in the second',
    files: {
      'a.ts': "// Reads bodies as they come. Parsing them is parse.ts's business.\nexport {};\n",
      'b.ts': '// Reads bodies as they come. Parsing them is\n// the business of parse.ts.\nexport {};\n',
      'c.ts': "// Reads bodies as they come.\nexport {};\n// Parsing them is parse.ts's business.\n",
    },
    found: [
      'a.ts: begins by saying whose business something is',
      'b.ts: begins by saying whose business something is',
    ],
  },
  {
    rule: 'commentsFitTheLine',
    name: 'a line, a line of a block, and a comment behind code',
    files: {
      'a.ts': `// ${'x'.repeat(108)}\n`,
      'b.ts': `/**\n * short\n * ${'é'.repeat(108)}\n */\nexport {};\n`,
      'c.ts': `f('${'x'.repeat(60)}'); // ${'y'.repeat(60)}\n`,
      'd.ts': `function f() {\n  // ${'x'.repeat(110)}\n}\n`,
    },
    found: [
      'a.ts: line 1 has 111 columns',
      'b.ts: line 3 has 111 columns',
      'c.ts: line 1 has 130 columns',
      'd.ts: line 2 has 115 columns',
    ],
  },
  {
    rule: 'commentsFitTheLine',
    name: '110 columns, and a long string that looks like a comment',
    files: {
      'a.ts': `// ${'é'.repeat(107)}\nf('// ${'x'.repeat(120)}');\nf(\`\n// ${'x'.repeat(120)}\`);\n`,
    },
    found: [],
  },
  {
    rule: 'appHoldsTheOrderOnly',
    name: '81 lines of code in app.ts alone',
    files: {
      'app.ts': `// The order of steps.\n\n${'f();\n'.repeat(81)}`,
      'run.ts': 'f();\n'.repeat(200),
    },
    found: ['app.ts: has 81 lines of code'],
  },
  {
    rule: 'appHoldsTheOrderOnly',
    name: '80 lines of code, and comments',
    files: { 'app.ts': `/**\n * Steps.\n */\n${'f();\n// g\n'.repeat(80)}` },
    found: [],
  },
];

describe('a rule of the source tree', () => {
  for (const { rule, name, files, found } of CASES)
    it(`${rule} ${found.length === 0 ? 'permits' : 'finds'} ${name}`, () => {
      assert.deepEqual(offences(rules[rule] as rules.Rule, files), found);
    });

  it('packagesAreDependencies finds a package that is not installed in production', () => {
    const rule = rules.packagesAreDependencies(new Set(['nano']));
    assert.deepEqual(
      offences(rule, { 'couch/a.ts': importing('nano') + importing('fs') + importing('node:fs') }),
      ['couch/a.ts: imports fs'],
    );
  });

  it('filesAreShort finds a file that is too long, and a limit that no file needs', () => {
    const rule = rules.filesAreShort({
      'a/table.ts': 310,
      'a/grown.ts': 310,
      'a/short.ts': 310,
      'a/gone.ts': 310,
    });
    const lines = (count: number): string => 'f();\n'.repeat(count);
    assert.deepEqual(
      offences(rule, {
        'a/table.ts': lines(310),
        'a/grown.ts': lines(311),
        'a/short.ts': lines(300),
        'a/other.ts': lines(301),
        'a/fine.ts': lines(300),
      }),
      [
        'a/grown.ts: has 311 lines, at most 310 are allowed',
        'a/other.ts: has 301 lines, at most 300 are allowed',
        'a/short.ts: has no more than 300 lines: it needs no limit of its own',
        'a/gone.ts: has no more than 300 lines: it needs no limit of its own',
      ],
    );
  });

  it('is shown here, whichever it is', () => {
    const shown = new Set<string>(CASES.map(({ rule }) => rule));
    shown.add('packagesAreDependencies').add('filesAreShort');
    assert.deepEqual(
      Object.entries(rules)
        .filter(([name, value]) => typeof value === 'function' && !shown.has(name))
        .map(([name]) => name),
      [],
    );
  });
});
