// Answers a principal that asks what it may use itself: `GET /_api/v2/access?principal=` with its own name.
import { type Context } from '../context.ts';
import { type AdmittedName } from '../permissions/couchdb-members.ts';
import { fieldsOfGrant, type PrefixGrant } from '../permissions/prefix-grant.ts';
import { type Principal } from '../principal/principal.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { type IsStillPermitted } from '../revocation/revocation-watch.ts';
import {
  type AccessRowsDeps,
  databaseRows,
  databasesByPrefix,
  type Page,
  pageOf,
  prefixGrantsField,
  requireGrantsKnown,
  requireIndexLoaded,
} from './access-rows.ts';

export interface OwnAccessDeps extends AccessRowsDeps {
  readonly isStillPermitted: IsStillPermitted;
}

/**
 * What the caller may use: the databases on which it holds something, with the roles. What the owner wrote
 * about it is left out: the label, and who granted what when. So are server roles, as `explain` leaves them
 * out: the databases that a monitor sees in `/_all_dbs` are not in the answer.
 */
export async function ownAccess(
  deps: OwnAccessDeps,
  context: Context,
  principal: Exclude<Principal, { readonly kind: 'nobody' }>,
  page: Page,
): Promise<object> {
  requireGrantsKnown(deps);
  requireIndexLoaded(deps);
  const { kind, name } = principal;
  const admitted: AdmittedName = {
    name,
    isNobody: false,
    roles: 'roles' in principal ? principal.roles : [],
  };
  const byPrefix = await databasesByPrefix(deps, name);
  const named = databaseRows(deps, admitted, byPrefix).map(({ database }) => database);
  const existing = new Set(await deps.existing.filter(named));
  // The reads may have taken long: neither the credential nor the grants need to be what they were (H19).
  await requireStillPermitted(deps.isStillPermitted, context);
  requireGrantsKnown(deps);
  requireIndexLoaded(deps);
  const { shown, next } = pageOf(
    databaseRows(deps, admitted, byPrefix).filter(({ database }) => existing.has(database)),
    (row) => row.database,
    page,
  );
  const ownFields = (grant: PrefixGrant): object => {
    const { databases, roles, create, delete: remove } = fieldsOfGrant(grant);
    return { id: grant.id, databases, roles, create, delete: remove };
  };
  return {
    principal: name,
    kind,
    ...prefixGrantsField(deps.prefixGrants.grantsOf(name), ownFields),
    databases: shown,
    ...next,
  };
}
