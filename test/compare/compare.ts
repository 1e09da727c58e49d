// Compares answers with the recorded ones by status, and by the structure and texts of their JSON.
import { type Recorded } from './run.ts';

/** One answer that differs; both sides as text. */
export interface Difference {
  readonly name: string;
  readonly expected: string;
  readonly actual: string;
}

/** The result of a comparison. */
export interface Comparison {
  /** Number of recorded answers. */
  readonly total: number;
  readonly equal: number;
  readonly otherStatus: readonly Difference[];
  /** Answers with the same status and different content. */
  readonly otherShape: readonly Difference[];
}

/** Compares the answers of a run with the recorded ones, by step name. */
export function compare(expected: readonly Recorded[], actual: readonly Recorded[]): Comparison {
  const byName = new Map(actual.map((answer) => [answer.name, answer]));
  const otherStatus: Difference[] = [];
  const otherShape: Difference[] = [];
  for (const recorded of expected) {
    const answer = byName.get(recorded.name);
    const [expectedShape, actualShape] = [
      shapeOf(recorded),
      answer === undefined ? 'no such step' : shapeOf(answer),
    ];
    const difference = {
      name: recorded.name,
      expected: `${recorded.status} ${expectedShape}`,
      actual: `${answer?.status ?? 0} ${actualShape}`,
    };
    if (recorded.status !== answer?.status) otherStatus.push(difference);
    else if (expectedShape !== actualShape) otherShape.push(difference);
  }
  const equal = expected.length - otherStatus.length - otherShape.length;
  return { total: expected.length, equal, otherStatus, otherShape };
}

function shapeOf(answer: Recorded): string {
  return answer.json === undefined
    ? `text ${firstLine(answer.text ?? '')}`
    : JSON.stringify(masked(answer.json, ''));
}

/**
 * The first line shows the kind of text. The rest contains boundaries and times, which differ in every run.
 */
function firstLine(text: string): string {
  return (
    text
      .trim()
      .replaceAll(/[0-9a-f]{32}/g, '<hex32>')
      .split('\n', 1)[0]
      ?.slice(0, 60) ?? ''
  );
}

/**
 * The value with sorted members and with placeholders for what differs between servers, such as numbers,
 * revisions and times. Errors, reasons and member names stay as they are.
 */
function masked(value: unknown, member: string): unknown {
  if (Array.isArray(value)) return sortedIfChanges(value).map((each) => masked(each, member));
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([name, each]) => [name, masked(each, name)]));
  }
  if (typeof value === 'string') return maskedText(value, member);
  return typeof value === 'number' ? '<number>' : value;
}

/** Sorts changes by document id, because their order depends on the shards. Other lists keep their order. */
function sortedIfChanges(list: readonly unknown[]): readonly unknown[] {
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

/** Members whose values differ between servers: versions, times, sequences. */
const SERVER_SPECIFIC =
  /seq$|time$|^(start|end)_time$|^version$|^git_sha$|^features$|^vendor$|^name$|^uuid$|^salt$|^derived_key$|signature|range$|versions$|^bookmark$/;

function maskedText(value: string, member: string): string {
  if (member === 'error' || member === 'reason') return value.slice(0, 160);
  if (SERVER_SPECIFIC.test(member)) return '<text>';
  return OPAQUE.find(([pattern]) => pattern.test(value))?.[1] ?? value;
}
