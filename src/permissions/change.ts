// What a change of permissions consists of: the state it begins with, its origin and conditions, and what is
// reported of it.
import { type DatabasePermissions } from './grants.ts';
import { type StoredSecurity } from './security-document.ts';
import { type SecurityRequest } from './security-request.ts';

/**
 * Names one state of the permissions of one database. Two states never have the same name: the revision grows
 * with every change, and the generation is another one after the database was deleted and made again.
 */
export interface RevisionName {
  /**
   * Random id of this life of the database. `0` = there is no record yet: the database is older than records,
   * or was made past Couchgate. The revision then is the number that its security object carries, or 0.
   */
  readonly generation: string;
  readonly revision: number;
}

/** The permissions of one database that are in force, and the name of that state. */
export interface PermissionsInForce extends RevisionName {
  /** The security object as CouchDB stores it or will store it; `shownForm` makes the client's form of it. */
  readonly document: StoredSecurity;
  readonly permissions: DatabasePermissions;
}

/**
 * How a change came in. It is stored, so a word must keep its meaning. `markers` = no grant changed: the
 * markers were written for the first request by a prefix grant.
 */
export type ChangeVia =
  | 'api'
  | 'set_permissions'
  | 'rollback'
  | 'create'
  | 'delete'
  | 'adopt'
  | 'migrate'
  | 'repair'
  | 'merge'
  | 'markers';

/** What the record keeps about the origin of a change. */
export interface ChangeOrigin {
  readonly via: ChangeVia;
  /** The words of the caller (`X-Couchgate-Reason`), at most MAX_REASON_LENGTH characters. */
  readonly reason?: string | undefined;
  readonly requestId?: string | undefined;
}

export const MAX_REASON_LENGTH = 512;

/**
 * Condition of a change, from If-Match or `?rev=`. `any` = the database must exist. Otherwise one of the
 * names must be that of the state in force: `<generation>.<revision>`, without quotes.
 */
export type Precondition = 'any' | readonly string[];

/** The right of a request that waits for its turn. Both throw 403, or 401 without credentials. */
export interface Standing {
  /** Decides again whether the credential is valid. Call it after a wait. */
  requireStillAuthenticated(): Promise<void>;
  /** Refuses a request that has ended as far as this process knows. Call it immediately before acting. */
  refuseEnded(): void;
}

export interface ChangeOptions extends ChangeOrigin {
  /** Without one, the change applies to whatever is in force. */
  readonly ifMatch?: Precondition | undefined;
  /** Of the request that changes; undefined if the change must not stop half-way when the request ends. */
  readonly standing: Standing | undefined;
}

/**
 * Returns the new object for the one in force. It may be called more than once, after a wait, so it decides
 * by its parameter alone. An error that it throws refuses the change; nothing is changed then.
 */
export type Edit = (inForce: StoredSecurity) => SecurityRequest;

/** An acknowledged change: a majority of the copies of the store has it, and it is in force. */
export interface PermissionChange extends RevisionName {
  readonly database: string;
  readonly before: DatabasePermissions;
  readonly after: DatabasePermissions;
}

/** What a writer of the history gets. */
export interface AcknowledgedChange extends PermissionChange {
  /** Random id of the change: the same if the change is reported more than once. */
  readonly id: string;
  /** The security object after the change. */
  readonly document: StoredSecurity;
  /** Name of the principal; '' = Couchgate itself (migration, repair, merge). */
  readonly by: string;
  readonly via: ChangeVia;
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string | undefined;
  readonly requestId: string | undefined;
}

/**
 * Called once a change is acknowledged, before the client gets its answer; the answer waits for the promise.
 * A failure is logged and changes nothing. Called again with the same `id` if a writer died and a follower
 * finished its change: use `generation` and `revision` as the id of what is written.
 */
export type ChangeListener = (change: AcknowledgedChange) => void | Promise<void>;
