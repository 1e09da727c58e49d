// `couchgate audit`: filters access logs by principal, database, operation, decision, address and time.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';
import { firstSentence, type Command, type CommandIo } from './command.ts';

export const AUDIT_USAGE = `Usage: couchgate audit [options] [file ...]
Reads access logs (also .gz) or standard input, and prints the lines that match all options:
  --principal NAME    name of an API key or user, of the owner, or nobody; also of a refused login
  --database NAME     name of the database
  --operation NAME    operation (doc-get) or class of operations (read, write, permissions, key, session, ...)
  --decision WORD     allow or deny
  --status N          status code (403) or class of status codes (5xx)
  --address IP        client address
  --management        only changes of keys, permissions, sessions and configuration
  --since TIME        at or after this time
  --until TIME        before this time: 2026-01-31, 2026-01-31T12:00:00Z, or a duration ago: 90s, 15m, 2h, 7d
  --short             one line of text per entry instead of JSON
`;

/** An entry of the access log. */
export type Line = Readonly<Record<string, unknown>>;
type Fits = (line: Line) => boolean;

const OPTIONS = {
  principal: { type: 'string' },
  database: { type: 'string' },
  operation: { type: 'string' },
  decision: { type: 'string' },
  status: { type: 'string' },
  address: { type: 'string' },
  management: { type: 'boolean' },
  since: { type: 'string' },
  until: { type: 'string' },
  short: { type: 'boolean' },
} as const;

class UsageError extends Error {}

/**
 * Prints the matching entries. Exit code 2: invalid usage, or a file cannot be read. Other lines are counted
 * and skipped.
 */
export const audit: Command = async (args, io) => {
  try {
    const { values, positionals } = readArguments(args);
    const fits = conditions(values);
    const show = values.short === true ? short : (_line: Line, text: string): string => text;
    let unreadable = 0;
    for (const name of positionals.length === 0 ? ['-'] : positionals)
      for await (const text of createInterface({ input: openLog(name, io), crlfDelay: Infinity })) {
        const entry = entryIn(text);
        if (entry === undefined) unreadable += text.trim() === '' ? 0 : 1;
        else if (fits.every((fit) => fit(entry.line))) io.stdout.write(`${show(entry.line, entry.json)}\n`);
      }
    if (unreadable > 0)
      io.stderr.write(
        `Skipped ${unreadable} ${unreadable === 1 ? 'line that is not an entry' : 'lines that are not entries'} of an access log.\n`,
      );
    return 0;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!(error instanceof UsageError) && code === undefined) throw error;
    io.stderr.write(`${(error as Error).message}\n${error instanceof UsageError ? AUDIT_USAGE : ''}`);
    return 2;
  }
};

type Values = ReturnType<typeof readArguments>['values'];

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError(firstSentence(error));
  }
}

/** Opens a log file, also a compressed one; `-` = standard input. */
export function openLog(name: string, { stdin }: CommandIo): Readable {
  if (name === '-') return stdin;
  const file = createReadStream(name);
  if (!name.endsWith('.gz')) return file;
  const text = createGunzip();
  file.on('error', (error) => text.destroy(error));
  return file.pipe(text);
}

/**
 * Returns the entry in a line of text, or undefined for every other line: the operational log is JSON too.
 * Tools that collect logs put a prefix before the JSON, often with terminal escape sequences, as in
 * `docker compose logs`. The JSON itself contains no control character.
 */
export function entryIn(text: string): { readonly line: Line; readonly json: string } | undefined {
  const start = text.indexOf('{');
  if (start === -1) return undefined;
  const json = text.slice(start, text.lastIndexOf('}') + 1);
  try {
    const line = JSON.parse(json) as Line;
    return FIELDS_OF_EVERY_ENTRY.every((field) => field in line) ? { line, json } : undefined;
  } catch {
    return undefined;
  }
}

const FIELDS_OF_EVERY_ENTRY = ['time', 'id', 'decision', 'statusCode'];

function conditions(values: Values): readonly Fits[] {
  const fits: Fits[] = [];
  const equal = (field: string, wanted: string | undefined): void => {
    if (wanted !== undefined) fits.push((line) => line[field] === wanted);
  };
  const { operation, decision, status, since, until } = values;
  if (decision !== undefined && decision !== 'allow' && decision !== 'deny')
    throw new UsageError('--decision must be allow or deny');
  const { principal } = values;
  if (principal !== undefined)
    fits.push((line) => line['principal'] === principal || line['loginName'] === principal);
  equal('dbName', values.database);
  equal('decision', decision);
  equal('clientIp', values.address);
  if (operation !== undefined)
    fits.push((line) => line['operation'] === operation || line['requestClass'] === operation);
  if (status !== undefined) fits.push(statusFits(status));
  if (values.management === true) fits.push((line) => line['management'] === true);
  if (since !== undefined) fits.push(timeFits(since, (time, limit) => time >= limit));
  if (until !== undefined) fits.push(timeFits(until, (time, limit) => time < limit));
  return fits;
}

function statusFits(wanted: string): Fits {
  if (!/^[1-5](\d\d|xx)$/.test(wanted)) throw new UsageError('--status must be like 403 or 5xx');
  return (line) => {
    const status = String(line['statusCode']);
    return wanted.endsWith('xx') ? status.length === 3 && status[0] === wanted[0] : status === wanted;
  };
}

function timeFits(wanted: string, holds: (time: number, limit: number) => boolean): Fits {
  const limit = readTime(wanted);
  return (line) => holds(Date.parse(String(line['time'])), limit);
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses an ISO 8601 date or time (UTC if it has no zone), or a duration before now, into milliseconds since
 * the epoch.
 */
function readTime(text: string): number {
  const ago = /^(\d+)([smhd])$/.exec(text);
  if (ago !== null) return Date.now() - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0);
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  const time =
    iso === null ? NaN : Date.parse(iso[1] === undefined || iso[4] !== undefined ? text : `${text}Z`);
  if (Number.isNaN(time)) throw new UsageError(`${JSON.stringify(text)} is not a valid time`);
  return time;
}

/** `2026-01-31T12:00:00.000Z allow 200 GET /db/doc by key abc from 192.0.2.1 (doc-get, role)` */
function short(line: Line): string {
  const word = (field: string): string => {
    const value = line[field];
    // A name may contain terminal control sequences. They stay escaped, as in the JSON of the log.
    return typeof value === 'string'
      ? JSON.stringify(value)
          .slice(1, -1)
          .replace(/[\u007f-\u009f\u2028\u2029]/g, '?')
      : '-';
  };
  const status = typeof line['statusCode'] === 'number' ? line['statusCode'] : '-';
  const caller =
    line['loginName'] === undefined
      ? `${word('principalKind')} ${word('principal')}`
      : `refused login ${word('loginName')}`;
  return (
    `${word('time')} ${word('decision')} ${status} ${word('httpMethod')} ${word('httpRequest')}` +
    ` by ${caller} from ${word('clientIp')} (${word('operation')}, ${word('rule')})`
  );
}
