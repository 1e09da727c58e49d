// What the commands that call Couchgate's HTTP API as the owner have in common: options, credentials, client.
import { readPem } from '../config/pem-file.ts';
import { ADMIN_PASSWORD, ADMIN_USER, COUCHGATE_URL } from '../config/sources.ts';
import { fieldsOf, openAdmin, reasonOf, type Admin, type AdminAnswer } from '../setup/admin.ts';
import { checkedUrl, readPassword, UsageError } from '../setup/arguments.ts';
import { type CommandIo } from './command.ts';
import { printable } from './terminal.ts';

/** Options of every command of this kind, for `parseArgs`. */
export const OWNER_OPTIONS = {
  url: { type: 'string' },
  user: { type: 'string' },
  'password-file': { type: 'string' },
  ca: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

/** The options alone, for commands with exit codes of their own. */
export const OWNER_OPTION_LINES = `  --url URL              URL of Couchgate; default: COUCHGATE_URL, else http://127.0.0.1:5984
  --user NAME            the owner; default: COUCHGATE_ADMIN_USER, else admin
  --password-file FILE   file with the password of the owner; default: COUCHGATE_ADMIN_PASSWORD, else a prompt
  --ca FILE              PEM file of the CA that signed the certificate of Couchgate
  --json                 print the answer of Couchgate as JSON
`;

export const OWNER_OPTIONS_USAGE = `${OWNER_OPTION_LINES}
Exit codes: 0 = success, 1 = Couchgate refused it or cannot be reached, 2 = invalid usage.
`;

/** The values of OWNER_OPTIONS. */
export interface OwnerValues {
  readonly url?: string | undefined;
  readonly user?: string | undefined;
  readonly 'password-file'?: string | undefined;
  readonly ca?: string | undefined;
  readonly json: boolean;
}

export type AskPassword = ((question: string) => Promise<string>) | undefined;

/** A refusal by Couchgate; the message has its status and reason. */
export class RefusedByCouchgate extends Error {
  readonly status: number;

  constructor(doing: string, { status, body }: AdminAnswer) {
    const { error, reason } = fieldsOf(body);
    super(`${doing} failed: ${status} ${String(error)}: ${String(reason)}`);
    this.status = status;
  }
}

/** Opens a client with the credentials of the owner. Throws a UsageError without a password. */
export async function openOwner(
  values: OwnerValues,
  { env }: Pick<CommandIo, 'env'>,
  askPassword: AskPassword,
): Promise<Admin> {
  const url = checkedUrl(values.url ?? env[COUCHGATE_URL] ?? 'http://127.0.0.1:5984', 'Couchgate');
  const name = values.user ?? env[ADMIN_USER] ?? 'admin';
  const file = values['password-file'];
  const given = file === undefined ? env[ADMIN_PASSWORD] : readPassword(file);
  const password = given ?? (await askPassword?.(`Password of ${printable(name)}: `));
  if (password === undefined)
    throw new UsageError('no password: use --password-file or COUCHGATE_ADMIN_PASSWORD');
  const ca = values.ca === undefined ? {} : { ca: readPem('--ca', values.ca, 'CERTIFICATE') };
  return openAdmin({ url, credentials: { name, password }, product: 'Couchgate', ...ca });
}

/** Returns the body of an answer below 400, else throws RefusedByCouchgate. `doing` completes "… failed". */
export function accepted(answer: AdminAnswer, doing: string): Readonly<Record<string, unknown>> {
  if (answer.status >= 400) throw new RefusedByCouchgate(doing, answer);
  return fieldsOf(answer.body);
}

/** Runs `work` and converts its errors to exit codes; `usage` is printed after invalid usage. */
export function exitCodeOf(
  work: () => Promise<void>,
  usage: string,
  io: Pick<CommandIo, 'stderr'>,
): Promise<number> {
  return codeOf(() => work().then(() => 0), { usage, failure: 1 }, io);
}

/**
 * Runs `work`, whose result is the exit code, and converts its errors: 2 = invalid usage, 3 = no answer,
 * because Couchgate refused or cannot be reached.
 */
export function answerCodeOf(
  work: () => Promise<number>,
  usage: string,
  io: Pick<CommandIo, 'stderr'>,
): Promise<number> {
  return codeOf(work, { usage, failure: 3 }, io);
}

async function codeOf(
  work: () => Promise<number>,
  { usage, failure }: { readonly usage: string; readonly failure: number },
  { stderr }: Pick<CommandIo, 'stderr'>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    stderr.write(`${printable(reasonOf(error))}\n`);
    if (!(error instanceof UsageError)) return failure;
    stderr.write(usage);
    return 2;
  }
}
