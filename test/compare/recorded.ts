// The answers of a real CouchDB 3.5.0, one node with q=1, as recorded.json holds them.
import { readFileSync, writeFileSync } from 'node:fs';
import { type Recorded } from './run.ts';

const FILE = new URL('recorded.json', import.meta.url);

export function readRecorded(): readonly Recorded[] {
  return JSON.parse(readFileSync(FILE, 'utf8')) as readonly Recorded[];
}

/** One answer a line, so that a new recording shows what changed. */
export function writeRecorded(answers: readonly Recorded[]): void {
  writeFileSync(FILE, `[\n${answers.map((answer) => JSON.stringify(answer)).join(',\n')}\n]\n`);
}
