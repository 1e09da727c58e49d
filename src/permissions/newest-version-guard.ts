// Keeps the newest version of each database's permissions, so that an older shard copy cannot undo a
// revocation (H4).
import { LRUCache } from 'lru-cache';
import { type DatabasePermissions } from './grants.ts';
import { permissionsIn, versionOf, type StoredSecurity } from './security-document.ts';

export interface NewestPermissions {
  readonly permissions: DatabasePermissions;
  /** False if the document that was read is an older copy. */
  readonly isNewest: boolean;
}

interface NewestSeen {
  readonly version: number;
  readonly permissions: DatabasePermissions;
  readonly seenAt: number;
}

/**
 * If every read returns an older copy for this long, the copy is accepted: an admin has restored it in
 * CouchDB directly.
 */
const OLDER_IGNORED_MS = 60_000;
const MAX_DATABASES = 100_000;

/**
 * CouchDB writes a security object shard by shard and reads it from any one copy. A node that was down still
 * has its older copy. So an older object can be read after a newer one. Couchgate numbers its objects to
 * detect that.
 */
export class NewestVersionGuard {
  readonly #now: () => number;
  readonly #seen = new LRUCache<string, NewestSeen>({ max: MAX_DATABASES });

  /** @param now Milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Returns the permissions of the document, or those of the newest version if the document is older. An
   * older copy without grants is always accepted: it can only revoke.
   */
  newestOf(database: string, document: StoredSecurity): NewestPermissions {
    const version = versionOf(document);
    const permissions = permissionsIn(document, database);
    const newest = this.#seen.get(database);
    const isOlder = newest !== undefined && version < newest.version;
    if (isOlder && this.#now() - newest.seenAt < OLDER_IGNORED_MS) {
      const grantsNothing = permissions.grants.size === 0 && !permissions.couchdbAuthOnly;
      return { permissions: grantsNothing ? permissions : newest.permissions, isNewest: false };
    }
    if (version > 0) this.#seen.set(database, { version, permissions, seenAt: this.#now() });
    else this.#seen.delete(database);
    return { permissions, isNewest: true };
  }

  /** Removes a database that was created or deleted: versions read before do not count for the new one. */
  remove(database: string): void {
    this.#seen.delete(database);
  }
}
