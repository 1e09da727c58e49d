// Remembers the newest permissions seen of each database, so that an older copy on another shard does not bring back what was revoked (H4).
import { type DatabasePermissions } from './grants.ts';
import { permissionsIn, versionOf, type StoredSecurity } from './security-document.ts';

export interface Found {
  readonly permissions: DatabasePermissions;
  /** False when what was read is an older copy, and `permissions` are those remembered. */
  readonly isNewest: boolean;
}

interface Remembered {
  readonly stamp: number;
  readonly permissions: DatabasePermissions;
  readonly seenAt: number;
}

/** After that long without the newer copy, the older one is what CouchDB was given on purpose, past Couchgate. */
const BELIEVED_MS = 60_000;
const KEPT = 100_000;

/**
 * CouchDB sets a security object shard by shard, reads it from any one copy, and a node that was away comes back with the one it had:
 * for a while, an older object can be read after a newer one. Its stamp tells them apart.
 */
export class NewestVersionGuard {
  readonly #now: () => number;
  readonly #seen = new Map<string, Remembered>();

  constructor(now: () => number) {
    this.#now = now;
  }

  versionOf(database: string): number {
    return this.#seen.get(database)?.stamp ?? 0;
  }

  /** The permissions of what was read, or those remembered where they are newer. What grants nothing is always believed: it can only close. */
  newerOf(database: string, document: StoredSecurity): Found {
    const stamp = versionOf(document);
    const permissions = permissionsIn(document, database);
    const remembered = this.#seen.get(database);
    const isOlder = remembered !== undefined && stamp < remembered.stamp;
    if (isOlder && this.#now() - remembered.seenAt < BELIEVED_MS) {
      const closes = permissions.grants.size === 0 && !permissions.couchdbAuthOnly;
      if (closes) return { permissions, isNewest: false };
      return { permissions: remembered.permissions, isNewest: false };
    }
    this.#seen.delete(database);
    if (this.#seen.size >= KEPT) this.#forgetOldest();
    if (stamp > 0) this.#seen.set(database, { stamp, permissions, seenAt: this.#now() });
    return { permissions, isNewest: true };
  }

  forget(database: string): void {
    this.#seen.delete(database);
  }

  #forgetOldest(): void {
    const first = this.#seen.keys().next();
    if (first.done !== true) this.#seen.delete(first.value);
  }
}
