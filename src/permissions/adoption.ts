// Adopts databases that CouchDB makes by itself, such as those of couch_peruser: CouchDB keeps deciding
// access.
import { BadRequest } from '../http-errors.ts';
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { matchesPattern } from './database-pattern.ts';
import { type StoredSecurity } from './security-document.ts';
import {
  hasMoreBytes,
  isTexts,
  parseSecurityPut,
  SECURITY_LIMIT_BYTES,
  type SecurityRequest,
} from './security-request.ts';

/** True if a pattern of the setting `adopt` matches: a name, or a prefix with `*` at its end. */
export function isMatched(patterns: readonly string[], database: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, database));
}

/**
 * True if Couchgate never wrote the object, and it names members. CouchDB's default names `_admin` only. An
 * object without members is public in CouchDB; nobody has chosen that, so it is not adopted.
 */
export function isAdoptable(object: StoredSecurity): boolean {
  const { couchgate, cloudant, couchdb_auth_only: authOnly, members } = object;
  if (couchgate !== undefined || cloudant !== undefined || authOnly !== undefined) return false;
  return [...textsIn(members, 'names'), ...textsIn(members, 'roles')].some((entry) => entry !== '_admin');
}

/**
 * The request that leaves the decision to the members and admins of the object. Throws 400 if it cannot be
 * put.
 */
export function adoptionOf(object: StoredSecurity): SecurityRequest {
  if (hasMoreBytes([object], SECURITY_LIMIT_BYTES))
    throw new BadRequest(`A security object may have at most ${SECURITY_LIMIT_BYTES} bytes`);
  const { members, admins, ...rest } = object;
  return parseSecurityPut({
    ...rest,
    couchdb_auth_only: true,
    // Empty lists are written explicitly: a missing list is closed.
    members: { ...fieldsOf(members), names: textsIn(members, 'names'), roles: textsIn(members, 'roles') },
    admins: { ...fieldsOf(admins), names: textsIn(admins, 'names'), roles: textsIn(admins, 'roles') },
  });
}

function fieldsOf(list: unknown): JsonObject {
  return isJsonObject(list) ? list : {};
}

function textsIn(list: unknown, field: 'names' | 'roles'): readonly string[] {
  const texts = fieldsOf(list)[field];
  return isTexts(texts) ? texts : [];
}
