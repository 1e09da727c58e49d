// Finds the secrets that the configuration does not give: kept in files of the data folder, made on first start.
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Settings } from './settings.ts';

export type SecretName = 'sessionSecret' | 'jwtSecret' | 'ownerPassword';

export interface Secrets {
  /** Base64. */
  readonly sessionSecret: string;
  /** Base64. */
  readonly jwtSecret: string;
  /** Of the embedded node's server admin; empty when there is none. */
  readonly ownerPassword: string;
  /** Those that were made just now; a new owner password must be shown once. */
  readonly created: ReadonlySet<SecretName>;
  /** What is seldom meant, one sentence each. */
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

/** The data folder is what an operator must make writable, so it is named in one sentence whatever failed in it. */
export class DataFolderError extends Error {}

/**
 * The secrets in use. A configured one is taken as it is; the others come from the data folder, made of 256 random bits where they are missing (the
 * owner password of 144, so that it can be typed). Without the embedded node only the session secret is made: the others belong to CouchDB.
 * Throws a DataFolderError when the folder cannot be used.
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
      if (createSecret(path, make())) created.add(name);
      return readSecret(path, warnings);
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
    if (error instanceof DataFolderError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new DataFolderError(
      `The data folder ${folder} cannot be used (${code}). Make it writable for this user, set COUCHGATE_DATA to another, or configure the secrets.`,
    );
  }
}

function openFolder(folder: string, warnings: string[]): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if ((statSync(folder).mode & 0o007) !== 0) {
    const warning = `the data folder ${folder} is open to every user of this machine; chmod 700 closes it`;
    if (!warnings.includes(warning)) warnings.push(warning);
  }
  return folder;
}

/**
 * Puts a new secret in place, whole or not at all: it is written under another name first and then linked, which fails when the name is taken.
 * So of two processes that start at once, both use the one that was first.
 */
function createSecret(path: string, secret: string): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, `${secret}\n`, { flag: 'wx', mode: 0o600, flush: true });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

function readSecret(path: string, warnings: string[]): string {
  const secret = readFileSync(path, 'utf8').trim();
  if (secret.length < 16)
    throw new DataFolderError(`The secret in ${path} is too short. Remove the file to have a new one made.`);
  if ((statSync(path).mode & 0o077) !== 0) tighten(path, warnings);
  return secret;
}

/** Some volumes fix the mode of their files; what cannot be closed is only said. */
function tighten(path: string, warnings: string[]): void {
  try {
    chmodSync(path, 0o600);
  } catch {
    warnings.push(`${path} may be read by other users, and its mode cannot be changed`);
  }
}
