// Creates the secret files of a new cluster, for the CouchDB nodes and for Couchgate. Existing files are
// kept.
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { keepSecret, readSecret } from '../config/secret-file.ts';
import { type Report } from './node.ts';

/** PBKDF2 iterations that CouchDB uses for a new password (default.ini, [chttpd_auth] iterations). */
const PASSWORD_ROUNDS = 600_000;

/**
 * Writes each secret into a folder of its own, so that docker-compose.yml can mount into a service only what
 * that service uses: `admin/admin_password`, `jwt/jwt_secret`, `session/session_secret`, and
 * `couchdb/erlang_cookie` and `couchdb/couchdb.ini` for the nodes. `couchdb.ini` has the signing key, the
 * digest of the admin password, the cookie secret and the cluster uuid. File mode: 0600.
 */
export function makeSecrets(
  folder: string,
  parameters: {
    readonly kid: string;
    readonly admin: string;
    readonly report: Report;
    readonly rounds?: number;
  },
): void {
  const { kid, admin, report, rounds = PASSWORD_ROUNDS } = parameters;
  const keep = (name: string, text: () => string, minLength?: number): string =>
    keepFile(join(folder, name), join(folder, basename(name)), { text, report, minLength });
  // An operator may have chosen a short password or cookie.
  const password = keep('admin/admin_password', () => randomBytes(18).toString('base64url'), 1);
  const jwtSecret = keep('jwt/jwt_secret', () => randomBytes(32).toString('base64'));
  keep('session/session_secret', () => randomBytes(32).toString('base64'));
  keep('couchdb/erlang_cookie', () => randomBytes(24).toString('hex'), 1);
  keep('couchdb/couchdb.ini', () =>
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
 * Returns the content of the file; creates a missing one. `former` is where versions before the folders kept
 * it; such a file is moved.
 */
function keepFile(
  file: string,
  former: string,
  how: { readonly text: () => string; readonly report: Report; readonly minLength: number | undefined },
): string {
  let before: string | undefined;
  const make = (): string => (before = readSecret(former, how.minLength)) ?? how.text();
  const { secret, isNew } = keepSecret(file, make, how.minLength);
  const verb = !isNew ? 'kept' : before === undefined ? 'written' : 'moved';
  // Not a rename: the folders may be volumes of their own.
  if (verb === 'moved') rmSync(former);
  how.report.line(`  ${verb.padEnd(7)} ${file}`);
  return secret;
}
