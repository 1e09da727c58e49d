// The permissions of every database, cached.
import { type DatabasePermissions } from './grants.ts';

/** Reads and writes security objects through a cache that news keeps fresh. */
export interface SecurityStore {
  /** The permissions of a database: at once from the cache, else a promise; `undefined` = the database does not exist. Throws `Unavailable`. */
  permissionsOf(database: string): DatabasePermissions | undefined | Promise<DatabasePermissions | undefined>;
}
