// What all backup commands have in common: the repository, its key, and the form of the output.
import { resolve } from 'node:path';
import { type BackupSecret } from '../../backup/cipher.ts';
import { NoRepository } from '../../backup/errors.ts';
import { type Settings } from '../../config/settings.ts';

/** Options of every backup command, for `parseArgs`. */
export const REPOSITORY_OPTIONS = {
  repository: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

export const REPOSITORY_USAGE = `  --repository DIR       folder of the repository; default: backup_repository
  --json                 print JSON lines
`;

export const EXIT_CODES_USAGE = `
The key of an encrypted repository comes from backup_key_file or backup_passphrase_file.
Exit codes: 0 = done, 1 = failed, 2 = invalid usage, 3 = incomplete, 10 = no repository, 11 = locked, 12 = wrong key,
130 = cancelled.
`;

/** Returns the folder. Throws `NoRepository` if none is configured. */
export function repositoryFolder(
  values: { readonly repository?: string | undefined },
  settings: Pick<Settings, 'backupRepository'>,
): string {
  const folder = values.repository ?? settings.backupRepository;
  if (folder === '') throw new NoRepository('No repository: set backup_repository, or use --repository DIR.');
  return resolve(folder);
}

/** Returns the key of the settings; undefined for a repository without encryption. */
export function backupSecret({
  backupKey,
  backupPassphrase,
}: Pick<Settings, 'backupKey' | 'backupPassphrase'>): BackupSecret | undefined {
  if (backupKey !== '') return { type: 'key-file', bytes: Buffer.from(backupKey) };
  return backupPassphrase === '' ? undefined : { type: 'passphrase', text: backupPassphrase };
}
