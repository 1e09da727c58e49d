// Reads and writes prefix grants and server grants of a running Couchgate for export, plan and apply.
import { type Admin, fieldsOf } from '../../setup/admin.ts';
import { accepted } from '../owner-client.ts';
import { type GivenByGrant, givenIn, type GrantKind } from './file-owner-grants.ts';
import { Moved } from './remote.ts';

/** A grant of a running Couchgate. */
export interface RemoteGrant {
  readonly kind: GrantKind;
  /** Of a server grant: the principal. */
  readonly id: string;
  readonly revision: string;
  readonly principal: string;
  readonly given: GivenByGrant;
  /** The owner that wrote it, and when (ISO 8601). */
  readonly by: string;
  readonly at: string;
  /** Why it is not in force. */
  readonly suspended: string | undefined;
}

const PATHS: Readonly<Record<GrantKind, string>> = {
  'prefix grant': '/_api/v2/prefix_grants',
  'server grant': '/_api/v2/server_grants',
};
const KINDS: readonly GrantKind[] = ['prefix grant', 'server grant'];

/** Reads all prefix grants, then all server grants, each sorted by id. */
export async function readGrants(couchgate: Admin): Promise<readonly RemoteGrant[]> {
  const found: RemoteGrant[] = [];
  for (const kind of KINDS) {
    const answer = accepted(await couchgate.ask('GET', PATHS[kind]), `listing the ${kind}s`);
    const list: unknown = Object.values(answer)[0];
    if (!Array.isArray(list)) throw new Error(`the list of ${kind}s has another form; is it Couchgate?`);
    for (const item of list) found.push(grantIn(kind, fieldsOf(item)));
  }
  return found;
}

function grantIn(kind: GrantKind, fields: Readonly<Record<string, unknown>>): RemoteGrant {
  const { id, principal, revision, by, at, reason, in_force: inForce } = fields;
  if (typeof revision !== 'string') throw new Error(`a ${kind} has no revision; is Couchgate older?`);
  return {
    kind,
    id: String(kind === 'prefix grant' ? id : principal),
    revision,
    principal: String(principal),
    given: givenIn(fields),
    by: String(by),
    at: String(at),
    suspended: inForce === false ? String(reason) : undefined,
  };
}

/** What a grant shall be: null = none. */
export interface WantedGrant {
  readonly kind: GrantKind;
  readonly id: string;
  /** The state that it replaces; null = there is none. */
  readonly revision: string | null;
  readonly after: { readonly principal: string; readonly given: GivenByGrant } | null;
}

/** Writes or revokes the grant if its state is still `revision`. Throws Moved, and RefusedByCouchgate. */
export async function writeGrant(
  couchgate: Admin,
  { kind, id, revision, after }: WantedGrant,
): Promise<readonly string[]> {
  const path = `${PATHS[kind]}/${encodeURIComponent(id)}`;
  const condition: Record<string, string> =
    revision === null ? { 'If-None-Match': '*' } : { 'If-Match': `"${revision}"` };
  const answer =
    after === null
      ? await couchgate.ask('DELETE', path, undefined, condition)
      : await couchgate.ask('PUT', path, bodyOf(kind, after), condition);
  if (answer.status === 412 || answer.status === 404) throw new Moved(id);
  const { warnings } = accepted(answer, `changing the ${kind} ${id}`);
  return Array.isArray(warnings) ? warnings.map(String) : [];
}

function bodyOf(kind: GrantKind, { principal, given }: NonNullable<WantedGrant['after']>): object {
  return kind === 'server grant'
    ? { roles: given.roles }
    : // What was not confirmed with --allow-admin is not written.
      { principal, ...given, ...(isDangerous(given) ? { dangerous: true } : {}) };
}

/** True if the grant gives rights over permissions. */
export function isDangerous({ roles }: GivenByGrant): boolean {
  return roles.includes('_admin') || roles.includes('_security');
}
