// Keeps the list of databases with their security objects, and opens and removes their storage. Who may use them is access.ts's business.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BadRequest, HttpError, NotFound } from '../http-errors.ts';
import { Database, type DatabaseRecord, type Security } from './database.ts';
import { openStorage } from './pouch.ts';

/** Those that every node has. */
const FIRST_DATABASES: readonly string[] = ['_users', '_replicator'];
export const SYSTEM_DATABASES: readonly string[] = [...FIRST_DATABASES, '_global_changes'];
/** CouchDB 3: a new database is for server admins alone. */
const CLOSED: Security = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
const MAX_NAME_LENGTH = 238;

interface Ledger {
  uuid: string;
  databases: Record<string, DatabaseRecord>;
}

/** All databases of one node. With a folder they live in LevelDB and outlast the process; without one, in memory. */
export class Databases {
  readonly uuid: string;
  readonly #folder: string | undefined;
  readonly #open = new Map<string, Database>();
  readonly #instance = randomBytes(6).toString('hex');

  private constructor(folder: string | undefined) {
    this.#folder = folder;
    const ledger = readLedger(folder);
    this.uuid = ledger.uuid;
    for (const [name, record] of Object.entries(ledger.databases)) this.#attach(name, record);
  }

  /** Throws one plain error when another process has the folder open, or when it cannot be written. */
  static async open(folder: string | undefined): Promise<Databases> {
    const databases = new Databases(folder);
    for (const name of FIRST_DATABASES) {
      if (!databases.has(name)) databases.#attach(name, newRecord(name));
    }
    try {
      // LevelDB locks its folder: a second process fails here, before it has written anything.
      for (const name of FIRST_DATABASES) await databases.get(name).storage.info();
    } catch (cause) {
      const place = folder ?? 'memory';
      throw new Error(`The folder of the embedded node cannot be opened: ${place}. ${whyNot(cause)}`, {
        cause,
      });
    }
    databases.save();
    databases.#removeOrphans();
    return databases;
  }

  names(): string[] {
    return [...this.#open.keys()].sort();
  }

  has(name: string): boolean {
    return this.#open.has(name);
  }

  /** Throws CouchDB's 404 for a database that is not there. */
  get(name: string): Database {
    const database = this.#open.get(name);
    if (database === undefined) throw new NotFound('Database does not exist.');
    return database;
  }

  async create(name: string): Promise<void> {
    if (!SYSTEM_DATABASES.includes(name)) refuseIllegalName(name);
    if (this.#open.has(name))
      throw new HttpError(412, 'file_exists', 'The database could not be created, the file already exists.');
    const database = this.#attach(name, newRecord(`db-${randomBytes(8).toString('hex')}`));
    await database.storage.info();
    this.save();
  }

  /** The name is free at once; what still runs on the old storage ends before its files go. */
  async remove(name: string): Promise<void> {
    const database = this.get(name);
    this.#open.delete(name);
    this.save();
    await database.remove();
  }

  /** Writes the ledger. The rename is atomic: after a kill there is the old ledger or the new one. */
  save(): void {
    if (this.#folder === undefined) return;
    const databases = Object.fromEntries([...this.#open].map(([name, database]) => [name, database.record]));
    const file = join(this.#folder, 'databases.json');
    writeFileSync(`${file}.new`, JSON.stringify({ uuid: this.uuid, databases } satisfies Ledger), {
      mode: 0o600,
    });
    renameSync(`${file}.new`, file);
  }

  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(
      all.map((database) => (this.#folder === undefined ? database.remove() : database.close())),
    );
  }

  /** Removes what a deletion left on disk when the process was killed in it. */
  #removeOrphans(): void {
    if (this.#folder === undefined) return;
    const places = [...this.#open.values()].map(({ record }) => record.place);
    for (const entry of readdirSync(this.#folder)) {
      const isOurs = places.some((place) => entry === place || entry.startsWith(`${place}-mrview-`));
      if (entry.startsWith('db-') && !isOurs) rmSync(join(this.#folder, entry), { recursive: true });
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
 * `place` is the name on disk: another one for every creation, so that a database that is deleted and made again never meets its old
 * files. The first system databases have fixed ones, because their lock must meet the lock of another process.
 */
function newRecord(place: string): DatabaseRecord {
  return { place, createdMs: Date.now(), security: CLOSED, revsLimit: 1000 };
}

function readLedger(folder: string | undefined): Ledger {
  const fresh = { uuid: randomBytes(16).toString('hex'), databases: {} };
  if (folder === undefined) return fresh;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'databases.json');
  rmSync(`${file}.new`, { force: true });
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Ledger) : fresh;
}

function whyNot(cause: unknown): string {
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
