// `couchgate export`: writes the documents of a database to a file or to stdout, over the HTTP API.
import { once } from 'node:events';
import { open as openFile } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { type Writable } from 'node:stream';
import { readPem } from '../config/pem-file.ts';
import { ADMIN_PASSWORD, ADMIN_USER, COUCHGATE_URL } from '../config/sources.ts';
import { checkedUrl, readPassword, UsageError } from '../setup/arguments.ts';
import { type Command, type CommandIo } from './command.ts';
import { type AskPassword } from './owner-client.ts';
import { parseOptions, type Parsed } from './parse-options.ts';
import { printable } from './terminal.ts';

export const EXPORT_USAGE = `Usage: couchgate export DATABASE [options]
Writes the documents of a database, in the order of their ids, with the rights of the owner or of a key.
  --format FORMAT        json, jsonl or csv; default: json
  --fields NAMES         these fields only, separated by commas: name,address.city; default: all. For csv: those of
                         the first 1000 documents
  --keep-formulas        with csv: cells as they are, for programs. Without it, a cell that a spreadsheet could run as a
                         formula gets a ' before it
  --missing-empty        a field that the first 1000 documents do not have is an empty column, not a mistake
  --deleted              also documents that are deleted; in the order of changes
  --design               also design documents
  --conflicts            also the revisions that lost a conflict
  --output FILE          write to a new file; default: stdout
  --as KEY               read as this API key, which needs _reader; default: the owner
  --url URL              URL of Couchgate; default: COUCHGATE_URL, else http://127.0.0.1:5984
  --user NAME            the owner; default: COUCHGATE_ADMIN_USER, else admin
  --password-file FILE   file with the password of the owner or the key; default: for the owner
                         COUCHGATE_ADMIN_PASSWORD, else a prompt
  --ca FILE              PEM file of the CA that signed the certificate of Couchgate

Exit codes: 0 = success, 1 = refused, or the export is not complete, 2 = invalid usage, 3 = complete but for fields
that have no column; they are named.
`;

const OPTIONS = {
  format: { type: 'string' },
  fields: { type: 'string' },
  'keep-formulas': { type: 'boolean', default: false },
  'missing-empty': { type: 'boolean', default: false },
  deleted: { type: 'boolean', default: false },
  design: { type: 'boolean', default: false },
  conflicts: { type: 'boolean', default: false },
  output: { type: 'string' },
  as: { type: 'string' },
  url: { type: 'string' },
  user: { type: 'string' },
  'password-file': { type: 'string' },
  ca: { type: 'string' },
} as const;

type Values = Parsed<typeof OPTIONS>['values'];

const LEFT_OUT = 'x-couchgate-fields-left-out';

/** Creates the command. */
export function exportCommand(askPassword: AskPassword): Command {
  return async (args, io) => {
    try {
      const { values, positionals } = parseOptions(args, OPTIONS);
      const [database, ...more] = positionals;
      if (database === undefined || more.length > 0) throw new UsageError('pass one database');
      return await run(values, database, io, askPassword);
    } catch (error) {
      io.stderr.write(`${printable(error instanceof Error ? error.message : String(error))}\n`);
      if (!(error instanceof UsageError)) return 1;
      io.stderr.write(EXPORT_USAGE);
      return 2;
    }
  };
}

async function run(
  values: Values,
  database: string,
  io: CommandIo,
  askPassword: AskPassword,
): Promise<number> {
  const base = checkedUrl(values.url ?? io.env[COUCHGATE_URL] ?? 'http://127.0.0.1:5984', 'Couchgate');
  const authorization = await credentials(values, io, askPassword);
  const url = `${base}/_api/v2/db/${encodeURIComponent(database)}/_export?${queryOf(values)}`;
  const answer = await open(url, authorization, values.ca);
  if (answer.statusCode !== 200) throw new Error(await refusalIn(answer));
  try {
    const output = values.output === undefined ? undefined : await openOutput(values.output);
    await writeTo(answer, output, io);
  } finally {
    // An export that nobody reads would keep its slot.
    answer.destroy();
  }
  const leftOut = answer.trailers[LEFT_OUT];
  if (leftOut === undefined || leftOut === '') return 0;
  const names = leftOut.split(',').map((name) => JSON.stringify(decodeURIComponent(name)));
  io.stderr.write(
    `Later documents have fields without a column: ${printable(names.join(', '))}. Name the columns with --fields.\n`,
  );
  return 3;
}

function queryOf(values: Values): string {
  const query = new URLSearchParams();
  if (values.format !== undefined) query.set('format', values.format);
  if (values.fields !== undefined) query.set('fields', values.fields);
  if (values['keep-formulas']) query.set('formulas', 'keep');
  if (values['missing-empty']) query.set('missing', 'empty');
  for (const name of ['deleted', 'design', 'conflicts'] as const) if (values[name]) query.set(name, 'true');
  return query.toString();
}

async function credentials(values: Values, { env }: CommandIo, askPassword: AskPassword): Promise<string> {
  if (values.as !== undefined && values.user !== undefined)
    throw new UsageError('--as and --user exclude each other');
  const name = values.as ?? values.user ?? env[ADMIN_USER] ?? 'admin';
  const file = values['password-file'];
  const ofOwner = values.as === undefined ? env[ADMIN_PASSWORD] : undefined;
  const given = file === undefined ? ofOwner : readPassword(file);
  const password = given ?? (await askPassword?.(`Password of ${printable(name)}: `));
  if (password === undefined) throw new UsageError('no password: use --password-file');
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

function open(url: string, authorization: string, ca: string | undefined): Promise<IncomingMessage> {
  const tls = ca === undefined ? {} : { ca: readPem('--ca', ca, 'CERTIFICATE') };
  return new Promise((resolve, reject) => {
    const client = url.startsWith('https:') ? https : http;
    client
      .get(url, { headers: { Authorization: authorization }, ...tls }, resolve)
      .on('error', (error: NodeJS.ErrnoException) =>
        reject(new Error(`Couchgate cannot be reached (${error.code ?? 'unknown error'})`)),
      );
  });
}

async function refusalIn(answer: IncomingMessage): Promise<string> {
  const body = await text(answer);
  try {
    const { error, reason } = JSON.parse(body) as { error?: unknown; reason?: unknown };
    return `The export failed: ${answer.statusCode} ${String(error)}: ${String(reason)}`;
  } catch {
    return `The export failed: ${answer.statusCode}`;
  }
}

/** Opens a new file, which only its owner may read. A file that is there is not replaced. */
async function openOutput(file: string): Promise<Output> {
  let handle;
  try {
    handle = await openFile(file, 'wx', 0o600);
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new Error(`${file} cannot be created (${code})`, { cause: error });
  }
  const stream = handle.createWriteStream();
  const written = finished(stream).catch((error: unknown) => {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new Error(`${file} cannot be written (${code}); the export is NOT complete.`, { cause: error });
  });
  written.catch(() => undefined);
  return { stream, written };
}

interface Output {
  readonly stream: Writable;
  /** Resolves when everything is in the file. */
  readonly written: Promise<void>;
}

async function writeTo(answer: IncomingMessage, output: Output | undefined, io: CommandIo): Promise<void> {
  const stream = output?.stream ?? (io.stdout === process.stdout ? process.stdout : undefined);
  const decoder = new TextDecoder();
  for await (const chunk of chunksOf(answer)) {
    if (stream === undefined) io.stdout.write(decoder.decode(chunk, { stream: true }));
    else if (!stream.write(chunk))
      await Promise.race([once(stream, 'drain'), output?.written].filter(isThere));
  }
  output?.stream.end();
  await output?.written;
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}

async function* chunksOf(answer: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* answer as AsyncIterable<Buffer>;
  } catch (error) {
    throw new Error('The export is NOT complete: the connection ended before its end.', { cause: error });
  }
}
