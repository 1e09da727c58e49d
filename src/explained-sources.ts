// Finds where the roles of the sender of an explained request come from.
import { type ExplainedSource } from './answer/explained-request.ts';
import { type OtherGrants } from './authorize/decide-now.ts';
import { type Context } from './context.ts';
import { type DatabasePermissions } from './permissions/grants.ts';
import { type PrefixGrants } from './permissions/prefix-grants.ts';
import { rolesOf } from './permissions/role.ts';
import { roleSources } from './permissions/role-sources.ts';
import { MONITOR } from './permissions/server-grants.ts';

/** The grants of a decision, and whose they are. */
export interface SourcedGrants extends OtherGrants {
  readonly prefixGrants: OtherGrants['prefixGrants'] & Pick<PrefixGrants, 'grantsOf'>;
}

/**
 * The sources on the database whose permissions were read; undefined = none was. On a database that does not
 * exist, a prefix grant gives no role, but it may let the sender create it.
 */
export function sourcesOf(
  { identified, operation }: Context,
  read: string | undefined,
  permissions: DatabasePermissions | undefined,
  { prefixGrants, serverGrants }: SourcedGrants,
): readonly ExplainedSource[] {
  if (identified === undefined) return [];
  const { principal } = identified;
  if (principal.kind === 'owner') return [{ source: 'owner', roles: ['server_admin'] }];
  const database = read ?? operation?.database;
  const own = database === undefined ? [] : roleSources(principal, database, permissions, prefixGrants);
  const sources = own.map((found): ExplainedSource => {
    const roles = permissions === undefined ? [] : rolesOf(found.roles);
    if (found.from === '_security') return { source: '_security', roles };
    const { id, create, delete: remove } = found.grant;
    return {
      source: 'prefix grant',
      roles,
      grant: id,
      ...(create ? { create } : {}),
      ...(remove ? { delete: remove } : {}),
    };
  });
  return serverGrants.isMonitor(principal) === true
    ? [...sources, { source: 'server grant', roles: [MONITOR] }]
    : sources;
}
