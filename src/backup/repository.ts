// Opens and creates a repository: the folder that holds the backups of many databases.
import { createHash, randomUUID } from 'node:crypto';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createEncryption, openEncryption } from './cipher.ts';
import type { BackupSecret, EncryptionHeader, RepositoryCipher } from './cipher.ts';
import { Damaged, fileFailure, NoRepository, WrongKey } from './errors.ts';
import { createFileAtomically, readFileIfThere } from './files.ts';

export const CONFIG_FILE = 'couchgate-backup.json';
/** Raised when an older Couchgate could misread the repository. */
export const FORMAT_VERSION = 1;

interface RepositoryConfig {
  readonly format: 'couchgate-backup';
  readonly version: number;
  readonly id: string;
  readonly created: string;
  readonly encryption: EncryptionHeader | null;
}

/** The sub-folders whose files are named by content. */
export type ContentFolder = 'packs' | 'index' | 'attachments';

/** An open repository: its folder and its key. Other modules read and write the files. */
export class Repository {
  readonly folder: string;
  readonly id: string;
  /** Undefined for a repository without encryption. */
  readonly cipher: RepositoryCipher | undefined;

  /** Called with the bytes of each content file that was put into the repository. */
  readonly onStored: (bytes: number) => void;

  constructor(
    folder: string,
    id: string,
    cipher: RepositoryCipher | undefined,
    onStored: (bytes: number) => void = () => undefined,
  ) {
    this.folder = folder;
    this.id = id;
    this.cipher = cipher;
    this.onStored = onStored;
  }

  /** The same repository, for one run that counts what it stores. */
  metered(onStored: (bytes: number) => void): Repository {
    return new Repository(this.folder, this.id, this.cipher, onStored);
  }

  /** Returns the path of a file that is named by its content. Throws `Damaged` for another name. */
  pathOf(folder: ContentFolder, name: string): string {
    // Names come from manifests and indexes, which may be hostile: `../` must not leave the folder (H38).
    if (!isContentName(name))
      throw new Damaged(`The repository is damaged: ${JSON.stringify(name)} is not the name of a file.`);
    return join(this.folder, folder, name.slice(0, 2), name);
  }

  /** Name of the file of an attachment with this SHA-256; an encrypted repository does not show the hash. */
  attachmentName(sha256: string): string {
    return this.cipher === undefined ? sha256 : this.cipher.nameOf(`attachment ${sha256}`);
  }

  /** Eight hexadecimal digits that stand for a database in file names. */
  databaseTag(database: string): string {
    const name = `database ${database}`;
    const digest = this.cipher?.nameOf(name) ?? createHash('sha256').update(name).digest('hex');
    return digest.slice(0, 8);
  }

  /**
   * Names of the files in a folder of the repository; none if it does not exist. Throws `Damaged` for a link:
   * a removal of data must not reach another folder (H38).
   */
  async list(folder: string): Promise<readonly string[]> {
    const path = join(this.folder, folder);
    try {
      if ((await lstat(path)).isSymbolicLink())
        throw new Damaged(`The repository is damaged: ${path} is a link.`);
      return await readdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw fileFailure(error, `Reading ${path}`);
    }
  }
}

/** A SHA-256 in hexadecimal digits. */
export function isContentName(name: unknown): name is string {
  return typeof name === 'string' && /^[0-9a-f]{64}$/.test(name);
}

/** Opens a repository. Throws `NoRepository` or `WrongKey`. */
export async function openRepository(folder: string, secret: BackupSecret | undefined): Promise<Repository> {
  const config = await readConfig(folder);
  if (config === undefined)
    throw new NoRepository(`${folder} is not a backup repository: it has no ${CONFIG_FILE}.`);
  if (config.encryption === null) {
    // Somebody who can replace the configuration could otherwise make new backups readable.
    if (secret !== undefined)
      throw new WrongKey(`${folder} is not encrypted, but a key is configured; remove one of the two.`);
    return new Repository(folder, config.id, undefined);
  }
  return new Repository(folder, config.id, await openEncryption(config.encryption, secret));
}

/**
 * Opens a repository, and creates it if the folder is missing or empty. A folder with other files is refused.
 * Of several processes that create it at the same time, one does, and the others open it: a second key would
 * make the data of the first unreadable.
 */
export async function openOrCreateRepository(
  folder: string,
  secret: BackupSecret | undefined,
): Promise<{ readonly repository: Repository; readonly created: boolean }> {
  // Before the configuration is looked for: it is there before any other file of the repository.
  const foreign = await foreignFileIn(folder);
  const open = async () => ({ repository: await openRepository(folder, secret), created: false });
  if ((await readConfig(folder)) !== undefined) return open();
  if (foreign !== undefined)
    throw new NoRepository(
      `${folder} holds other files (${JSON.stringify(foreign)}) and no ${CONFIG_FILE}; use an empty folder.`,
    );
  const encryption = secret === undefined ? undefined : await createEncryption(secret);
  const config: RepositoryConfig = {
    format: 'couchgate-backup',
    version: FORMAT_VERSION,
    id: randomUUID(),
    created: new Date().toISOString(),
    encryption: encryption?.header ?? null,
  };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileFailure(error, `Creating ${folder}`);
  }
  const text = Buffer.from(`${JSON.stringify(config, null, 2)}\n`);
  if (!(await createFileAtomically(folder, join(folder, CONFIG_FILE), text))) return open();
  return { repository: new Repository(folder, config.id, encryption?.cipher), created: true };
}

/** A file that is not of a repository in creation. A crash leaves `tmp` only. */
async function foreignFileIn(folder: string): Promise<string | undefined> {
  try {
    return (await readdir(folder)).find((name) => name !== 'tmp' && name !== 'lost+found');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileFailure(error, `Reading ${folder}`);
  }
}

async function readConfig(folder: string): Promise<RepositoryConfig | undefined> {
  const path = join(folder, CONFIG_FILE);
  let text;
  try {
    text = (await readFileIfThere(path))?.toString();
  } catch (error) {
    // The caller has the path of a file, or the configuration is no file.
    throw error instanceof Damaged ? new NoRepository(error.message) : error;
  }
  if (text === undefined) return undefined;
  let config: Partial<RepositoryConfig>;
  try {
    config = JSON.parse(text) as Partial<RepositoryConfig>;
  } catch {
    throw new NoRepository(`${path} is damaged: it is not JSON.`);
  }
  const { format, version, id, encryption } = config;
  if (format !== 'couchgate-backup' || typeof version !== 'number' || typeof id !== 'string')
    throw new NoRepository(`${path} is not the configuration of a backup repository.`);
  if (version > FORMAT_VERSION)
    throw new NoRepository(
      `${folder} has format ${version}; this Couchgate reads up to format ${FORMAT_VERSION}. Update Couchgate.`,
    );
  if (encryption === undefined) throw new NoRepository(`${path} is damaged: it has no encryption field.`);
  return config as RepositoryConfig;
}
