// Runs test files with node:test. Several files share one process: most of the time of a small file is the
// import of Couchgate.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Real nodes are slow, and shared by a process: each file has its own then. */
const FILES_PER_PROCESS = process.env['COUCHDB_HOME'] ? 1 : 6;
/** Those take longest, so they start first. */
const FIRST = ['test/browser', 'test/integration', 'test/hostile', 'test/property'];
/** Each file starts a browser of its own. */
const SEPARATE_FOLDERS = ['test/browser'];
/** What a file measures or replaces for its whole process. */
const SEPARATE =
  /memoryUsage|monitorEventLoopDelay|eventLoopUtilization|cpuUsage|mock\.timers|process\.chdir/;
/** For all files of a process, on a machine that does other things as well. */
const TIMEOUT_MS = 900_000;

/** The test files below `root` whose path has one of the patterns, or all; relative and sorted. */
export function testFiles(root, patterns) {
  return readdirSync(join(root, 'test'), { recursive: true })
    .map((file) => join('test', String(file)))
    .filter((file) => file.endsWith('.test.ts'))
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
}

/** Divides files by process: only files of one folder share one. */
export function byProcess(root, files) {
  const folders = new Map(FIRST.map((folder) => [folder, []]));
  const processes = [];
  for (const file of files) {
    const folder = dirname(file);
    const isSeparate =
      SEPARATE_FOLDERS.includes(folder) || SEPARATE.test(readFileSync(join(root, file), 'utf8'));
    if (isSeparate) processes.push([file]);
    else folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  for (const inFolder of folders.values()) {
    const count = Math.ceil(inFolder.length / FILES_PER_PROCESS);
    // Neighbours have the same subject and often the same duration, so they go to different processes.
    for (let at = 0; at < count; at += 1) processes.push(inFolder.filter((_, index) => index % count === at));
  }
  return processes;
}

/** Runs the files; returns the exit code. `env` = variables besides those of this process. */
export function runTests(root, files, env) {
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-tests-'));
  try {
    const entries = byProcess(root, files).map((together, index) => {
      if (together.length === 1) return together[0];
      const entry = join(folder, `${String(index).padStart(3, '0')}.test.mjs`);
      const imports = together.map(
        (file) => `import ${JSON.stringify(pathToFileURL(join(root, file)).href)};\n`,
      );
      writeFileSync(entry, imports.join(''));
      return entry;
    });
    const args = [
      ...['--import', 'tsx', '--test', '--test-reporter=spec'],
      // One more than cores: a process that waits for a timer leaves its core to another.
      `--test-concurrency=${availableParallelism() + 1}`,
      `--test-timeout=${TIMEOUT_MS}`,
      ...entries,
    ];
    const options = { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } };
    return spawnSync(process.execPath, args, options).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
