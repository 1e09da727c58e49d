// The rules of the source tree. Each is a pure function from the files of src to its offences, so that a test can
// show on an invented file that the rule finds what it forbids.
import { folderCycles } from './cycles.ts';
import {
  commentsOf,
  folderOf,
  importsOf,
  localImportsOf,
  packageImportsOf,
  type Import,
  type SourceFile,
} from './source-file.ts';

export interface Offence {
  readonly path: string;
  readonly what: string;
}

export type Rule = (files: readonly SourceFile[]) => readonly Offence[];

/** Steps of a request. */
export const VERBS = new Set([
  ...['listen', 'admit', 'classify', 'authenticate', 'authorize', 'guard', 'answer', 'forward', 'audit'],
]);
/** What the steps know and use. */
export const NOUNS = new Set([
  ...['body', 'catalogue', 'permissions', 'identity', 'principal', 'invalidation', 'revocation'],
  ...['limits', 'cluster', 'couch', 'config', 'setup', 'json', 'backup', 'export'],
]);
/** Programs beside the proxy. */
export const CONSUMERS = new Set(['cli', 'embedded']);

/** Files directly in src that folders may import: the context of a request, its end, its errors, and how answers are written. */
const SHARED_BY_NOUNS = new Set(['closed-response.ts', 'context.ts', 'http-errors.ts']);
const SHARED = new Set([...SHARED_BY_NOUNS, 'respond.ts']);

/** The folders that may import a package, and the files directly in src that may. */
export const PACKAGE_OWNERS: Readonly<Record<string, readonly string[]>> = {
  'cli-progress': ['cli'],
  croner: ['config'],
  'csv-stringify': ['export'],
  helmet: ['listen'],
  'http-proxy': ['forward'],
  'ipaddr.js': ['config', 'guard'],
  nano: ['couch'],
  'node-cache': ['invalidation'],
  pino: ['audit'],
  'pouchdb-abstract-mapreduce': ['embedded'],
  'pouchdb-adapter-http': ['embedded'],
  'pouchdb-adapter-leveldb': ['embedded'],
  'pouchdb-adapter-memory': ['embedded'],
  'pouchdb-core': ['embedded'],
  'pouchdb-find': ['embedded'],
  'pouchdb-replication': ['embedded'],
  'prom-client': ['audit'],
  'quickjs-emscripten': ['embedded'],
  'rate-limiter-flexible': ['limits'],
  'sonic-boom': ['audit'],
  undici: ['couch', 'forward'],
  yaml: ['cli', 'config'],
};
/** Packages that every folder may import. */
export const COMMON_PACKAGES = new Set(['lru-cache']);

function eachImport<T extends Import>(
  read: (file: SourceFile) => readonly T[],
  offends: (folder: string, found: T, file: SourceFile) => boolean,
): Rule {
  return (files) =>
    files.flatMap((file) =>
      read(file)
        .filter((found) => offends(folderOf(file.path), found, file))
        .map(({ name }) => ({ path: file.path, what: `imports ${name}` })),
    );
}

export const foldersAreKnown: Rule = (files) =>
  files
    .filter(({ path }) => {
      const folder = folderOf(path);
      return folder !== '' && !VERBS.has(folder) && !NOUNS.has(folder) && !CONSUMERS.has(folder);
    })
    .map(({ path }) => ({ path, what: 'is in a folder that is neither verb, noun nor consumer' }));

export const noVerbImportsAVerb: Rule = eachImport(
  localImportsOf,
  (folder, { path }) => VERBS.has(folder) && VERBS.has(folderOf(path)) && folderOf(path) !== folder,
);

export const nounsImportNounsOnly: Rule = eachImport(
  localImportsOf,
  (folder, { path }) => NOUNS.has(folder) && !NOUNS.has(folderOf(path)) && !SHARED_BY_NOUNS.has(path),
);

export const foldersReachUpToSharedFilesOnly: Rule = eachImport(
  localImportsOf,
  (folder, { path }) => folder !== '' && folderOf(path) === '' && !SHARED.has(path),
);

export const nobodyImportsAConsumer: Rule = eachImport(
  localImportsOf,
  (folder, { path }, file) => folderOf(path) === 'cli' && folder !== 'cli' && file.path !== 'main.ts',
);

/** Loading the embedded node costs memory and start-up time, so that only a start without CouchDB does it. */
export const onlyServeLoadsTheEmbeddedNode: Rule = eachImport(
  localImportsOf,
  (folder, { path, dynamic, typeOnly }, file) =>
    folderOf(path) === 'embedded' &&
    folder !== 'embedded' &&
    !(file.path === 'serve.ts' && (dynamic || typeOnly)),
);

/** It may share the reading and writing of JSON, which knows nothing of the proxy. */
export const theEmbeddedNodeStandsAlone: Rule = eachImport(
  localImportsOf,
  (folder, { path }) =>
    folder === 'embedded' && !['embedded', 'json'].includes(folderOf(path)) && !SHARED.has(path),
);

/** Paths are relative to src/dashboard. Only the configuration of its build may use Node. */
export const browserCodeStandsAlone: Rule = (files) => [
  ...eachImport(localImportsOf, (_, { path }) => path.startsWith('../'))(files),
  ...eachImport(
    importsOf,
    (_, { name }, file) => name.startsWith('node:') && file.path !== 'vite.config.ts',
  )(files),
];

export const nobodyImportsBrowserCode: Rule = eachImport(
  localImportsOf,
  (_, { path }) => folderOf(path) === 'dashboard',
);

/** app.ts makes the application; verbs and the files directly in src may name Express's types. */
export const expressStaysInApp: Rule = eachImport(
  importsOf,
  (folder, { name, typeOnly }, file) =>
    (name === 'express' || name.startsWith('express/')) &&
    file.path !== 'app.ts' &&
    !(typeOnly && (folder === '' || VERBS.has(folder))),
);

export const packagesStayInTheirFolder: Rule = eachImport(
  packageImportsOf,
  (folder, { packageName }) =>
    packageName !== 'express' &&
    !COMMON_PACKAGES.has(packageName) &&
    PACKAGE_OWNERS[packageName]?.includes(folder) !== true,
);

/** Modules of Node by the prefix `node:`, so that no package can stand in their place. */
export const packagesAreDependencies =
  (dependencies: ReadonlySet<string>): Rule =>
  (files) =>
    eachImport(packageImportsOf, (_, { packageName }) => !dependencies.has(packageName))(files);

export const foldersHaveNoCycle: Rule = (files) =>
  [...folderCycles(files)].map(([cycle, imports]) => ({ path: cycle, what: imports.join(', ') }));

/** The comment that a file begins with, its lines joined; undefined without one. A first line `#!…` is skipped. */
function openingOf({ text }: SourceFile): string | undefined {
  const lines = text.split('\n').slice(text.startsWith('#!') ? 1 : 0);
  const end = lines.findIndex((line) => !line.startsWith('//'));
  if (end === 0) return undefined;
  return lines
    .slice(0, end)
    .map((line) => line.slice(2).trim())
    .join(' ');
}

const LEAST_WORDS = 4;

export const filesBeginWithASentence: Rule = (files) =>
  files.flatMap((file) => {
    const opening = openingOf(file);
    const fault =
      opening === undefined
        ? 'does not begin with a // comment'
        : opening.split(/\s+/).filter((word) => /\p{L}/u.test(word)).length < LEAST_WORDS
          ? `begins with fewer than ${LEAST_WORDS} words`
          : !/[.!?](?:\s|$)/.test(opening)
            ? 'begins with a comment that is no sentence'
            : undefined;
    return fault === undefined ? [] : [{ path: file.path, what: fault }];
  });

/** "… is client.ts's business" says what a file does not do; imports and names show that. */
export const openingsHandNothingOver: Rule = (files) =>
  files
    .filter((file) => /\bbusiness\b/i.test(openingOf(file) ?? ''))
    .map(({ path }) => ({ path, what: 'begins by saying whose business something is' }));

const COLUMNS = 110;

const columnsOf = (line: string): number => Array.from(line).length;

export const commentsFitTheLine: Rule = (files) =>
  files.flatMap((file) => {
    const lines = file.text.split('\n');
    if (lines.every((line) => columnsOf(line) <= COLUMNS)) return [];
    const commented = new Set(
      commentsOf(file).flatMap(({ line, text }) => text.split('\n').map((_, at) => line + at)),
    );
    return lines.flatMap((line, at) =>
      commented.has(at) && columnsOf(line) > COLUMNS
        ? [{ path: file.path, what: `line ${at + 1} has ${columnsOf(line)} columns` }]
        : [],
    );
  });

/** The lines of a file that are neither empty nor comments. */
const codeLinesOf = ({ text }: SourceFile): number =>
  text.split('\n').filter((line) => line.trim() !== '' && !/^\s*(?:\/\/|\/\*|\*)/.test(line)).length;

export const appHoldsTheOrderOnly: Rule = (files) =>
  files
    .filter((file) => file.path === 'app.ts' && codeLinesOf(file) > 80)
    .map((file) => ({ path: file.path, what: `has ${codeLinesOf(file)} lines of code` }));

const MAX_LINES = 300;

/**
 * A file is short, or it is named with a limit of its own, which it keeps. A name of a file that is short, or
 * of no file, offends too: so the list cannot become one of permissions.
 */
export const filesAreShort =
  (long: Readonly<Record<string, number>>): Rule =>
  (files) => {
    const lines = new Map(files.map(({ path, text }) => [path, text.split('\n').length - 1]));
    const tooLong = [...lines].flatMap(([path, count]) => {
      const most = long[path] ?? MAX_LINES;
      return count > most ? [{ path, what: `has ${count} lines, at most ${most} are allowed` }] : [];
    });
    const unneeded = Object.keys(long)
      .filter((path) => (lines.get(path) ?? 0) <= MAX_LINES)
      .map((path) => ({ path, what: `has no more than ${MAX_LINES} lines: it needs no limit of its own` }));
    return [...tooLong, ...unneeded];
  };
