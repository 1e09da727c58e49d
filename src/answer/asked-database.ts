// Decides whether a caller may ask about permissions: the owner about every database and name, a holder of
// `_security` about its own database, everybody about its own name. Every other question gets the same 403,
// at the same cost (H30).
import { endpoint } from '../catalogue/catalogue.ts';
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { isPermitted } from '../catalogue/is-permitted.ts';
import { type Context } from '../context.ts';
import { Forbidden, Unavailable } from '../http-errors.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';
import { type PrefixReader } from '../permissions/prefix-grants.ts';
import { NO_ROLES } from '../permissions/role.ts';
import { ownName, type Principal } from '../principal/principal.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import { credentialOf } from '../revocation/watched-exchange.ts';

export interface AskedDatabaseDeps {
  readonly index: Pick<PermissionIndex, 'isLoaded' | 'rolesOn'>;
  readonly prefixGrants: PrefixReader;
  /** Databases of Couchgate, which can have no grants. */
  readonly reservedDatabases: readonly string[];
  readonly isStillPermitted: IsStillPermitted;
}

/** Whoever may read the security object may ask what follows from it. */
const READS_SECURITY = endpoint('api-security-get');

/**
 * Resolves if the caller may ask about the database; `undefined` = no single database of the caller. Throws
 * 403. A caller without a right causes no read, so neither the time nor the words tell which names exist. For
 * the others the record decides, as it does about `GET _security`.
 */
export async function requireMayAsk(
  deps: AskedDatabaseDeps,
  context: Context,
  database: string | undefined,
): Promise<void> {
  const credential = credentialOf(context);
  const { principal } = credential;
  if (principal.kind === 'owner') return;
  const { index, prefixGrants, reservedDatabases, isStillPermitted } = deps;
  const prefix = prefixGrants.accessOf(principal, database);
  if (!index.isLoaded || prefix === undefined)
    throw new Unavailable('The permissions are being read; they cannot be explained yet.', {
      retryAfterSeconds: 1,
    });
  const name = principal.kind === 'nobody' ? undefined : ownName(principal);
  // From memory alone. A prefix grant gives nothing where CouchDB decides, nor on a missing database: the
  // decision below reads that, and the holder of the prefix may know it.
  const roles =
    name === undefined || database === undefined ? NO_ROLES : index.rolesOn(database, name) | prefix.roles;
  const isOwn = database !== undefined && mayHaveGrants(database, reservedDatabases);
  if (!isOwn || !isPermitted(READS_SECURITY, roles)) throw notYours();
  const isPermittedNow = await isStillPermitted({
    ...credential,
    database,
    endpoint: READS_SECURITY,
    identity: 'marker',
  });
  if (!isPermittedNow) throw notYours();
}

/**
 * True if the question is about the caller itself. The entry of callers without credentials is nobody's own:
 * somebody called `nobody` holds nothing of it (H13), and callers without credentials cannot ask.
 */
export function isOneself(
  principal: Principal,
  asked: string | undefined,
): principal is Exclude<Principal, { readonly kind: 'nobody' }> {
  return principal.kind !== 'nobody' && asked !== undefined && ownName(principal) === asked;
}

/** The same for every question that the caller may not ask. */
export function notYours(): Forbidden {
  return new Forbidden('_security access is required on the database of the question');
}
