// Requests about grants that reach further than one database: prefix grants and monitors. For the owner.
import { ApiError, call } from './http.ts';
import { pathOf } from './paths.ts';

/** What may be chosen about a prefix grant. */
export interface PrefixGrantFields {
  readonly principal: string;
  /** A prefix of names, and one `*`. */
  readonly databases: string;
  readonly roles: readonly string[];
  readonly create: boolean;
  readonly delete: boolean;
  /** With `create` only. */
  readonly max_databases?: number;
  /** Confirms roles that grant everything. */
  readonly dangerous?: boolean;
}

export interface PrefixGrant extends PrefixGrantFields {
  readonly id: string;
  /** A change names the one that it replaces. */
  readonly revision: string;
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
  /** Absent = it is in force. */
  readonly in_force?: false;
  /** Why it is not in force. */
  readonly reason?: string;
}

export interface ServerGrant {
  readonly principal: string;
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
}

const PREFIX = '_api/v2/prefix_grants';
const SERVER = '_api/v2/server_grants';

export async function listPrefixGrants(signal: AbortSignal): Promise<readonly PrefixGrant[]> {
  return (await call<{ readonly prefix_grants: readonly PrefixGrant[] }>({ path: PREFIX, signal })).body
    .prefix_grants;
}

/** A grant as the list had it. */
export type ShownGrant = Pick<PrefixGrant, 'id' | 'revision'>;

/**
 * Creates a grant, or replaces the one that was shown. Resolves with warnings of the server. Rejects with 412
 * if it was changed or removed meanwhile: a grant that somebody has revoked must not come back.
 */
export async function putPrefixGrant(
  shown: ShownGrant | { readonly newId: string },
  fields: PrefixGrantFields,
): Promise<readonly string[]> {
  const isNew = 'newId' in shown;
  const { body } = await call<{ readonly warnings?: readonly string[] }>({
    method: 'PUT',
    path: `${PREFIX}/${pathOf(isNew ? shown.newId : shown.id)}`,
    body: fields,
    headers: isNew ? { 'If-None-Match': '*' } : ifAsShown(shown),
  }).catch(throwChangedMeanwhile);
  return body.warnings ?? [];
}

/** Rejects with 412 as `putPrefixGrant` does. */
export async function revokePrefixGrant(shown: ShownGrant): Promise<void> {
  const path = `${PREFIX}/${pathOf(shown.id)}`;
  await call({ method: 'DELETE', path, headers: ifAsShown(shown) }).catch(throwChangedMeanwhile);
}

const ifAsShown = ({ revision }: ShownGrant) => ({ 'If-Match': `"${revision}"` });

function throwChangedMeanwhile(error: unknown): never {
  if (!(error instanceof ApiError) || error.status !== 412) throw error;
  const reason =
    'Somebody else has changed or removed this grant meanwhile. Close the dialog: the list shows it as it is now.';
  throw new ApiError(error.status, error.error, reason, error.requestId);
}

/** The monitors. */
export async function listServerGrants(signal: AbortSignal): Promise<readonly ServerGrant[]> {
  return (await call<{ readonly server_grants: readonly ServerGrant[] }>({ path: SERVER, signal })).body
    .server_grants;
}

/** Makes a name a monitor. Resolves with warnings of the server. */
export async function addMonitor(principal: string): Promise<readonly string[]> {
  const path = `${SERVER}/${pathOf(principal)}`;
  const body = { roles: ['_monitor'] };
  const answer = await call<{ readonly warnings?: readonly string[] }>({ method: 'PUT', path, body });
  return answer.body.warnings ?? [];
}

export async function removeMonitor(principal: string): Promise<void> {
  await call({ method: 'DELETE', path: `${SERVER}/${pathOf(principal)}` });
}
