// `couchgate audit`: filters access logs by principal, database, operation, decision, address and time.
import { createReadStream } from 'node:fs';
import { type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import {
  InvalidCondition,
  lineFilter,
  type LineFilter,
  type LogLine,
  parseLogLine,
} from '../audit/line-filter.ts';
import { UsageError } from '../setup/arguments.ts';
import { type Command, type CommandIo } from './command.ts';
import { linesOf } from './log-lines.ts';
import { parseOptions, type Parsed } from './parse-options.ts';
import { printable } from './terminal.ts';

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

/**
 * Prints the matching entries. Exit code 2: invalid usage, or a file cannot be read. Other lines are counted
 * and skipped.
 */
export const audit: Command = async (args, io) => {
  try {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const { fits } = filterIn(values);
    const show = values.short === true ? short : (_line: LogLine, text: string): string => text;
    let unreadable = 0;
    for (const name of positionals.length === 0 ? ['-'] : positionals)
      for await (const text of linesOf(openLog(name, io))) {
        const entry = entryIn(text);
        if (entry === undefined) unreadable += text.trim() === '' ? 0 : 1;
        else if (fits(entry.line)) io.stdout.write(`${show(entry.line, entry.json)}\n`);
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

type Values = Parsed<typeof OPTIONS>['values'];

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
export function entryIn(text: string): { readonly line: LogLine; readonly json: string } | undefined {
  const start = text.indexOf('{');
  if (start === -1) return undefined;
  const json = text.slice(start, text.lastIndexOf('}') + 1);
  const line = parseLogLine(json);
  return line === undefined ? undefined : { line, json };
}

function filterIn(values: Values): LineFilter {
  try {
    return lineFilter(values, Date.now());
  } catch (error) {
    if (!(error instanceof InvalidCondition)) throw error;
    throw new UsageError(`--${error.condition} ${error.problem}`);
  }
}

/** `2026-01-31T12:00:00.000Z allow 200 GET /db/doc by key abc from 192.0.2.1 (doc-get, role)` */
function short(line: LogLine): string {
  const word = (field: string): string => {
    const value = line[field];
    // A name may contain terminal control sequences. They stay escaped, as in the JSON of the log.
    return typeof value === 'string' ? printable(JSON.stringify(value).slice(1, -1)) : '-';
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
