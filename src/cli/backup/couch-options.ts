// How the backup commands reach CouchDB: as server admin, through the configured nodes or through given URLs.
import { readCouchdbCa } from '../../config/couchdb-ca.ts';
import { type Settings } from '../../config/settings.ts';
import { ADMIN_PASSWORD, ADMIN_USER, type Environment } from '../../config/sources.ts';
import { createTransfer, type CouchTransfer } from '../../couch/transfer.ts';
import { createTokenMinter } from '../../identity/token-minter.ts';
import { checkedUrl, readPassword, UsageError } from '../../setup/arguments.ts';
import { askPassword } from '../ask-password.ts';
import { printable } from '../terminal.ts';

/** Options of the commands that need CouchDB, for `parseArgs`. */
export const COUCH_OPTIONS = {
  url: { type: 'string', multiple: true },
  user: { type: 'string' },
  'password-file': { type: 'string' },
} as const;

export const COUCH_USAGE = `  --url URL              URL of a CouchDB node, repeatable; default: couchdb_nodes with jwt_secret
  --user NAME            with --url: the server admin; default: COUCHGATE_ADMIN_USER, else admin
  --password-file FILE   with --url: file with the password; default: COUCHGATE_ADMIN_PASSWORD, else a prompt
`;

export interface CouchValues {
  readonly url?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly 'password-file'?: string | undefined;
}

/** Opens the client with the privilege of the owner. Throws a UsageError if the credentials are missing. */
export async function openCouch(
  values: CouchValues,
  settings: Settings,
  env: Environment,
): Promise<CouchTransfer> {
  const ca = readCouchdbCa(settings);
  const urls =
    values.url === undefined
      ? settings.couchdbNodes
      : values.url.map((url) => checkedUrl(url, 'a CouchDB node'));
  if (urls.length === 0)
    throw new UsageError('no CouchDB: set couchdb_nodes, or use --url, for example http://127.0.0.1:5984');
  let turn = 0;
  return createTransfer({
    pickNode(tried) {
      const left = urls.filter((url) => !tried.has(url));
      turn += 1;
      const url = left[turn % left.length];
      return url === undefined ? undefined : { url };
    },
    authorization: values.url === undefined ? bearer(settings) : await basic(values, env),
    connectTimeoutMs: settings.couchdbConnectTimeoutMs,
    ...(ca === undefined ? {} : { ca }),
  });
}

function bearer(settings: Settings): () => string {
  if (settings.jwtSecret === '')
    throw new UsageError('no credentials for CouchDB: set jwt_secret, or use --url with --user');
  const tokens = createTokenMinter({
    secret: Buffer.from(settings.jwtSecret, 'base64'),
    kid: settings.jwtKid,
    lifetimeSeconds: settings.jwtLifetimeSeconds,
  });
  return () => `Bearer ${tokens.tokenForSelf()}`;
}

async function basic(values: CouchValues, env: Environment): Promise<() => string> {
  const name = values.user ?? env[ADMIN_USER] ?? 'admin';
  const file = values['password-file'];
  const given = file === undefined ? env[ADMIN_PASSWORD] : readPassword(file);
  const password = given ?? (await askPassword?.(`Password of ${printable(name)}: `));
  if (password === undefined)
    throw new UsageError('no password: use --password-file or COUCHGATE_ADMIN_PASSWORD');
  const header = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  return () => header;
}
