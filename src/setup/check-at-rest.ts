// `couchgate setup --check`: says for each local data folder whether the device below it is encrypted.
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Settings } from '../config/settings.ts';
import { atRestOf, type AtRest } from './at-rest.ts';

export const CHECK_USAGE = `Usage: couchgate setup --check [FOLDER]...
Says for each local data folder of Couchgate and CouchDB, and for each FOLDER, whether the block device below it is
encrypted by dm-crypt (LUKS). Other encryption, of a cloud volume or a disk, cannot be seen from here.
Exit codes: 0 = every folder is encrypted, 1 = one is not, or it cannot be seen, 2 = invalid usage.
`;

/** Where packages and images of CouchDB keep their data. */
const COUCHDB_FOLDERS = ['/opt/couchdb/data', '/var/lib/couchdb'];

type Folders = Pick<Settings, 'data' | 'configFolder' | 'accessLog' | 'backupRepository'>;

/** The folders that Couchgate writes to or keeps secrets in, and those of a CouchDB on this machine. */
export function dataFolders(settings: Folders): ReadonlyMap<string, string> {
  const { data, configFolder, accessLog, backupRepository } = settings;
  const isFile = !['', 'off', 'stdout', 'stderr'].includes(accessLog);
  const found: [string, string][] = [
    [resolve(data), 'data: secrets'],
    [resolve(configFolder), 'configuration'],
    ...(isFile ? ([[resolve(dirname(accessLog)), 'access_log']] as [string, string][]) : []),
    ...(backupRepository === ''
      ? []
      : ([[resolve(backupRepository), 'backup_repository']] as [string, string][])),
    ...COUCHDB_FOLDERS.filter((folder) => existsSync(folder)).map((folder): [string, string] => [
      folder,
      'CouchDB',
    ]),
  ];
  return new Map(found.reverse());
}

/** Prints a line for each folder; resolves with the exit code. */
export async function checkAtRest(
  folders: ReadonlyMap<string, string>,
  print: (line: string) => void,
  look: (path: string) => Promise<AtRest> = atRestOf,
): Promise<0 | 1> {
  let isEncrypted = true;
  for (const [folder, what] of folders) {
    const found = await look(folder);
    isEncrypted &&= found.state === 'encrypted';
    print(`${folder} (${what}): ${wordsOf(found)}`);
  }
  return isEncrypted ? 0 : 1;
}

function wordsOf(found: AtRest): string {
  if (found.state === 'encrypted') return 'encrypted by dm-crypt';
  if (found.state === 'unseen') return `cannot see: ${found.reason}`;
  return `NOT encrypted by dm-crypt: ${found.device}; a cloud volume or the disk itself may be, which cannot be seen`;
}
