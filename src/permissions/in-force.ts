// Decides what is in force from the record and the security object of a database. Never more than the record
// grants, and never more than a newer object grants.
import { type JsonObject } from '../json/object.ts';
import { type DatabasePermissions } from './grants.ts';
import { closed, intersectionOf, isDelegatedAlike } from './intersection.ts';
import { mirrorOf, permissionsOfForm, securityIn } from './record-document.ts';
import { mirroredStateOf, type PermissionRecord } from './record-leaves.ts';
import { mirrorNameIn, permissionsIn, type StoredSecurity } from './security-document.ts';

/**
 * How the security object of CouchDB compares with the record.
 * - `same`: it is the mirror of the record. `unmirrored`: a new database that has none yet.
 * - `older`: an older shard copy, or the mirror of a change under way. The record decides.
 * - `newer`: the record is older: the store was put back from a copy, or lost a write.
 * - `bypassed`: a writer that knows no records wrote it (`setup --adopt`, or an earlier version of
 * Couchgate), and not within a race with this record.
 * - `reset`: CouchDB's default although the record had a mirror: the database was made again, or is an old
 * copy.
 * - `edited`: changed by hand.
 * - `no record`: it has none. `gone`: the record is that of a deleted database.
 */
export type Agreement =
  'same' | 'unmirrored' | 'older' | 'newer' | 'bypassed' | 'reset' | 'edited' | 'no record' | 'gone';

export interface InForce {
  readonly agreement: Agreement;
  /** The client's form of what is in force. */
  readonly security: JsonObject;
  readonly permissions: DatabasePermissions;
}

/**
 * A writer that knows no records reads the object and replaces it. If its object is this much newer than the
 * record, it has read the mirror of the record and undoes no change of it. In milliseconds.
 */
const RACE_MS = 60_000;

/**
 * Compares a record with an object that was read of the same database, by the name that the object carries.
 */
function agreementOf(record: PermissionRecord | undefined, object: StoredSecurity): Agreement {
  if (record === undefined) return 'no record';
  const { state } = record;
  const name = mirrorNameIn(object);
  // A late write can put the object of a deleted database into the one that was made again.
  if (state.generation.start === null) return name?.generation === undefined ? 'gone' : 'edited';
  if (name === undefined) {
    if (state.mirrored) return 'reset';
    return object['cloudant'] === undefined && object['couchdb_auth_only'] !== true ? 'unmirrored' : 'edited';
  }
  if (name.generation !== undefined && name.generation !== state.generation.id) return 'edited';
  if (name.stamp === state.stamp) return 'same';
  if (name.stamp < state.stamp) return 'older';
  if (name.revision !== undefined) return 'newer';
  // A record that was taken over from an object has made no change that another write could undo.
  const hasNoChange = !state.mirrored || state.via === 'migrate';
  return hasNoChange || name.stamp > state.stamp + RACE_MS ? 'bypassed' : 'newer';
}

/** Returns the record if it takes part in the decision; `undefined` = the object alone decides. */
export function decidingRecord(
  record: PermissionRecord | undefined,
  agreement: Agreement,
): PermissionRecord | undefined {
  return agreement === 'gone' || agreement === 'bypassed' ? undefined : record;
}

/** Decides what is in force. `object` is the security object that CouchDB has. */
export function inForceOf(
  record: PermissionRecord | undefined,
  object: StoredSecurity,
  database: string,
): InForce {
  const agreement = agreementOf(record, object);
  const found = permissionsIn(object, database);
  const deciding = decidingRecord(record, agreement);
  if (deciding === undefined) return { agreement, security: securityIn(object), permissions: found };
  const { security } = deciding.state;
  // `same` by its name; its content may still have been changed by hand.
  const isEdited = agreement === 'same' && !isMirrorOf(deciding, object, found);
  const inForce = securityInForce(isEdited ? 'edited' : agreement, security, object);
  return {
    agreement: isEdited ? 'edited' : agreement,
    security: inForce,
    permissions: permissionsOfForm(inForce, database, found.marked),
  };
}

function securityInForce(agreement: Agreement, security: JsonObject, object: StoredSecurity): JsonObject {
  switch (agreement) {
    case 'same':
    case 'unmirrored':
      return security;
    case 'older':
      // CouchDB would decide by the members and admins of the older object.
      return security['couchdb_auth_only'] === true ? closed(security) : security;
    default:
      return intersectionOf([security, securityIn(object)]);
  }
}

/** Compares what decides access, not the bytes: CouchDB may write an object differently. */
function isMirrorOf(record: PermissionRecord, object: StoredSecurity, found: DatabasePermissions): boolean {
  const expected = mirroredStateOf(record);
  if (expected === undefined) return true;
  const { database } = found;
  const wanted = permissionsOfForm(expected.security, database, true);
  if (found.couchdbAuthOnly || wanted.couchdbAuthOnly)
    return isDelegatedAlike(object, mirrorOf(expected, database));
  if (found.grants.size !== wanted.grants.size) return false;
  for (const [name, roles] of wanted.grants) if (found.grants.get(name) !== roles) return false;
  return true;
}
