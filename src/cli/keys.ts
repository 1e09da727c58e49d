// `couchgate keys`: lists, shows, creates, rotates and revokes API keys over the HTTP API.
import { type Admin } from '../setup/admin.ts';
import { UsageError } from '../setup/arguments.ts';
import { type Command, type CommandIo } from './command.ts';
import { keyPages } from './key-pages.ts';
import {
  accepted,
  type AskPassword,
  exitCodeOf,
  openOwner,
  OWNER_OPTIONS,
  OWNER_OPTIONS_USAGE,
} from './owner-client.ts';
import { parseOptions, type Parsed } from './parse-options.ts';
import { rolesIn } from './roles.ts';
import { printable } from './terminal.ts';

export const KEYS_USAGE = `Usage: couchgate keys <list | show KEY | create | rotate KEY | revoke KEY> [options]
Manages API keys of a running Couchgate.
  --label TEXT           create: a label of at most 256 characters
  --expires TIME         create: when the key ends: 2030-01-31T12:00:00Z, or a duration from now: 12h, 90d
  --grant DB=ROLES       create: roles on a database, separated by commas: fruit=_reader,_writer; repeatable
  --overlap SECONDS      rotate: how long the old password stays valid; default: key_rotation_overlap_seconds
  --remove-grants        revoke: also remove the grants of the key
${OWNER_OPTIONS_USAGE}`;

const OPTIONS = {
  ...OWNER_OPTIONS,
  label: { type: 'string' },
  expires: { type: 'string' },
  grant: { type: 'string', multiple: true },
  overlap: { type: 'string' },
  'remove-grants': { type: 'boolean' },
} as const;

type Values = Parsed<typeof OPTIONS>['values'];
type Fields = Readonly<Record<string, unknown>>;

interface Task {
  readonly values: Values;
  readonly key: string;
  readonly couchgate: Admin;
  readonly io: CommandIo;
}

interface Action {
  /** Options that belong to this action alone. */
  readonly options: readonly (keyof Values)[];
  readonly takesKey: boolean;
  /** Checks the options before a password is asked for. Throws a UsageError. */
  readonly check?: (values: Values) => void;
  readonly run: (task: Task) => Promise<Fields>;
  /** The answer as text. */
  readonly text: (answer: Fields, io: CommandIo) => string;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  list: {
    options: [],
    takesKey: false,
    run: listKeys,
    text: ({ api_keys: keys }) => table(Array.isArray(keys) ? (keys as Fields[]) : []),
  },
  show: {
    options: [],
    takesKey: true,
    run: async ({ couchgate, key }) =>
      accepted(await couchgate.ask('GET', pathOf(key)), `reading the key ${key}`),
    text: (answer) => lines(answer, ['key', 'label', 'created_by', 'created_at', 'expires_at', 'last_used']),
  },
  create: {
    options: ['label', 'expires', 'grant'],
    takesKey: false,
    check: (values) => void bodyOf(values),
    run: async ({ couchgate, values }) =>
      accepted(await couchgate.ask('POST', '/_api/v2/api_keys', bodyOf(values)), 'creating a key'),
    text: showPassword,
  },
  rotate: {
    options: ['overlap'],
    takesKey: true,
    check: (values) => void overlapOf(values),
    run: async ({ couchgate, key, values }) =>
      accepted(
        await couchgate.ask('POST', `${pathOf(key)}/rotate`, overlapOf(values)),
        `rotating the key ${key}`,
      ),
    text: showPassword,
  },
  revoke: {
    options: ['remove-grants'],
    takesKey: true,
    run: async ({ couchgate, key, values }) => {
      const query = values['remove-grants'] === true ? '?remove_grants=true' : '';
      return accepted(await couchgate.ask('DELETE', pathOf(key) + query), `revoking the key ${key}`);
    },
    text: describeRevocation,
  },
};

/** Creates the command; `askPassword` = undefined without a terminal. */
export function keysCommand(askPassword: AskPassword): Command {
  return (args, io) =>
    exitCodeOf(
      async () => {
        const { action, key, values } = readArguments(args);
        const couchgate = await openOwner(values, io, askPassword);
        const answer = await action.run({ values, key, couchgate, io });
        io.stdout.write(values.json ? `${JSON.stringify(answer)}\n` : action.text(answer, io));
      },
      KEYS_USAGE,
      io,
    );
}

function readArguments(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, OPTIONS);
  const [name = '', ...rest] = positionals;
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (action === undefined) throw new UsageError('name one of list, show, create, rotate, revoke');
  if (rest.length !== (action.takesKey ? 1 : 0))
    throw new UsageError(`keys ${name} takes ${action.takesKey ? 'one key' : 'no arguments'}`);
  for (const option of ['label', 'expires', 'grant', 'overlap', 'remove-grants'] as const)
    if (values[option] !== undefined && !action.options.includes(option))
      throw new UsageError(`--${option} is not an option of keys ${name}`);
  action.check?.(values);
  return { action, key: rest[0] ?? '', values };
}

/** The oldest first, as in the answer of Couchgate without pages. */
async function listKeys({ couchgate }: Task): Promise<Fields> {
  const keys: Fields[] = [];
  for await (const page of keyPages(couchgate)) for (const key of page) keys.push(key);
  const age = ({ created_at: at, key }: Fields): string => `${String(at)}${String(key)}`;
  return { api_keys: keys.sort((a, b) => (age(a) < age(b) ? -1 : 1)) };
}

function pathOf(key: string): string {
  return `/_api/v2/api_keys/${encodeURIComponent(key)}`;
}

function bodyOf({ label, expires, grant }: Values): Fields {
  return {
    ...(label === undefined ? {} : { label }),
    ...(expires === undefined ? {} : { expires_at: timeOf(expires) }),
    ...(grant === undefined ? {} : { grants: Object.fromEntries(grant.map(grantIn)) }),
  };
}

function grantIn(text: string): readonly [database: string, roles: readonly string[]] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError('--grant must be like fruit=_reader,_writer');
  return [text.slice(0, at), rolesIn(text.slice(at + 1))];
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000 };

/** Converts a duration from now to a time; Couchgate checks every other text. */
function timeOf(text: string): string {
  const ahead = /^(\d{1,5})([hd])$/.exec(text);
  if (ahead === null) return text;
  const time = Date.now() + Number(ahead[1]) * (UNIT_MS[ahead[2] ?? ''] ?? 0);
  return new Date(time).toISOString();
}

function overlapOf({ overlap }: Values): Fields | undefined {
  if (overlap === undefined) return undefined;
  if (!/^\d{1,7}$/.test(overlap)) throw new UsageError('--overlap must be a number of seconds');
  return { overlap_seconds: Number(overlap) };
}

function describeRevocation(answer: Fields): string {
  const list = (field: string): string => {
    const names = answer[field];
    return Array.isArray(names) ? names.map((name) => printable(String(name))).join(', ') : '';
  };
  const [removed, left] = [list('grants_removed_on'), list('granted_on')];
  return [
    'The key is revoked.\n',
    removed === '' ? '' : `Grants were removed on: ${removed}\n`,
    left === '' ? '' : `Grants without effect are left on: ${left}\n`,
  ].join('');
}

function showPassword(answer: Fields, { stderr }: CommandIo): string {
  stderr.write('Store the password now: it is not shown again.\n');
  return lines(answer, ['key', 'password', 'old_password_valid_until']);
}

/** `name: value` in lines, with the values in one column. */
function lines(answer: Fields, fields: readonly string[]): string {
  const present = fields.filter((field) => answer[field] !== undefined);
  const width = Math.max(...present.map((field) => field.length));
  return present.map((field) => `${`${field}:`.padEnd(width + 2)}${cell(answer[field])}\n`).join('');
}

const COLUMNS = ['key', 'label', 'created_at', 'expires_at', 'last_used'] as const;

function table(keys: readonly Fields[]): string {
  const rows = [COLUMNS, ...keys.map((key) => COLUMNS.map((column) => cell(key[column])))];
  const widths = COLUMNS.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

function cell(value: unknown): string {
  return typeof value === 'string' ? printable(value) : '-';
}
