// Finds out whether a name may become that of a new user. Every name costs the same reads, whatever has it.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { readAdmin } from '../identity/couch-accounts.ts';
import { DECOY_NAME } from '../identity/decoy-user.ts';
import { isKeyShaped } from '../identity/secret.ts';
import { userLeaves } from '../identity/user-writes.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { isMarker } from '../principal/marker.ts';
import { SELF_NAME } from '../principal/principal.ts';
import { type UnrecordedNames } from './unrecorded-names.ts';

/** Prefix grants or server grants. */
interface NamedGrants {
  readonly isKnown: boolean;
  /** True if the name has a grant, whether it is in force or not. */
  mayHaveGrant(principal: string): boolean;
}

export interface TakenNamesDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'isKeyName'>;
  readonly index: Pick<PermissionIndex, 'isLoaded' | 'databasesOf' | 'couchdbAuthOnly' | 'couchdbMembersOf'>;
  /** Databases without a record. */
  readonly unrecorded: UnrecordedNames;
  readonly prefixGrants: NamedGrants;
  readonly serverGrants: NamedGrants;
}

/** Names that nobody with credentials can have. The tokens of Couchgate itself have the first one. */
const RESERVED: ReadonlySet<string> = new Set([SELF_NAME, DECOY_NAME, 'nobody']);
const NOT_KNOWN = 'The permissions are being read; nobody can sign up yet.';

/** True if there is such a user, or the name is held. Throws `Unavailable`. */
export async function isTaken(deps: TakenNamesDeps, name: string): Promise<boolean> {
  const [leaves, held] = await Promise.all([userLeaves(deps.couch, name), isHeld(deps, name)]);
  return held || leaves.length > 0;
}

/**
 * True if a user of this name would be somebody else, or would get rights: an API key, a server admin, a
 * reserved name, or a name with a grant on any database. Throws `Unavailable` if that is not known.
 */
export async function isHeld(deps: TakenNamesDeps, name: string): Promise<boolean> {
  const { couch, keys, index, unrecorded, prefixGrants, serverGrants } = deps;
  if (!index.isLoaded || !prefixGrants.isKnown || !serverGrants.isKnown)
    throw new Unavailable(NOT_KNOWN, { retryAfterSeconds: 1 });
  const [isKey, admin, isNamed] = await Promise.all([
    keys.isKeyName(name),
    readAdmin(couch, '_local', name),
    unrecorded.has(name),
  ]);
  // After the reads: a grant that was made meanwhile counts.
  const isGranted =
    index.databasesOf(name).size > 0 || prefixGrants.mayHaveGrant(name) || serverGrants.mayHaveGrant(name);
  const isAdmitted = [...index.couchdbAuthOnly()].some(
    (database) => index.couchdbMembersOf(database)?.names.includes(name) === true,
  );
  return (
    isKey ||
    admin !== undefined ||
    isNamed ||
    isGranted ||
    isAdmitted ||
    isKeyShaped(name) ||
    RESERVED.has(name) ||
    isMarker(name)
  );
}
