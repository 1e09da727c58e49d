// `audit`: picks lines out of access logs, by who, what, where, when and how it was decided. What a line holds is audit/line.ts's business.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';
import { type Command, type CommandIo } from './command.ts';

const USAGE = `Usage: couchgate audit [options] [file ...]
Reads access logs (also .gz), or standard input, and writes the lines that fit all options:
  --principal NAME    who asked: an API key, a user, the owner, nobody
  --database NAME     on which database
  --operation NAME    what: a name (doc-get) or a class (read, write, permissions, key, session, ...)
  --decision WORD     allow or deny
  --status N          the status code, or a class of them: 403, 5xx
  --address IP        from where
  --management        only changes of keys, permissions, sessions and configuration
  --since TIME        not before, --until TIME  before: 2026-01-31, 2026-01-31T12:00:00Z, or 90s 15m 2h 7d ago
  --short             a few words a line instead of JSON
`;

type Line = Readonly<Record<string, unknown>>;
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

class Misuse extends Error {}

/** Writes the lines that fit; exits with 2 when wrongly called or a file cannot be read. Lines that are no JSON are counted, not shown. */
export const audit: Command = async (words, io) => {
  try {
    const { values, positionals } = readWords(words);
    const fits = conditions(values);
    const show = values.short === true ? short : (_line: Line, text: string): string => text;
    let unreadable = 0;
    for (const name of positionals.length === 0 ? ['-'] : positionals)
      for await (const text of createInterface({ input: open(name, io), crlfDelay: Infinity })) {
        const line = parse(text);
        if (line === undefined) unreadable += text.trim() === '' ? 0 : 1;
        else if (fits.every((fit) => fit(line))) io.stdout.write(`${show(line, text)}\n`);
      }
    if (unreadable > 0) io.stderr.write(`${unreadable} lines are no lines of an access log\n`);
    return 0;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (!(error instanceof Misuse) && code === undefined) throw error;
    io.stderr.write(`${(error as Error).message}\n${error instanceof Misuse ? USAGE : ''}`);
    return 2;
  }
};

type Values = ReturnType<typeof readWords>['values'];

function readWords(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new Misuse((error as Error).message);
  }
}

function open(name: string, { stdin }: CommandIo): Readable {
  if (name === '-') return stdin;
  const file = createReadStream(name);
  if (!name.endsWith('.gz')) return file;
  const text = createGunzip();
  file.on('error', (error) => text.destroy(error));
  return file.pipe(text);
}

function parse(text: string): Line | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}

function conditions(values: Values): readonly Fits[] {
  const fits: Fits[] = [];
  const equal = (field: string, wanted: string | undefined): void => {
    if (wanted !== undefined) fits.push((line) => line[field] === wanted);
  };
  const { operation, decision, status, since, until } = values;
  if (decision !== undefined && decision !== 'allow' && decision !== 'deny')
    throw new Misuse('--decision must be allow or deny');
  equal('principal', values.principal);
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
  if (!/^[1-5](\d\d|xx)$/.test(wanted)) throw new Misuse('--status must be like 403 or 5xx');
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

/** A date or time of ISO 8601 (in UTC when it says no zone), or how long ago. */
function readTime(text: string): number {
  const ago = /^(\d+)([smhd])$/.exec(text);
  if (ago !== null) return Date.now() - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0);
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  const time =
    iso === null ? NaN : Date.parse(iso[1] === undefined || iso[4] !== undefined ? text : `${text}Z`);
  if (Number.isNaN(time)) throw new Misuse(`${JSON.stringify(text)} is no time`);
  return time;
}

/** `2026-01-31T12:00:00.000Z allow 200 GET /db/doc by key abc from 192.0.2.1 (doc-get, role)` */
function short(line: Line): string {
  const word = (field: string): string => {
    const value = line[field];
    // A name may hold what a terminal obeys; JSON made it harmless, and it must stay so.
    return typeof value === 'string'
      ? JSON.stringify(value)
          .slice(1, -1)
          .replace(/[\u007f-\u009f\u2028\u2029]/g, '?')
      : '-';
  };
  const status = typeof line['statusCode'] === 'number' ? line['statusCode'] : '-';
  return (
    `${word('time')} ${word('decision')} ${status} ${word('httpMethod')} ${word('httpRequest')}` +
    ` by ${word('principalKind')} ${word('principal')} from ${word('clientIp')} (${word('operation')}, ${word('rule')})`
  );
}
