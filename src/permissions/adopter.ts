// Adopts databases when they are first used: writes the record by which CouchDB keeps deciding access.
import { type WriteLog } from '../couch/outage.ts';
import { Conflict, HttpError } from '../http-errors.ts';
import { adoptionOf, isAdoptable, isMatched } from './adoption.ts';
import { type ChangeAnnouncer } from './change-announcer.ts';
import { type DatabasePermissions } from './grants.ts';
import { type PermissionRecords } from './permission-records.ts';
import { permissionsOfForm, securityOf } from './record-document.ts';
import { type StoredSecurity } from './security-document.ts';
import { type Seen } from './seen.ts';

export interface AdopterOptions {
  /** Patterns of the databases that are adopted. */
  readonly patterns: readonly string[];
  readonly records: PermissionRecords;
  readonly announcer: ChangeAnnouncer;
  readonly report: WriteLog;
}

/** Databases whose refusal is remembered. */
const MAX_REFUSED = 1000;

export class Adopter {
  readonly #options: AdopterOptions;
  /** Why databases were not adopted. */
  readonly #refused = new Map<string, string>();

  constructor(options: AdopterOptions) {
    this.#options = options;
  }

  /** True if a pattern matches the name, whatever its object is now. */
  isMatched(database: string): boolean {
    return isMatched(this.#options.patterns, database);
  }

  /** The permissions after an adoption; `undefined` = what was seen is not adopted. Writes nothing. */
  peek({ database, record, object }: Seen): DatabasePermissions | undefined {
    if (record !== undefined || !this.#mayAdopt(database, object)) return undefined;
    try {
      return permissionsOfForm(securityOf(adoptionOf(object)), database, true);
    } catch (error) {
      if (error instanceof HttpError) return undefined;
      throw error;
    }
  }

  /**
   * Adopts a database that a pattern matches, and returns what is in force then. If that fails, only the
   * owner gets in, as before. Throws `Unavailable`.
   */
  async adopt(seen: Seen): Promise<Seen> {
    const { database, record, object } = seen;
    if (record !== undefined || !this.#mayAdopt(database, object) || this.#isRefused(database, object))
      return seen;
    const { records, announcer, report } = this.#options;
    try {
      const finished = await records.change(
        database,
        (found) => {
          if (found.record !== undefined || !isAdoptable(found.object)) throw new Conflict('adopted already');
          return securityOf(adoptionOf(found.object));
        },
        { by: '', via: 'adopt' },
      );
      await announcer.announce(database, finished);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      if (!(error instanceof Conflict))
        report('database could not be adopted', { database, detail: error.detail ?? error.reason });
    }
    return (await records.reader.read(database)) ?? seen;
  }

  /**
   * True if the object cannot be put. Decided before anything is asked of CouchDB, because each read of the
   * database comes here; reported once for each reason.
   */
  #isRefused(database: string, object: StoredSecurity): boolean {
    try {
      adoptionOf(object);
      this.#refused.delete(database);
      return false;
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      const detail = error.detail ?? error.reason;
      if (this.#refused.get(database) === detail) return true;
      if (this.#refused.size >= MAX_REFUSED) this.#refused.clear();
      this.#refused.set(database, detail);
      this.#options.report('database could not be adopted', { database, detail });
      return true;
    }
  }

  #mayAdopt(database: string, object: StoredSecurity): boolean {
    return isAdoptable(object) && this.isMatched(database);
  }
}
