// Reads and writes recorded.json: the answers of a real CouchDB 3.5.0, one node with q=1.
import { readFileSync, writeFileSync } from 'node:fs';
import { type Recorded } from './run.ts';

const FILE = new URL('recorded.json', import.meta.url);

/** The recorded answers, in the order of the steps. */
export function readRecorded(): readonly Recorded[] {
  return JSON.parse(readFileSync(FILE, 'utf8')) as readonly Recorded[];
}

/** Replaces the recording. The file has one answer per line, so that `git diff` shows the changed ones. */
export function writeRecorded(answers: readonly Recorded[]): void {
  writeFileSync(FILE, `[\n${answers.map((answer) => JSON.stringify(answer)).join(',\n')}\n]\n`);
}
