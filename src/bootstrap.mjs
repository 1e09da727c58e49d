// Starts, tests or builds Couchgate from a fresh clone: installs dependencies and builds if necessary.
// Plain JavaScript without dependencies: it runs before they are installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LOCK = join(ROOT, 'package-lock.json');
const INSTALLED = join(ROOT, 'node_modules', '.package-lock.json');
const BUILT = join(ROOT, 'dist', '.built');
const OLDEST_NODE = [20, 19];

function stop(sentence) {
  process.stderr.write(`couchgate: ${sentence}\n`);
  process.exit(1);
}

function refuseOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  stop(`requires Node ${OLDEST_NODE.join('.')} or newer; this is Node ${process.versions.node}`);
}

function run(command, args, what) {
  // Output goes to stderr: stdout carries the access log.
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (error !== undefined || status !== 0)
    stop(`${what} failed${error === undefined ? '' : `: ${error.message}`}`);
}

/** Packages by path, or an empty object without the file. */
function packagesIn(lockFile) {
  return existsSync(lockFile) ? (JSON.parse(readFileSync(lockFile, 'utf8')).packages ?? {}) : {};
}

/**
 * True if node_modules has every package of the lock file in its version. npm records there what it has
 * installed. Packages for other platforms are optional; development packages may have been pruned.
 */
function isInstalled(needsDevelopment) {
  const installed = packagesIn(INSTALLED);
  return Object.entries(packagesIn(LOCK)).every(([path, wanted]) => {
    const found = installed[path];
    if (path === '' || wanted.link === true) return true;
    if (found === undefined)
      return wanted.optional === true || (!needsDevelopment && (wanted.dev || wanted.devOptional) === true);
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

function install(needsDevelopment) {
  if (existsSync(INSTALLED) && isInstalled(needsDevelopment)) return;
  process.stderr.write('couchgate: installing dependencies from the lock file\n');
  const npm = process.env['npm_execpath'];
  // Development dependencies include the compiler, so NODE_ENV=production must not omit them.
  const args = ['ci', '--no-audit', '--no-fund', '--include=dev'];
  if (npm !== undefined && /\.c?js$/.test(npm)) run(process.execPath, [npm, ...args], 'npm ci');
  else run('npm', args, 'npm ci');
}

function newestChange(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile())
      newest = Math.max(newest, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return newest;
}

/** Identifies the sources of a build. */
function buildStamp() {
  return String(newestChange(join(ROOT, 'src')));
}

function isBuilt() {
  return existsSync(BUILT) && readFileSync(BUILT, 'utf8') === buildStamp();
}

function build() {
  const stamp = buildStamp();
  process.stderr.write('couchgate: building\n');
  rmSync(BUILT, { force: true });
  const tools = [
    ['typescript/bin/tsc', '-p', 'src/tsconfig.build.json'],
    ['vite/bin/vite.js', 'build', '--config', 'src/dashboard/vite.config.ts', '--logLevel', 'warn'],
  ];
  for (const [tool, ...args] of tools)
    run(process.execPath, [join(ROOT, 'node_modules', tool), ...args], 'the build');
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  writeFileSync(BUILT, stamp);
}

async function test(patterns) {
  const { runTests, testFiles } = await import('../test/support/run-tests.mjs');
  const files = testFiles(ROOT, patterns);
  if (files.length === 0) stop(`no test file matches ${patterns.join(' ')}`);
  // Tests that start Couchgate as a process take the build: it starts in half the time of the sources.
  process.exit(runTests(ROOT, files, { TESTED_PROGRAM: join(ROOT, 'dist', 'main.js') }));
}

const [, , job, ...rest] = process.argv;
refuseOldNode();
// The build needs development packages: the compiler is one.
install(job !== 'start' || !isBuilt());
if (job === 'test') {
  if (!isBuilt()) build();
  await test(rest);
} else if (job === 'build') {
  build();
} else if (job === 'start') {
  if (!isBuilt()) build();
  const main = join(ROOT, 'dist', 'main.js');
  process.argv = [process.argv[0], main, ...rest];
  await import(pathToFileURL(main).href);
} else {
  stop('usage: node src/bootstrap.mjs start|test|build [arguments]');
}
