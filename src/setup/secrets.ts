// Creates the secret files of a new cluster, for the CouchDB nodes and for Couchgate. Existing files are
// kept.
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Report } from './node.ts';

/** PBKDF2 iterations that CouchDB uses for a new password (default.ini, [chttpd_auth] iterations). */
const PASSWORD_ROUNDS = 600_000;

/**
 * Writes each secret into a folder of its own, so that docker-compose.yml can mount into a service only what
 * that service uses: `admin/admin_password`, `jwt/jwt_secret`, `session/session_secret`, and
 * `couchdb/erlang_cookie` and `couchdb/couchdb.ini` for the nodes. `couchdb.ini` has the signing key, the
 * digest of the admin password, the cookie secret and the cluster uuid. File mode: 0600.
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
  const keep = (name: string, text: () => string): Promise<string> =>
    keepFile(join(folder, name), join(folder, basename(name)), text, report);
  const password = await keep('admin/admin_password', () => randomBytes(18).toString('base64url'));
  const jwtSecret = await keep('jwt/jwt_secret', () => randomBytes(32).toString('base64'));
  await keep('session/session_secret', () => randomBytes(32).toString('base64'));
  await keep('couchdb/erlang_cookie', () => randomBytes(24).toString('hex'));
  await keep('couchdb/couchdb.ini', () =>
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
 * overwritten. `former` is where versions before the folders kept it; such a file is moved.
 */
async function keepFile(file: string, former: string, text: () => string, report: Report): Promise<string> {
  const there = await contentOf(file);
  if (there !== undefined) {
    report.line(`  kept    ${file}`);
    return there.trim();
  }
  const before = await contentOf(former);
  const made = before?.trim() ?? text();
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' });
  // Not a rename: the folders may be volumes of their own.
  if (before !== undefined) await rm(former);
  report.line(`  ${before === undefined ? 'written' : 'moved  '} ${file}`);
  return made;
}

async function contentOf(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
}
