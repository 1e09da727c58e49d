// Parses the command line and the environment of `couchgate setup`.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ADMIN_PASSWORD, ADMIN_USER } from '../config/sources.ts';

export const SETUP_USAGE = `Usage: couchgate setup [options] <URL of a CouchDB node>...
       couchgate setup --check [folder]...

Prepares an existing CouchDB cluster for Couchgate: checks every setting that Couchgate requires, on every node, and
corrects wrong ones. Pass the URL of every node. At the end, setup tests a token on each of them. A node without a
URL cannot be tested; the cluster is then not ready. You can run setup again at any time.

  --dry-run              report what setup would change; change nothing
  --restart              restart the nodes that need it, one at a time; wait until each is up
  --adopt <pattern>      keep CouchDB's members and admins of these databases in effect (couchdb_auth_only), so that
                         nothing changes for their users; \`*\` matches any characters; repeatable
  --rotate               add a second signing key and print the steps to switch to it
  --retire <kid>         remove a key that is no longer in use
  --replace-key          replace the secret of the key in use if CouchDB has a different one. Every Couchgate that
                         uses the old secret loses access. Without this option, setup stops with an error
  --join                 first join these fresh nodes to one cluster and create its system databases. If the
                         cluster exists, a majority of its nodes is enough; setup lists the missing ones
  --make-secrets <dir>   create the missing secrets of a new cluster in folders of this folder; requires no URL
  --check                only say for each local data folder whether the device below it is encrypted; see
                         docs/encryption-at-rest.md
  --user <name>          CouchDB server admin; default: COUCHGATE_ADMIN_USER, else \`admin\`
  --password-file <file> file with the password of the admin; default: COUCHGATE_ADMIN_PASSWORD, else a prompt

Exit codes: 0 = ready, 1 = not ready (the report lists what is missing), 2 = invalid usage.`;

export interface SetupArguments {
  readonly urls: readonly string[];
  readonly dryRun: boolean;
  readonly restart: boolean;
  readonly adopt: readonly string[];
  readonly rotate: boolean;
  readonly retire: string | undefined;
  readonly replaceKey: boolean;
  readonly join: boolean;
  readonly makeSecrets: string | undefined;
  readonly user: string;
  /** Undefined = prompt for it. */
  readonly password: string | undefined;
}

/** Invalid usage of the command line; the message says how to correct it. */
export class UsageError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** Parses the arguments. Throws a UsageError for invalid ones. */
export function parseSetupArguments(args: readonly string[], env: Environment): SetupArguments {
  const { values, positionals } = parse(args);
  if (values.check) throw new UsageError('--check comes first, and only folders follow it');
  const urls = positionals.map((text) => checkedUrl(text, 'a CouchDB node'));
  if (urls.length === 0 && values['make-secrets'] === undefined)
    throw new UsageError('pass the URL of at least one CouchDB node, for example http://10.0.0.1:5984');
  if (values.rotate && values.retire !== undefined)
    throw new UsageError(
      '--rotate and --retire are two steps: every Couchgate must switch keys between them',
    );
  const file = values['password-file'];
  return {
    urls,
    dryRun: values['dry-run'],
    restart: values.restart,
    adopt: values.adopt,
    rotate: values.rotate,
    retire: values.retire,
    replaceKey: values['replace-key'],
    join: values.join,
    makeSecrets: values['make-secrets'],
    user: values.user ?? env[ADMIN_USER] ?? 'admin',
    password: file === undefined ? env[ADMIN_PASSWORD] : readPassword(file),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        check: { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        restart: { type: 'boolean', default: false },
        adopt: { type: 'string', multiple: true, default: [] },
        rotate: { type: 'boolean', default: false },
        retire: { type: 'string' },
        'replace-key': { type: 'boolean', default: false },
        join: { type: 'boolean', default: false },
        'make-secrets': { type: 'string' },
        user: { type: 'string' },
        'password-file': { type: 'string' },
      },
    });
  } catch (error) {
    // Node adds advice about `--` that does not help here.
    const [sentence = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1);
    throw new UsageError(sentence);
  }
}

/**
 * Returns the origin of a URL. Throws a UsageError for credentials in it: every user who can list processes
 * sees them. The message does not repeat them.
 */
export function checkedUrl(text: string, product: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new UsageError(`an argument is not an http or https URL of ${product}`);
  if (url.username !== '' || url.password !== '')
    throw new UsageError(
      'a URL contains credentials, which every user of this machine can read; use --user and --password-file',
    );
  return url.origin;
}

/**
 * Reads a password file; a line feed at its end is not part of the password. Throws a UsageError, also for an
 * empty file (H40.1).
 */
export function readPassword(file: string): string {
  const password = readTextFile(file).replace(/\r?\n$/u, '');
  if (password === '') throw new UsageError(`${file} is empty`);
  return password;
}

/** The text of a file that an option names. Throws a UsageError. */
export function readTextFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    );
  }
}
