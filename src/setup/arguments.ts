// What `couchgate setup` is asked on its command line and in its environment. Doing it is index.ts's business.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ADMIN_PASSWORD, ADMIN_USER } from '../config/sources.ts';

export const SETUP_USAGE = `usage: couchgate setup [options] <address of a CouchDB node>...

Makes an existing CouchDB cluster ready for Couchgate: checks and sets what Couchgate relies on, on every node of
the cluster. Name every node: each is asked to accept a token at the end, and one without an address cannot be
asked, so that the cluster does not count as ready. It may be run any number of times.

  --dry-run              say what would be changed, change nothing
  --restart              restart the nodes that need it, one after the other, waiting for each
  --adopt <pattern>      leave these databases to CouchDB's own members and admins (couchdb_auth_only), so that
                         nothing changes for their users; \`*\` stands for any characters; may be repeated
  --rotate               add a second key beside the one in use, and say how to change over
  --retire <kid>         remove a key that is not in use any more
  --replace-key          give the key in use another secret where CouchDB has one already: every Couchgate that uses
                         the old one is locked out. Without it setup stops there
  --join                 first join these fresh nodes to one cluster and make its system databases
  --make-secrets <dir>   write the secrets of a new cluster into this folder, where they are missing, and stop
  --user <name>          CouchDB server admin; else COUCHGATE_ADMIN_USER, else \`admin\`
  --password-file <file> file with the admin's password; else COUCHGATE_ADMIN_PASSWORD, else it is asked for

Exit code 0: ready. 1: something is left to do, the report says what. 2: wrong usage.`;

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
  /** Undefined = it has to be asked for. */
  readonly password: string | undefined;
}

/** A mistake of whoever typed the command; the message says what to do. */
export class UsageError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws a UsageError for what cannot be meant. */
export function parseSetupArguments(args: readonly string[], env: Environment): SetupArguments {
  const { values, positionals } = parse(args);
  const urls = positionals.map(checkedUrl);
  if (urls.length === 0 && values['make-secrets'] === undefined)
    throw new UsageError('name at least one CouchDB node, for example http://10.0.0.1:5984');
  if (values.rotate && values.retire !== undefined)
    throw new UsageError('--rotate and --retire are two steps: every Couchgate changes over between them');
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
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Whoever may list processes reads command lines, so credentials in an address are refused instead of taken; they are not repeated here. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new UsageError('an argument is no http or https address of a CouchDB node');
  if (url.username !== '' || url.password !== '')
    throw new UsageError(
      'an address holds credentials, which every user of this machine can read; use --user and --password-file',
    );
  return url.origin;
}

function readPassword(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/u, '');
  } catch (error) {
    throw new UsageError(
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    );
  }
}
