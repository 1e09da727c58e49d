// Reads the secrets that the configuration does not set from files in the data folder, and creates missing
// ones.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { IncompleteSecret, isWeakSecret, keepSecret } from './secret-file.ts';
import { type Settings } from './settings.ts';

export type SecretName = 'sessionSecret' | 'jwtSecret' | 'ownerPassword';

export interface Secrets {
  /** Base64. */
  readonly sessionSecret: string;
  /** Base64. */
  readonly jwtSecret: string;
  /** Password of the server admin of the embedded node; empty without one. */
  readonly ownerPassword: string;
  /** Secrets created by this call; a new owner password must be shown once. */
  readonly created: ReadonlySet<SecretName>;
  /** Problems with file permissions, one sentence each. */
  readonly warnings: readonly string[];
}

type SecretSettings = Pick<
  Settings,
  'data' | 'couchdbNodes' | 'sessionSecret' | 'jwtSecret' | 'ownerPassword'
>;

const FILES: Readonly<Record<SecretName, string>> = {
  sessionSecret: 'session_secret',
  jwtSecret: 'jwt_secret',
  ownerPassword: 'owner_password',
};

/** Thrown if the data folder cannot be used; the message names the folder and the fix. */
export class DataFolderError extends Error {}

/**
 * Returns the secrets. If the configuration sets a secret, that value is used unchanged. Missing ones are
 * created in the data folder: 256 random bits each, 144 for the owner password, so that it can be typed.
 * Without the embedded node, only the session secret is created: the others belong to CouchDB. Throws a
 * DataFolderError if the folder cannot be used.
 */
export function readOrMakeSecrets(settings: SecretSettings): Secrets {
  const embedded = settings.couchdbNodes.length === 0;
  const created = new Set<SecretName>();
  const warnings: string[] = [];
  const secret = (name: SecretName, needed: boolean, make: () => string): string => {
    const configured = settings[name];
    if (configured !== '' || !needed) return configured;
    return inFolder(settings.data, () => {
      const path = join(openFolder(settings.data, warnings), FILES[name]);
      const { secret, isNew } = keepSecret(path, make);
      // Text that is no Base64 can decode to an empty key.
      if (name !== 'ownerPassword' && isWeakSecret(secret))
        throw new IncompleteSecret(
          `The secret in ${path} is damaged. Remove the file; Couchgate creates a new one.`,
        );
      if (isNew) created.add(name);
      if ((statSync(path).mode & 0o077) !== 0) restrictMode(path, warnings);
      return secret;
    });
  };
  return {
    sessionSecret: secret('sessionSecret', true, () => randomBytes(32).toString('base64')),
    jwtSecret: secret('jwtSecret', embedded, () => randomBytes(32).toString('base64')),
    ownerPassword: secret('ownerPassword', embedded, () => randomBytes(18).toString('base64url')),
    created,
    warnings,
  };
}

function inFolder<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof IncompleteSecret) throw new DataFolderError(error.message);
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new DataFolderError(
      `The data folder ${folder} cannot be used (${code}). Make it writable for this user, set COUCHGATE_DATA to another folder, or configure the secrets.`,
    );
  }
}

function openFolder(folder: string, warnings: string[]): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if ((statSync(folder).mode & 0o007) !== 0) {
    const warning = `the data folder ${folder} is accessible to every user of this machine; run chmod 700`;
    if (!warnings.includes(warning)) warnings.push(warning);
  }
  return folder;
}

/** Restricts the file mode to the owner. Some volumes have a fixed mode; that is only a warning. */
function restrictMode(path: string, warnings: string[]): void {
  try {
    chmodSync(path, 0o600);
  } catch {
    warnings.push(`${path} is readable by other users, and its mode cannot be changed`);
  }
}
