// Finds out whether a name may become that of a new user. Every name costs the same reads, whatever has it.
import { isOpenToGrants } from '../catalogue/database-name.ts';
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { type KeyStore } from '../identity/api-key.ts';
import { readAdmin } from '../identity/couch-accounts.ts';
import { DECOY_NAME } from '../identity/decoy-user.ts';
import { isKeyShaped } from '../identity/secret.ts';
import { userLeaves } from '../identity/user-writes.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { type PermissionIndex } from '../permissions/permission-keeper.ts';
import { isMarker } from '../principal/marker.ts';
import { SELF_NAME } from '../principal/principal.ts';

/** Prefix grants or server grants. */
interface NamedGrants {
  readonly isKnown: boolean;
  /** True if the name has a grant, whether it is in force or not. */
  names(principal: string): boolean;
}

export interface TakenNamesDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'isKeyName'>;
  readonly index: Pick<
    PermissionIndex,
    'isLoaded' | 'databasesOf' | 'grantsOf' | 'isDeleted' | 'couchdbAuthOnly' | 'couchdbMembersOf'
  >;
  readonly existing: Pick<ExistingDatabases, 'withPrefix'>;
  readonly prefixGrants: NamedGrants;
  readonly serverGrants: NamedGrants;
  /** Databases of Couchgate, which can have no grants. */
  readonly reservedDatabases: ReadonlySet<string>;
}

/** Names that nobody with credentials can have. The tokens of Couchgate itself have the first one. */
const RESERVED: ReadonlySet<string> = new Set([SELF_NAME, DECOY_NAME, 'nobody']);
/** Databases without a record, which nobody has used through Couchgate yet. They are read one by one. */
const MOST_UNRECORDED = 50;
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
  const { couch, keys, index, prefixGrants, serverGrants } = deps;
  if (!index.isLoaded || !prefixGrants.isKnown || !serverGrants.isKnown)
    throw new Unavailable(NOT_KNOWN, { retryAfterSeconds: 1 });
  const [isKey, admin, isNamed] = await Promise.all([
    keys.isKeyName(name),
    readAdmin(couch, '_local', name),
    isNamedWithoutRecord(deps, name),
  ]);
  // After the reads: a grant that was made meanwhile counts.
  const isGranted = index.databasesOf(name).size > 0 || prefixGrants.names(name) || serverGrants.names(name);
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

/** True if the security object of a database without a record has the name. */
async function isNamedWithoutRecord(
  { couch, index, existing, reservedDatabases }: TakenNamesDeps,
  name: string,
): Promise<boolean> {
  const unrecorded = (await existing.withPrefix('')).filter(
    (database) =>
      isOpenToGrants(database) &&
      !reservedDatabases.has(database) &&
      (index.grantsOf(database) === undefined || index.isDeleted(database)),
  );
  if (unrecorded.length > MOST_UNRECORDED) throw new Unavailable(NOT_KNOWN, { retryAfterSeconds: 10 });
  const found = await Promise.all(
    unrecorded.map(async (database) => {
      const path = `/${encodeURIComponent(database)}/_security`;
      const { status, body } = await couch.ask({ method: 'GET', path });
      if (status === 404) return false;
      if (status !== 200) throw new Unavailable(NOT_KNOWN, { detail: `_security answered ${status}` });
      return namesIn(body).has(name);
    }),
  );
  return found.includes(true);
}

/** Every text of a security object: its names, and some that are none. */
function namesIn(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof value === 'string') found.add(value);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      found.add(key);
      namesIn(inner, found);
    }
  return found;
}
