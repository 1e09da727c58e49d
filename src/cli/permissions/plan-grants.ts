// Computes what a permissions file changes in prefix grants and server grants.
import { type Role, rolesOf, roleSet } from '../../permissions/role.ts';
import { type Widening } from '../../permissions/widening.ts';
import { type FileProblem, quoted } from './file-nodes.ts';
import { type FileOwnerGrant, type GivenByGrant, type GrantKind } from './file-owner-grants.ts';
import { type RemoteKeys } from './remote.ts';
import { isDangerous, type RemoteGrant, type WantedGrant } from './remote-grants.ts';

/** Who has a grant, and what it gives. */
export interface GrantState {
  readonly principal: string;
  readonly given: GivenByGrant;
}

/** The change of one grant. It applies to exactly one revision. `after` = null: it is revoked. */
export interface GrantChange extends WantedGrant {
  readonly before: GrantState | null;
  /** What the change needs a flag for. */
  readonly widening: readonly Widening[];
}

interface FileGrants {
  readonly ownerGrants: readonly FileOwnerGrant[];
  readonly managed: ReadonlySet<GrantKind>;
}

/**
 * Compares the file with the grants in force. Without `prune`, it only adds: roles are added to those in
 * force. With it, the file replaces the grants of every section that it has.
 */
export function planGrants(
  { ownerGrants, managed }: FileGrants,
  present: readonly RemoteGrant[],
  keys: RemoteKeys,
  prune: boolean,
): {
  readonly changes: readonly GrantChange[];
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly string[];
} {
  const problems: FileProblem[] = [];
  const changes: GrantChange[] = [];
  const byId = new Map(present.map((grant) => [`${grant.kind} ${grant.id}`, grant]));
  const named = new Set<string>();
  for (const grant of ownerGrants) {
    const principal = principalOf(grant, keys, problems);
    if (principal === undefined) continue;
    const id = grant.id ?? principal;
    const place = `${grant.kind} ${id}`;
    if (named.has(place)) problems.push({ line: grant.line, reason: `${quoted(id)} is there twice` });
    named.add(place);
    const held = byId.get(place);
    const after = { principal, given: grant.given };
    const isReplaced = prune || held === undefined || held.suspended !== undefined;
    const wanted = isReplaced ? after : addedTo(held, after);
    if (wanted === undefined)
      problems.push({
        line: grant.line,
        reason: `${quoted(id)} has another principal or prefix now; only --prune replaces it`,
      });
    else if (held === undefined || !isSameState(held, wanted))
      changes.push(changeOf({ kind: grant.kind, id, held, after: wanted }));
  }
  if (prune)
    for (const held of present)
      if (managed.has(held.kind) && !named.has(`${held.kind} ${held.id}`))
        changes.push(changeOf({ kind: held.kind, id: held.id, held, after: null }));
  const warnings = present.flatMap(({ kind, id, suspended }) =>
    suspended === undefined || !managed.has(kind)
      ? []
      : [`${kind} ${quoted(id)} is not in force: ${suspended}`],
  );
  return { changes, problems, warnings };
}

/** The principal of a grant of the file; reports a label that fits no key, or several. */
export function principalOf(
  { by, name, line }: Pick<FileOwnerGrant, 'by' | 'name' | 'line'>,
  { byLabel }: RemoteKeys,
  problems: FileProblem[],
): string | undefined {
  if (by === 'name') return name;
  const [key, second] = byLabel.get(name) ?? [];
  if (key === undefined) problems.push({ line, reason: `no valid key has the label ${quoted(name)}` });
  else if (second !== undefined)
    problems.push({ line, reason: `${byLabel.get(name)?.length} valid keys have the label ${quoted(name)}` });
  else return key;
  return undefined;
}

/** The grant in force with what the file adds; `undefined` = it belongs to another principal or prefix. */
function addedTo(held: GrantState, wanted: GrantState): GrantState | undefined {
  if (held.principal !== wanted.principal || held.given.databases !== wanted.given.databases)
    return undefined;
  // A server grant has one role only.
  if (held.given.databases === undefined) return wanted;
  const [now, file] = [held.given, wanted.given];
  const counts = [now.max_databases, file.max_databases].filter((count) => count !== undefined);
  const given: GivenByGrant = {
    databases: held.given.databases,
    roles: rolesOf(roleSet(now.roles as readonly Role[]) | roleSet(file.roles as readonly Role[])),
    create: now.create === true || file.create === true,
    delete: now.delete === true || file.delete === true,
    ...(counts.length === 0 ? {} : { max_databases: Math.max(...counts) }),
  };
  return { principal: held.principal, given };
}

function changeOf({
  held,
  ...change
}: Pick<WantedGrant, 'kind' | 'id' | 'after'> & { readonly held: RemoteGrant | undefined }): GrantChange {
  const before = held === undefined ? null : { principal: held.principal, given: held.given };
  return {
    kind: change.kind,
    id: change.id,
    revision: held?.revision ?? null,
    before,
    after: change.after,
    widening: grantWidening(held, change.after),
  };
}

/** What the change needs a flag for, on the grant in force. */
export function grantWidening(held: RemoteGrant | undefined, after: GrantState | null): readonly Widening[] {
  if (after === null || !isDangerous(after.given)) return [];
  const reach = (state: GrantState): string => (state.given.databases ?? '').slice(0, -1);
  const isInForce =
    held?.suspended === undefined &&
    held?.principal === after.principal &&
    reach(after).startsWith(reach(held));
  const before = isInForce ? held.given.roles : [];
  const isNew = (['_admin', '_security'] as const).some(
    (role) => after.given.roles.includes(role) && !before.includes(role),
  );
  return isNew ? ['admin'] : [];
}

/** True if both have the same principal and give the same. */
export function isSameState(a: GrantState, b: GrantState): boolean {
  return wordsOf(a) === wordsOf(b);
}

/** A grant for a person, on one line. */
export function wordsOf(state: GrantState | null): string {
  if (state === null) return '-';
  const { databases, roles, create, delete: remove, max_databases: max } = state.given;
  return [
    ...[state.principal, ...(databases === undefined ? [] : [databases])],
    roles.length === 0 ? '-' : roles.join(','),
    ...(create === true ? [`create (${max ?? 0} databases)`] : []),
    ...(remove === true ? ['delete'] : []),
  ].join(' ');
}
