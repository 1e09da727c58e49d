// Reads and writes test/conformance/refusals/recorded.json: what a real CouchDB answers to each request of the comparison.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Answered, type CallerKind, CALLERS } from './answers.ts';

const FILE = join(import.meta.dirname, 'recorded.json');

export type Recorded = Readonly<Record<CallerKind, ReadonlyMap<string, Answered>>>;

/** By caller and answer, what gets it: the methods of a path in one line, as `GET,HEAD /db`. */
type Written = Record<string, Record<string, readonly string[]>>;

export function readRecorded(): Recorded {
  const written = JSON.parse(readFileSync(FILE, 'utf8')) as Written;
  const byCaller = Object.keys(CALLERS).map((caller) => [caller, linesOf(written[caller] ?? {})] as const);
  return Object.fromEntries(byCaller) as unknown as Recorded;
}

function linesOf(groups: Readonly<Record<string, readonly string[]>>): ReadonlyMap<string, Answered> {
  const answers = new Map<string, Answered>();
  for (const [answer, lines] of Object.entries(groups))
    for (const line of lines) {
      const [methods, rest] = splitAtBlank(line);
      for (const method of methods.split(','))
        answers.set(`${method} ${rest}`, JSON.parse(answer) as Answered);
    }
  return answers;
}

export function writeRecorded(recorded: Recorded): void {
  const written: Written = {};
  for (const [caller, answers] of Object.entries(recorded)) {
    const groups: Record<string, Map<string, string[]>> = {};
    for (const [line, answer] of answers) {
      const [method, rest] = splitAtBlank(line);
      const group = (groups[JSON.stringify(answer)] ??= new Map());
      group.set(rest, [...(group.get(rest) ?? []), method]);
    }
    written[caller] = Object.fromEntries(
      Object.entries(groups).map(([answer, paths]) => [
        answer,
        [...paths].map(([rest, methods]) => `${methods.join(',')} ${rest}`),
      ]),
    );
  }
  writeFileSync(FILE, `${JSON.stringify(written, null, 1)}\n`);
}

function splitAtBlank(line: string): readonly [string, string] {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}
