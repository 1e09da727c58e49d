// What was read of the permissions of one database, and the name of that state.
import { decidingRecord, type InForce, inForceOf } from './in-force.ts';
import { closed } from './intersection.ts';
import { type RevisionName } from './change.ts';
import { objectOf, permissionsOfForm } from './record-document.ts';
import { type PermissionRecord } from './record-leaves.ts';
import { mirrorNameIn, type StoredSecurity, versionOf } from './security-document.ts';

/** What was read of one database. */
export interface Seen extends InForce, RevisionName {
  readonly database: string;
  readonly record: PermissionRecord | undefined;
  readonly object: StoredSecurity;
}

/** What was read while no change was under way. */
export interface SeenAtRest extends Seen {
  /** `instance_start_time` of the database. */
  readonly start: string;
  /** True if the record is that of an earlier database of the name. What it granted is void. */
  readonly isMadeAgain: boolean;
}

/** Sums up what was read. */
export function seenOf(database: string, record: PermissionRecord | undefined, object: StoredSecurity): Seen {
  const found = inForceOf(record, object, database);
  const deciding = decidingRecord(record, found.agreement);
  const name =
    deciding === undefined
      ? nameWithoutRecord(object)
      : { generation: deciding.state.generation.id, revision: deciding.state.revision };
  return { database, record, object, ...found, ...name };
}

function nameWithoutRecord(object: StoredSecurity): { generation: string; revision: number } {
  return { generation: '0', revision: mirrorNameIn(object)?.revision ?? versionOf(object) };
}

/**
 * What an earlier database of the name granted is void. Made again within the same second, a database has the
 * same start time; then its object is CouchDB's default although the record had a mirror (`reset`).
 */
export function restedOf(seen: Seen, start: string): SeenAtRest {
  const { record, agreement, object } = seen;
  const deciding = decidingRecord(record, agreement);
  const isMadeAgain =
    deciding !== undefined && (agreement === 'reset' || deciding.state.generation.start !== start);
  if (!isMadeAgain) return { ...seen, start, isMadeAgain };
  const security = closed(seen.security);
  const permissions = permissionsOfForm(security, seen.database, seen.permissions.marked);
  return { ...seen, ...nameWithoutRecord(object), security, permissions, start, isMadeAgain };
}

/** The object that is in force, or the mirror that it would have. */
export function objectInForce({
  database,
  object,
  record,
  security,
  agreement,
  generation,
  revision,
}: Seen): StoredSecurity {
  const deciding = decidingRecord(record, agreement);
  return deciding === undefined
    ? object
    : objectOf(security, database, { stamp: deciding.state.stamp, generation, revision });
}
