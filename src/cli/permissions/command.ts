// `couchgate permissions`: check, export, plan and apply.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { type Widening } from '../../permissions/widening.ts';
import { type Admin, reasonOf } from '../../setup/admin.ts';
import { UsageError } from '../../setup/arguments.ts';
import { type Command, type CommandIo } from '../command.ts';
import { type AskPassword, openOwner, OWNER_OPTION_LINES, OWNER_OPTIONS } from '../owner-client.ts';
import { parseOptions, type Parsed } from '../parse-options.ts';
import { checkPermissions } from '../permissions-check.ts';
import { applyPlan } from './apply.ts';
import { placeOf } from './apply-grants.ts';
import { exportPermissions } from './export.ts';
import { flagsOf } from './flags.ts';
import { MAX_FILE_BYTES, parsePermissionsFile } from './file.ts';
import { type FileProblem } from './file-nodes.ts';
import { NotApplied } from './not-applied.ts';
import { type DatabaseChange, makePlan, type Plan, PlanProblems } from './plan.ts';
import { wordsOf } from './plan-grants.ts';
import { parsePlan, planText } from './saved-plan.ts';
import { printable } from '../terminal.ts';

export const PERMISSIONS_USAGE = `Usage: couchgate permissions check [database]...
       couchgate permissions export [database]...
       couchgate permissions plan FILE
       couchgate permissions apply FILE|PLAN
check compares the permission record of each database with its _security on every node of couchdb_nodes, and prints what
differs. It uses the configuration of the server. docs/permissions.md explains the words.
  --repair               check: repair what differs; nobody gets more rights than the record grants
export prints the permissions as a YAML file, plan prints what such a file would change, apply changes it.
  --out PLAN             plan: save the plan; apply refuses it if something has changed since
  --prune                plan, apply: also remove what the file does not grant on its databases, and
                         the prefix and server grants that its sections do not have
  --allow-public         apply: permit that a database is opened to callers without credentials
  --allow-admin          apply: permit that somebody new gets _admin or _security
  --yes                  apply: do not ask
  --reason TEXT          apply: the reason in the history of permissions; default: the name of the file
${OWNER_OPTION_LINES}
Exit codes of check: 0 = nothing differs (any more), 1 = something differs, 2 = invalid usage or configuration,
3 = CouchDB cannot be reached. Of plan: 0 = nothing to do, 2 = changes, 1 = error. Of export and apply: 0 = success,
1 = error, nothing is changed if the message does not say otherwise.
`;

const OPTIONS = {
  ...OWNER_OPTIONS,
  repair: { type: 'boolean' },
  out: { type: 'string' },
  prune: { type: 'boolean' },
  'allow-public': { type: 'boolean' },
  'allow-admin': { type: 'boolean' },
  yes: { type: 'boolean' },
  reason: { type: 'string' },
} as const;

type Values = Parsed<typeof OPTIONS>['values'];
type Option = keyof Values;

/** The options of each action, besides those of the owner. */
const ACTIONS: Readonly<Record<string, readonly Option[]>> = {
  check: ['repair'],
  export: [],
  plan: ['out', 'prune'],
  apply: ['prune', 'allow-public', 'allow-admin', 'yes', 'reason'],
};
const OWN_OPTIONS: readonly Option[] = [...new Set(Object.values(ACTIONS).flat())];
const MAX_PROBLEMS = 1000;

/** Creates the command; `askPassword` = undefined without a terminal. */
export function permissionsCommand(askPassword: AskPassword): Command {
  return async (args, io) => {
    // For `plan`, 2 means that there are changes, so a mistake is 1 there.
    const isAsCode = ['export', 'plan', 'apply'].includes(args[0] ?? '');
    try {
      const { values, action, names } = readArguments(args);
      if (action === 'check')
        return await checkPermissions(
          { repair: values.repair === true, json: values.json, databases: names },
          io,
        );
      return await run(action, values, names, { io, open: () => openOwner(values, io, askPassword) });
    } catch (error) {
      const lines = error instanceof NotApplied ? error.lines : [reasonOf(error)];
      io.stderr.write(`couchgate: ${lines.map(printable).join('\n')}\n`);
      if (!(error instanceof UsageError)) return 1;
      io.stderr.write(PERMISSIONS_USAGE);
      return isAsCode ? 1 : 2;
    }
  };
}

interface Task {
  readonly io: CommandIo;
  readonly open: () => Promise<Admin>;
}

function readArguments(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, OPTIONS);
  const [action = '', ...names] = positionals;
  const options = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (options === undefined) throw new UsageError('name one of check, export, plan, apply');
  for (const option of OWN_OPTIONS)
    if (values[option] !== undefined && !options.includes(option))
      throw new UsageError(`--${option} is not an option of permissions ${action}`);
  if ((action === 'plan' || action === 'apply') && names.length !== 1) throw new UsageError('pass one file');
  return { values, action, names };
}

async function run(action: string, values: Values, names: readonly string[], task: Task): Promise<number> {
  const [file = ''] = names;
  if (action === 'export') {
    await exportPermissions(await task.open(), names, {
      write: (text) => task.io.stdout.write(text),
      warn: (text) => task.io.stderr.write(`Warning: ${printable(text)}\n`),
    });
    return 0;
  }
  return action === 'plan' ? plan(file, values, task) : apply(file, values, task);
}

async function plan(file: string, values: Values, { io, open }: Task): Promise<number> {
  const made = await planOf(readText(file), file, values, { io, open });
  if (made === undefined) return 1;
  if (values.out !== undefined) writeFileSync(values.out, planText(made.plan));
  if (values.json) io.stdout.write(planText(made.plan));
  else show(made.plan, io);
  return isEmptyPlan(made.plan) ? 0 : 2;
}

async function apply(file: string, values: Values, { io, open }: Task): Promise<number> {
  const text = readText(file);
  const isPlan = text.startsWith('{"version":1,"made_at"');
  if (isPlan && values.prune === true) throw new UsageError('--prune is decided when the plan is made');
  const made = isPlan
    ? { plan: savedPlan(text, file), couchgate: await open() }
    : await planOf(text, file, values, { io, open });
  if (made === undefined) return 1;
  if (!values.json) show(made.plan, io);
  if (isEmptyPlan(made.plan)) return 0;
  const allowed = new Set<Widening>([
    ...(values['allow-public'] === true ? (['public'] as const) : []),
    ...(values['allow-admin'] === true ? (['admin'] as const) : []),
  ]);
  const done = await applyPlan(made.plan, {
    couchgate: made.couchgate,
    reason: values.reason ?? `permissions apply ${basename(file)}`.slice(0, 512),
    allowed,
    confirm: () => (values.yes === true ? Promise.resolve(true) : ask(made.plan, io)),
    say: (line) => io.stderr.write(`${printable(line)}\n`),
  });
  if (values.json) io.stdout.write(`${JSON.stringify({ ok: done !== undefined, changed: done ?? 0 })}\n`);
  return done === undefined ? 1 : 0;
}

function savedPlan(text: string, file: string): Plan {
  try {
    return parsePlan(text);
  } catch (error) {
    throw new Error(`${file}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Makes the plan of a file; prints every problem, and returns undefined, if there is one. */
async function planOf(
  text: string,
  file: string,
  { prune = false }: Values,
  { io, open }: Task,
): Promise<{ readonly plan: Plan; readonly couchgate: Admin } | undefined> {
  const { problems, ...parsed } = parsePermissionsFile(text);
  if (problems.length > 0) {
    tell(problems, file, io);
    return undefined;
  }
  const couchgate = await open();
  try {
    return { couchgate, plan: await makePlan(couchgate, parsed, { prune }) };
  } catch (error) {
    if (!(error instanceof PlanProblems)) throw error;
    tell(error.problems, file, io);
    return undefined;
  }
}

function tell(problems: readonly FileProblem[], file: string, { stderr }: CommandIo): void {
  for (const { line, reason } of problems.slice(0, MAX_PROBLEMS))
    stderr.write(`${printable(`${file}:${line}: ${reason}`)}\n`);
  if (problems.length > MAX_PROBLEMS) stderr.write(`and ${problems.length - MAX_PROBLEMS} more problems\n`);
}

function isEmptyPlan({ databases, grants }: Plan): boolean {
  return databases.length + grants.length === 0;
}

function show(plan: Plan, { stdout, stderr }: CommandIo): void {
  for (const warning of plan.warnings) stderr.write(`Warning: ${printable(warning)}\n`);
  for (const change of plan.databases) {
    stdout.write(`${printable(change.database)} (revision ${change.revision})\n`);
    for (const line of linesOf(change)) stdout.write(`  ${printable(line)}\n`);
  }
  for (const change of plan.grants) {
    const { before, after, widening } = change;
    stdout.write(`${printable(placeOf(change))}\n`);
    for (const line of [
      `${wordsOf(before)} -> ${wordsOf(after)}`,
      ...flagsOf(placeOf(change), widening).map((flag) => `! ${flag}`),
    ])
      stdout.write(`  ${printable(line)}\n`);
  }
  stdout.write(isEmptyPlan(plan) ? 'Nothing to do.\n' : `${countOf(plan)} to change.\n`);
}

function countOf({ databases, grants }: Plan): string {
  return grants.length === 0
    ? `${databases.length} databases`
    : `${databases.length} databases and ${grants.length} grants`;
}

function linesOf(change: DatabaseChange): readonly string[] {
  const words = (roles: readonly string[]): string => (roles.length === 0 ? '-' : roles.join(','));
  return [
    ...change.names.map(({ name, before, after }) => `${name}: ${words(before)} -> ${words(after)}`),
    ...(change.couchdb === undefined ? [] : [`CouchDB: ${JSON.stringify(change.couchdb)}`]),
    ...flagsOf(change.database, change.widening).map((flag) => `! ${flag}`),
  ];
}

/** Asks on a terminal. Throws a UsageError elsewhere: nobody could answer. */
async function ask(plan: Plan, { stdin, stderr }: CommandIo): Promise<boolean> {
  if ((stdin as { readonly isTTY?: boolean }).isTTY !== true)
    throw new UsageError('nobody can be asked here; add --yes if the plan may be applied');
  stderr.write(`Change ${countOf(plan)}? [y/N] `);
  for await (const line of createInterface({ input: stdin })) return /^y(?:es)?$/i.test(line.trim());
  return false;
}

function readText(file: string): string {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new Error(`${file} is larger than 32 MiB`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : new Error(`${file} cannot be read (${code})`, { cause: error });
  }
}
