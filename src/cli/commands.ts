// The table of commands, and the help that all of them have in common.
import { resolve } from 'node:path';
import { askPassword } from './ask-password.ts';
import { audit, AUDIT_USAGE } from './audit.ts';
import { backup, BACKUP_USAGE } from './backup/backup.ts';
import { diff, DIFF_USAGE } from './backup/diff.ts';
import { find, FIND_USAGE } from './backup/find.ts';
import { forget, FORGET_USAGE } from './backup/forget.ts';
import { restore, RESTORE_USAGE } from './backup/restore.ts';
import { snapshots, SNAPSHOTS_USAGE } from './backup/snapshots.ts';
import { verify, VERIFY_USAGE } from './backup/verify.ts';
import { checkConfig, printConfig } from './check-config.ts';
import { type Command, type CommandIo } from './command.ts';
import { corsCheck, CORS_CHECK_USAGE } from './cors-check.ts';
import { EXPLAIN_USAGE, explainCommand } from './explain.ts';
import { grantCommand, GRANT_USAGE, revokeGrantCommand, REVOKE_GRANT_USAGE } from './grant.ts';
import { keysCommand, KEYS_USAGE } from './keys.ts';
import { harmlessIo, printable } from './terminal.ts';
import { permissionsCommand, PERMISSIONS_USAGE } from './permissions/command.ts';
import { WHAT_CAN_USAGE, whatCanCommand, WHO_CAN_USAGE, whoCanCommand } from './who-can.ts';
import { loadSettings } from '../config/load.ts';
import { exportCommand, EXPORT_USAGE } from './export.ts';
import { nearest } from '../config/nearest.ts';
import { SETUP_USAGE } from '../setup/arguments.ts';
import { VERSION } from '../config/version.ts';
import { checkAtRest, CHECK_USAGE, dataFolders } from '../setup/check-at-rest.ts';
import { runSetup } from '../setup/index.ts';

const USAGE = `Usage: couchgate [command]

  (none)                 start the proxy with the settings of config/ and the environment
  setup <url>...         prepare an existing CouchDB cluster
  keys <action>          list, show, create, rotate and revoke API keys of a running Couchgate
  grant <key> <roles> <database>
                         add roles of a key on a database
  revoke-grant <key> <roles> <database>
                         remove roles of a key on a database
  explain <method> <path>
                         say whether a request of a key would be permitted, and why
  who-can <role> <database>
                         list the names with a role on a database
  what-can <key>         list the databases of a key
  audit [file]...        filter an access log
  backup                 make a snapshot of databases
  snapshots [database]   list the snapshots
  restore <database>     restore a database, or one document, from a snapshot
  verify                 check the backups; --restore proves that they can be restored
  find <database> <id>   list the stored versions of a document
  diff <database> <id>   compare two versions of a document
  forget [database]...   remove old snapshots
  export <database>      write the documents as JSON, JSON lines or CSV
  permissions <action>   export, plan and apply permissions as a file; check compares them with every node
  cors-check <origin>    print which rule allows or refuses a preflight
  --check-config         list every problem of the configuration; exit code 1 if there is one
  --print-config         print every setting with its value and source; secrets are masked
  --version              print the version
  --help                 print this text; \`couchgate <command> --help\` describes one command

Settings: docs/configuration.md
`;

interface CommandEntry {
  readonly usage: string;
  readonly run: Command;
  /** True if the command has arguments. Without them, an argument is a mistake. */
  readonly hasArguments: boolean;
  /** True if standard output is data of the user, byte for byte unless it is a terminal. */
  readonly writesData?: boolean;
}

const setup: Command = (args, { env, stdout, stderr }) => {
  if (args[0] === '--check') {
    const folders = args.slice(1);
    if (folders.some((word) => word.startsWith('-') || word.includes('://'))) {
      stderr.write(CHECK_USAGE);
      return 2;
    }
    const own = dataFolders(loadSettings({ env, purpose: 'setup' }));
    const named = folders.map((folder) => [resolve(folder), 'named'] as const);
    return checkAtRest(new Map([...own, ...named]), (line) => stdout.write(`${printable(line)}\n`));
  }
  return runSetup({
    args,
    env,
    settings: () => loadSettings({ env, purpose: 'setup' }),
    print: (line) => stdout.write(`${line}\n`),
    askPassword,
  });
};

const showVersion: Command = (_args, { stdout }) => {
  stdout.write(`${VERSION}\n`);
  return 0;
};

const showUsage: Command = (_args, { stdout }) => {
  stdout.write(USAGE);
  return 0;
};

const CHECK_CONFIG_USAGE = `Usage: couchgate --check-config
Lists every problem of the configuration (files and environment), and reads the certificates. Opens no listener,
creates no file and connects to no node. Exit codes: 0 = valid, 1 = a problem.
`;

const PRINT_CONFIG_USAGE = `Usage: couchgate --print-config
Prints every setting as YAML with its value and source; secrets are masked. Exit codes: 0 = valid, 1 = a problem.
`;

const plain = (usage: string, run: Command): CommandEntry => ({ usage, run, hasArguments: false });
const withArguments = (usage: string, run: Command): CommandEntry => ({ usage, run, hasArguments: true });

export const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  setup: withArguments(`${SETUP_USAGE}\n`, setup),
  keys: withArguments(KEYS_USAGE, keysCommand(askPassword)),
  grant: withArguments(GRANT_USAGE, grantCommand(askPassword)),
  'revoke-grant': withArguments(REVOKE_GRANT_USAGE, revokeGrantCommand(askPassword)),
  explain: withArguments(EXPLAIN_USAGE, explainCommand(askPassword)),
  'who-can': withArguments(WHO_CAN_USAGE, whoCanCommand(askPassword)),
  'what-can': withArguments(WHAT_CAN_USAGE, whatCanCommand(askPassword)),
  audit: withArguments(AUDIT_USAGE, audit),
  backup: withArguments(BACKUP_USAGE, backup),
  snapshots: withArguments(SNAPSHOTS_USAGE, snapshots),
  restore: withArguments(RESTORE_USAGE, restore),
  verify: withArguments(VERIFY_USAGE, verify),
  find: withArguments(FIND_USAGE, find),
  diff: withArguments(DIFF_USAGE, diff),
  forget: withArguments(FORGET_USAGE, forget),
  export: { ...withArguments(EXPORT_USAGE, exportCommand(askPassword)), writesData: true },
  permissions: withArguments(PERMISSIONS_USAGE, permissionsCommand(askPassword)),
  'cors-check': withArguments(CORS_CHECK_USAGE, corsCheck),
  '--check-config': plain(CHECK_CONFIG_USAGE, checkConfig),
  '--print-config': plain(PRINT_CONFIG_USAGE, printConfig),
  '--version': plain('Usage: couchgate --version\nPrints the version.\n', showVersion),
  '--help': plain(USAGE, showUsage),
  '-h': plain(USAGE, showUsage),
};

/**
 * Runs a command and resolves with its exit code. `--help` and `-h` print the usage of any command to stdout.
 * An unknown command, or an argument of a command without arguments, is invalid usage (2).
 */
export async function runCommand(name: string, args: readonly string[], given: CommandIo): Promise<number> {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const io = harmlessIo(given, command?.writesData);
  if (command === undefined) {
    const near = nearest(name, Object.keys(COMMANDS));
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    io.stderr.write(`couchgate: unknown command ${name}${hint}\n${USAGE}`);
    return 2;
  }
  if (asksForHelp(args)) {
    io.stdout.write(command.usage);
    return 0;
  }
  if (!command.hasArguments && args.length > 0) {
    io.stderr.write(`couchgate: ${name} has no arguments\n${command.usage}`);
    return 2;
  }
  return command.run(args, io);
}

/** Arguments after `--` are never options. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const options = end === -1 ? args : args.slice(0, end);
  return options.includes('--help') || options.includes('-h');
}
