// Creates the secret files of a new cluster, for the CouchDB nodes and for Couchgate. Existing files are
// kept.
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Report } from './node.ts';

/** PBKDF2 iterations that CouchDB uses for a new password (default.ini, [chttpd_auth] iterations). */
const PASSWORD_ROUNDS = 600_000;

/**
 * Writes `admin_password`, `jwt_secret`, `session_secret`, `erlang_cookie` and `couchdb.ini`. Every node
 * reads `couchdb.ini`: the signing key, the digest of the admin password, the cookie secret and the cluster
 * uuid. File mode: 0600.
 */
export async function makeSecrets(
  folder: string,
  parameters: {
    readonly kid: string;
    readonly admin: string;
    readonly report: Report;
    readonly rounds?: number;
  },
): Promise<void> {
  const { kid, admin, report, rounds = PASSWORD_ROUNDS } = parameters;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const keep = (name: string, text: () => string): Promise<string> => keepFile(folder, name, text, report);
  const password = await keep('admin_password', () => randomBytes(18).toString('base64url'));
  const jwtSecret = await keep('jwt_secret', () => randomBytes(32).toString('base64'));
  await keep('session_secret', () => randomBytes(32).toString('base64'));
  await keep('erlang_cookie', () => randomBytes(24).toString('hex'));
  await keep('couchdb.ini', () =>
    [
      '[couchdb]',
      `uuid = ${randomBytes(16).toString('hex')}`,
      '[chttpd_auth]',
      `secret = ${randomBytes(32).toString('hex')}`,
      '[jwt_keys]',
      `hmac:${kid} = ${jwtSecret}`,
      '[admins]',
      `${admin} = ${adminDigest(password, rounds)}`,
    ].join('\n'),
  );
}

/** Returns the stored form of an admin password. Source: couch_passwords.erl hash_admin_password/6. */
export function adminDigest(password: string, rounds: number): string {
  const salt = randomBytes(16).toString('hex');
  const key = pbkdf2Sync(password, salt, rounds, 32, 'sha256').toString('hex');
  return `-pbkdf2:sha256-${key},${salt},${rounds}`;
}

/**
 * Returns the content of the file; creates a missing one. `wx`: an existing secret may be in use and is never
 * overwritten.
 */
async function keepFile(folder: string, name: string, text: () => string, report: Report): Promise<string> {
  const file = join(folder, name);
  const there = await readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  report.line(`  ${there === undefined ? 'written' : 'kept   '} ${file}`);
  if (there !== undefined) return there.trim();
  const made = text();
  await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' });
  return made;
}
