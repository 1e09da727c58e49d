// Says where answers differ from the recorded ones: by status, or by the shape and words of their JSON.
import { type Recorded } from './run.ts';

export interface Difference {
  readonly name: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Comparison {
  readonly total: number;
  readonly equal: number;
  readonly otherStatus: readonly Difference[];
  readonly otherShape: readonly Difference[];
}

export function compare(expected: readonly Recorded[], actual: readonly Recorded[]): Comparison {
  const byName = new Map(actual.map((answer) => [answer.name, answer]));
  const otherStatus: Difference[] = [];
  const otherShape: Difference[] = [];
  for (const want of expected) {
    const got = byName.get(want.name);
    const [wanted, given] = [shapeOf(want), got === undefined ? 'no such step' : shapeOf(got)];
    const difference = {
      name: want.name,
      expected: `${want.status} ${wanted}`,
      actual: `${got?.status ?? 0} ${given}`,
    };
    if (want.status !== got?.status) otherStatus.push(difference);
    else if (wanted !== given) otherShape.push(difference);
  }
  const equal = expected.length - otherStatus.length - otherShape.length;
  return { total: expected.length, equal, otherStatus, otherShape };
}

function shapeOf(answer: Recorded): string {
  return answer.json === undefined
    ? `text ${firstLine(answer.text ?? '')}`
    : JSON.stringify(masked(answer.json, ''));
}

/** Boundaries and times differ from run to run; the first line tells what kind of text it is. */
function firstLine(text: string): string {
  return (
    text
      .trim()
      .replaceAll(/[0-9a-f]{32}/g, '<hex32>')
      .split('\n', 1)[0]
      ?.slice(0, 60) ?? ''
  );
}

/** A value with what no two servers share taken out. Members are sorted; errors and reasons, names and keys are compared word by word. */
function masked(value: unknown, member: string): unknown {
  if (Array.isArray(value)) return inOrder(value).map((each) => masked(each, member));
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([name, each]) => [name, masked(each, name)]));
  }
  if (typeof value === 'string') return maskedText(value, member);
  return typeof value === 'number' ? '<number>' : value;
}

/** Changes come in the order of their shards; every other list has an order of its own. */
function inOrder(list: readonly unknown[]): readonly unknown[] {
  const idOf = (row: unknown) => (row as { seq?: unknown; id?: unknown } | null)?.id;
  const areChanges = list.every(
    (row) => typeof row === 'object' && row !== null && 'seq' in row && 'changes' in row,
  );
  return areChanges ? [...list].sort((a, b) => (String(idOf(a)) < String(idOf(b)) ? -1 : 1)) : list;
}

const OPAQUE: readonly [RegExp, string][] = [
  [/^\d+-[0-9a-f]{32}$/, '<revision>'],
  [/^[0-9a-f]{32}(\+continuous)?$/, '<hex32>'],
  [/^md5-/, '<digest>'],
  [/@127\.0\.0\.1$/, '<node>'],
  [/^https?:\/\//, '<url>'],
];

/** Members whose words are a server's own: versions, times, sequences. */
const OWN_WORDS =
  /seq$|time$|^(start|end)_time$|^version$|^git_sha$|^features$|^vendor$|^name$|^uuid$|^salt$|^derived_key$|signature|range$|versions$|^bookmark$/;

function maskedText(value: string, member: string): string {
  if (member === 'error' || member === 'reason') return value.slice(0, 160);
  if (OWN_WORDS.test(member)) return '<text>';
  return OPAQUE.find(([pattern]) => pattern.test(value))?.[1] ?? value;
}
