// Selects lines of the access log by caller, database, operation, decision, status, address and time.
import { quote } from './line.ts';

export type LogLine = Readonly<Record<string, unknown>>;

/** The conditions by name, as text; all must hold. docs/audit-log.md, "Search it". */
export interface Conditions {
  readonly principal?: string | undefined;
  readonly database?: string | undefined;
  readonly operation?: string | undefined;
  readonly decision?: string | undefined;
  readonly status?: string | undefined;
  readonly address?: string | undefined;
  readonly management?: boolean | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  /** Operations whose lines are left out, with commas between. */
  readonly without?: string | undefined;
}

export interface LineFilter {
  readonly fits: (line: LogLine) => boolean;
  /** Text that every line that fits contains, as the log writes it: most lines need not be parsed. */
  readonly needles: readonly string[];
  /** Milliseconds since 1970; older lines do not fit. */
  readonly since: number | undefined;
}

/** Thrown for an invalid condition: its name, and a sentence that continues it. */
export class InvalidCondition extends Error {
  readonly condition: string;
  readonly problem: string;

  constructor(condition: string, problem: string) {
    super(`${condition} ${problem}`);
    this.condition = condition;
    this.problem = problem;
  }
}

/** Builds the filter. `now` in milliseconds since 1970. Throws InvalidCondition. */
export function lineFilter(conditions: Conditions, now: number): LineFilter {
  const { principal, database, operation, decision, status, address, management, without } = conditions;
  const tests: ((line: LogLine) => boolean)[] = [];
  const needles: string[] = [];
  const equal = (field: string, wanted: string | undefined): void => {
    if (wanted === undefined) return;
    tests.push((line) => line[field] === wanted);
    needles.push(`"${field}":${quote(wanted)}`);
  };
  if (decision !== undefined && decision !== 'allow' && decision !== 'deny')
    throw new InvalidCondition('decision', 'must be allow or deny');
  if (principal !== undefined) {
    tests.push((line) => line['principal'] === principal || line['loginName'] === principal);
    needles.push(`:${quote(principal)}`);
  }
  equal('dbName', database);
  equal('decision', decision);
  equal('clientIp', address);
  if (operation !== undefined) {
    tests.push((line) => line['operation'] === operation || line['requestClass'] === operation);
    needles.push(`:${quote(operation)}`);
  }
  if (without !== undefined) {
    const leftOut = new Set<unknown>(without.split(','));
    tests.push((line) => !leftOut.has(line['operation']));
  }
  if (status !== undefined) {
    if (!/^[1-5](\d\d|xx)$/.test(status)) throw new InvalidCondition('status', 'must be like 403 or 5xx');
    tests.push(statusFits(status));
    needles.push(`"statusCode":${status.replace('xx', '')}`);
  }
  if (management === true) {
    tests.push((line) => line['management'] === true);
    needles.push('"management":true');
  }
  const since = timeOf('since', conditions.since, now);
  const until = timeOf('until', conditions.until, now);
  if (since !== undefined) tests.push((line) => Date.parse(String(line['time'])) >= since);
  if (until !== undefined) tests.push((line) => Date.parse(String(line['time'])) < until);
  return { fits: (line) => tests.every((test) => test(line)), needles, since };
}

function statusFits(wanted: string): (line: LogLine) => boolean {
  return (line) => {
    const status = String(line['statusCode']);
    return wanted.endsWith('xx') ? status.length === 3 && status[0] === wanted[0] : status === wanted;
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses an ISO 8601 date or time (UTC if it has no zone), or a duration before now, into milliseconds since
 * 1970.
 */
function timeOf(condition: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  if (ago !== null) return now - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0);
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  const time =
    iso === null ? NaN : Date.parse(iso[1] === undefined || iso[4] !== undefined ? text : `${text}Z`);
  if (Number.isNaN(time))
    throw new InvalidCondition(condition, `is not a valid time: ${JSON.stringify(text)}`);
  return time;
}

const FIELDS_OF_EVERY_LINE = ['time', 'id', 'decision', 'statusCode'];

/** Parses the JSON of a line of the access log; undefined for every other text. */
export function parseLogLine(json: string): LogLine | undefined {
  try {
    const line: unknown = JSON.parse(json);
    if (typeof line !== 'object' || line === null) return undefined;
    return FIELDS_OF_EVERY_LINE.every((field) => field in line) ? (line as LogLine) : undefined;
  } catch {
    return undefined;
  }
}
