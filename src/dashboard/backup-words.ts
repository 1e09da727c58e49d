// Sums up how far backups protect. Pure functions.

const DAY_MS = 86_400_000;

/** The leaves of a stored version of a document. */
export interface StoredLeaves {
  readonly leaves: readonly { readonly rev: string; readonly deleted: boolean }[];
}

/** A database in the repository. */
export interface BackedUp {
  readonly database: string;
  /** When its last complete backup ended, in ISO 8601; null = none is complete. */
  readonly last_success: string | null;
}

/** True if a stored version has the revision, as the winner or as a conflict. */
export function isInBackups(revision: string, versions: readonly StoredLeaves[]): boolean {
  return versions.some(({ leaves }) => leaves.some(({ rev, deleted }) => rev === revision && !deleted));
}

/** How old the complete backups are. A database whose backups fail must not hide behind the others. */
export interface BackupAge {
  /** Databases with a backup, complete or not, that still exist. */
  readonly databases: number;
  /** Those of which no backup is complete. */
  readonly never: readonly string[];
  /** The database whose last complete backup is the oldest; undefined = none has one. */
  readonly oldest: { readonly database: string; readonly at: string } | undefined;
  /** How many last complete backups are more than a day older than the newest one. */
  readonly behind: number;
}

/** `existing` = the databases of CouchDB; undefined = not known, then all of the repository count. */
export function backupAge(backups: readonly BackedUp[], existing: readonly string[] | undefined): BackupAge {
  const names = new Set(existing);
  const counted = existing === undefined ? backups : backups.filter(({ database }) => names.has(database));
  const complete = counted.flatMap(({ database, last_success: at }) =>
    at === null ? [] : [{ database, at }],
  );
  const byAge = complete.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const newest = Date.parse(byAge.at(-1)?.at ?? '');
  return {
    databases: counted.length,
    never: counted.filter(({ last_success: at }) => at === null).map(({ database }) => database),
    oldest: byAge[0],
    behind: complete.filter(({ at }) => newest - Date.parse(at) > DAY_MS).length,
  };
}
