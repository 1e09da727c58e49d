// `couchgate explain`: says whether a request would be permitted and why, over the HTTP API or from a log.
import { writeJson } from '../json/exact-numbers.ts';
import { readTextFile, UsageError } from '../setup/arguments.ts';
import { type LogLine } from '../audit/line-filter.ts';
import { entryIn, openLog } from './audit.ts';
import { type Command, type CommandIo } from './command.ts';
import {
  accepted,
  answerCodeOf,
  type AskPassword,
  openOwner,
  OWNER_OPTION_LINES,
  OWNER_OPTIONS,
} from './owner-client.ts';
import { linesOf } from './log-lines.ts';
import { parseOptions } from './parse-options.ts';
import { printable } from './terminal.ts';

export const EXPLAIN_USAGE = `Usage: couchgate explain --as KEY METHOD PATH [options]
       couchgate explain --log REQUEST_ID [FILE]... [options]
Says whether a request would be permitted, by which rule, and which roles are missing. Nothing is sent to CouchDB.
  --as KEY               an API key, a user, the owner, or nobody
  --header 'NAME: VALUE' a header of the request, such as Destination; repeatable
  --data TEXT            the body; @FILE = the content of a file
  --address IP           the address of the client
  --log REQUEST_ID       what an access log says about a request (its header X-Couch-Request-ID); - = standard input
  --now                  with --log: decide about the request again, by the present permissions
${OWNER_OPTION_LINES}
Exit codes: 0 = allowed, 1 = denied, 2 = invalid usage, 3 = unknown: the body decides, or there is no answer.
`;

const OPTIONS = {
  ...OWNER_OPTIONS,
  as: { type: 'string' },
  header: { type: 'string', multiple: true },
  data: { type: 'string' },
  address: { type: 'string' },
  log: { type: 'string' },
  now: { type: 'boolean', default: false },
} as const;

type Fields = Readonly<Record<string, unknown>>;

const CODES: ReadonlyMap<unknown, number> = new Map([
  ['allow', 0],
  ['deny', 1],
]);

/** Creates the command; `askPassword` = undefined without a terminal. */
export function explainCommand(askPassword: AskPassword): Command {
  return (args, io) =>
    answerCodeOf(
      async () => {
        const { values, positionals } = parse(args);
        const line = values.log === undefined ? undefined : await lineOf(values.log, positionals, io);
        if (line !== undefined && !values.now) return show(fromLog(line), values.json, io);
        const question = line === undefined ? questionOf(values, positionals) : questionFrom(line);
        const couchgate = await openOwner(values, io, askPassword);
        const answer = await couchgate.ask('POST', '/_api/v2/explain', question);
        return show(accepted(answer, 'explaining the request'), values.json, io);
      },
      EXPLAIN_USAGE,
      io,
    );
}

function parse(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, OPTIONS);
  const isOfLog = values.log !== undefined;
  if (values.now && !isOfLog) throw new UsageError('--now is for --log');
  if (isOfLog && (values.as ?? values.data ?? values.address ?? values.header) !== undefined)
    throw new UsageError('--log takes the request from the log');
  return { values, positionals };
}

type Values = ReturnType<typeof parse>['values'];

function questionOf({ as, header = [], data, address }: Values, positionals: readonly string[]): Fields {
  const [method, path, ...rest] = positionals;
  if (as === undefined || as === '' || method === undefined || path === undefined || rest.length > 0)
    throw new UsageError('pass --as, a method and a path');
  return {
    ...senderOf(as),
    method: method.toUpperCase(),
    path,
    ...(header.length === 0 ? {} : { headers: headersIn(header) }),
    ...(data === undefined ? {} : { body: data.startsWith('@') ? readTextFile(data.slice(1)) : data }),
    ...(address === undefined ? {} : { address }),
  };
}

function senderOf(name: string): Fields {
  return name === 'nobody' ? { nobody: true } : { principal: name };
}

/** Repeated headers stay repeated: the server refuses some of them. */
function headersIn(lines: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new UsageError("--header must be like 'Destination: apple'");
    const name = line.slice(0, colon).trim();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return Object.fromEntries(headers);
}

/** The last entry of the request in the logs. */
async function lineOf(id: string, files: readonly string[], io: CommandIo): Promise<LogLine> {
  let found: LogLine | undefined;
  for (const name of files.length === 0 ? ['-'] : files) {
    try {
      for await (const text of linesOf(openLog(name, io))) {
        if (!text.includes(id)) continue;
        const line = entryIn(text)?.line;
        if (line?.['id'] === id) found = line;
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code === undefined ? error : new UsageError(`${name} cannot be read (${code})`);
    }
  }
  if (found === undefined) throw new Error(`The log has no request ${id}.`);
  return found;
}

/** The fields of an entry, by the names of an explanation. */
function fromLog(line: LogLine): Fields {
  const { decision, rule, reason, statusCode, operation, dbName, needed, change } = line;
  return {
    at: line['time'],
    request: `${String(line['httpMethod'])} ${String(line['httpRequest'])}`,
    sender: line['principal'] ?? line['loginName'],
    decision,
    rule,
    reason,
    status: statusCode,
    operation,
    database: dbName,
    needed,
    change,
  };
}

/** The request of an entry. Its body, and values that were masked, are not in the log. */
function questionFrom(line: LogLine): Fields {
  const { principal, httpMethod, httpRequest, rawQueryString, clientIp } = line;
  const query = typeof rawQueryString === 'string' ? `?${rawQueryString}` : '';
  const path = `${String(httpRequest)}${query}`;
  if (typeof principal !== 'string' || path.includes('***'))
    throw new Error(
      'The log does not have the whole request: its principal is not known, or a part is masked.',
    );
  return { ...senderOf(principal), method: httpMethod, path, address: clientIp };
}

const SHOWN = [
  ...['at', 'request', 'sender', 'decision', 'rule', 'reason', 'status', 'operation', 'database', 'needed'],
  ...['held', 'from', 'missing', 'couchdb', 'revision'],
];

function show(explanation: Fields, asJson: boolean, { stdout }: Pick<CommandIo, 'stdout'>): number {
  const text = SHOWN.flatMap((field) => {
    const value = field === 'from' ? sourcesIn(explanation['sources']) : explanation[field];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return [];
    return [`${`${field}:`.padEnd(11)}${printable(wordsOf(value))}\n`];
  });
  stdout.write(asJson ? `${writeJson(explanation)}\n` : text.join(''));
  return CODES.get(explanation['decision']) ?? 3;
}

/** Where the roles come from, one text for each source. */
function sourcesIn(sources: unknown): readonly string[] {
  if (!Array.isArray(sources)) return [];
  return (sources as readonly Fields[]).map(({ source, grant, roles, create, delete: remove }) =>
    [
      ...[source, ...(grant === undefined ? [] : [grant])],
      `(${[...(roles as readonly unknown[]), ...(create === true ? ['create'] : []), ...(remove === true ? ['delete'] : [])].join('+')})`,
    ].join(' '),
  );
}

/** Alternatives are separated by `or`, what is needed together by a plus. */
function wordsOf(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  const items = value as readonly unknown[];
  const isAlternatives = items.some((item) => Array.isArray(item));
  return items
    .map((item) => (Array.isArray(item) ? item.join('+') : String(item)))
    .join(isAlternatives ? ' or ' : ', ');
}
