// Keeps the list of databases with their security objects; opens, creates and removes their storage.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson } from '../json/exact-numbers.ts';
import { parseJson } from '../json/parse.ts';
import { BadRequest, HttpError, NotFound } from '../http-errors.ts';
import { Database, type DatabaseRecord, type Security } from './database.ts';
import { openStorage } from './pouch.ts';

/** Databases that are created at the first start. */
const INITIAL_DATABASES: readonly string[] = ['_users', '_replicator'];
/** Database names that may start with an underscore. */
export const SYSTEM_DATABASES: readonly string[] = [...INITIAL_DATABASES, '_global_changes'];
/** Only server admins may use a new database. docs.couchdb.org/en/stable/api/database/security.html */
const ADMINS_ONLY: Security = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
const MAX_NAME_LENGTH = 238;

/** The content of `databases.json`. */
interface Manifest {
  /** Identifier of the node, as `GET /` reports it. */
  uuid: string;
  databases: Record<string, DatabaseRecord>;
}

/** All databases of one node: in LevelDB if the node has a folder, otherwise in memory. */
export class Databases {
  readonly uuid: string;
  readonly #folder: string | undefined;
  readonly #open = new Map<string, Database>();
  readonly #instance = randomBytes(6).toString('hex');

  private constructor(folder: string | undefined) {
    this.#folder = folder;
    const manifest = readManifest(folder);
    this.uuid = manifest.uuid;
    for (const [name, record] of Object.entries(manifest.databases)) this.#attach(name, record);
  }

  /** Opens the folder. Rejects with one plain error if another process uses it or if it is not writable. */
  static async open(folder: string | undefined): Promise<Databases> {
    const databases = new Databases(folder);
    for (const name of INITIAL_DATABASES) {
      if (!databases.has(name)) databases.#attach(name, newRecord(name));
    }
    try {
      // LevelDB locks its folder. A second process fails here, before it writes anything.
      for (const name of INITIAL_DATABASES) await databases.get(name).storage.info();
    } catch (cause) {
      throw new Error(
        `The folder of the embedded node cannot be opened: ${folder ?? 'memory'}. ${reasonOf(cause)}`,
        { cause },
      );
    }
    databases.save();
    databases.#removeOrphans();
    return databases;
  }

  /** Names of all databases, sorted. */
  names(): string[] {
    return [...this.#open.keys()].sort();
  }

  has(name: string): boolean {
    return this.#open.has(name);
  }

  /** The database of this name. Throws CouchDB's 404 if it does not exist. */
  get(name: string): Database {
    const database = this.#open.get(name);
    if (database === undefined) throw new NotFound('Database does not exist.');
    return database;
  }

  /** Creates a database. Throws CouchDB's 400 for an illegal name and 412 if the database exists. */
  async create(name: string): Promise<void> {
    if (!SYSTEM_DATABASES.includes(name)) refuseIllegalName(name);
    if (this.#open.has(name))
      throw new HttpError(412, 'file_exists', 'The database could not be created, the file already exists.');
    const database = this.#attach(name, newRecord(`db-${randomBytes(8).toString('hex')}`));
    await database.storage.info();
    this.save();
  }

  /** Frees the name immediately. Deletes the files after the requests that use the old storage end. */
  async remove(name: string): Promise<void> {
    const database = this.get(name);
    this.#open.delete(name);
    this.save();
    await database.remove();
  }

  /** Writes the manifest. The rename is atomic: after a crash, either the old or the new manifest exists. */
  save(): void {
    if (this.#folder === undefined) return;
    const databases = Object.fromEntries([...this.#open].map(([name, database]) => [name, database.record]));
    const file = join(this.#folder, 'databases.json');
    writeFileSync(`${file}.new`, writeJson({ uuid: this.uuid, databases } satisfies Manifest), {
      mode: 0o600,
    });
    renameSync(`${file}.new`, file);
  }

  /** Waits until no request uses a database, then closes all of them. Databases in memory are deleted. */
  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(
      all.map((database) => (this.#folder === undefined ? database.remove() : database.close())),
    );
  }

  /** Deletes storage folders that no database uses: a process that crashed during a deletion leaves them. */
  #removeOrphans(): void {
    if (this.#folder === undefined) return;
    const places = [...this.#open.values()].map(({ record }) => record.place);
    for (const entry of readdirSync(this.#folder)) {
      const isInUse = places.some((place) => entry === place || entry.startsWith(`${place}-mrview-`));
      if (entry.startsWith('db-') && !isInUse) rmSync(join(this.#folder, entry), { recursive: true });
    }
  }

  #attach(name: string, record: DatabaseRecord): Database {
    const path =
      this.#folder === undefined ? `${this.#instance}-${record.place}` : join(this.#folder, record.place);
    const database = new Database(name, record, () =>
      openStorage(path, this.#folder === undefined ? 'memory' : 'leveldb'),
    );
    this.#open.set(name, database);
    return database;
  }
}

/**
 * `place` is the folder name on disk. Every creation gets a new one, so that a database that is deleted and
 * created again never sees its old files. The initial databases have fixed names: LevelDB's lock on them
 * detects a second process.
 */
function newRecord(place: string): DatabaseRecord {
  return { place, createdMs: Date.now(), security: ADMINS_ONLY, revsLimit: 1000 };
}

function readManifest(folder: string | undefined): Manifest {
  const fresh = { uuid: randomBytes(16).toString('hex'), databases: {} };
  if (folder === undefined) return fresh;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'databases.json');
  rmSync(`${file}.new`, { force: true });
  return existsSync(file) ? (parseJson(readFileSync(file), true) as Manifest) : fresh;
}

function reasonOf(cause: unknown): string {
  const { message = '', reason = '' } = cause as { message?: string; reason?: string };
  return /lock/i.test(message + reason) ? 'Another process is using it.' : `${message} ${reason}`;
}

/** CouchDB's rule for database names. docs.couchdb.org/en/stable/api/database/common.html#put--db */
function refuseIllegalName(name: string): void {
  if (!/^[a-z][a-z0-9_$()+/-]*$/.test(name)) {
    throw new BadRequest(
      `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.`,
      'illegal_database_name',
    );
  }
  if (name.length > MAX_NAME_LENGTH)
    throw new BadRequest(`At least one path segment of \`${name}\` is too long.`, 'database_name_too_long');
}
