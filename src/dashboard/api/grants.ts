// Requests about grants that reach further than one database: prefix grants and monitors. For the owner.
import { call, pathOf } from './http.ts';

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

/** Creates or replaces a grant. Resolves with warnings of the server. */
export async function putPrefixGrant(id: string, fields: PrefixGrantFields): Promise<readonly string[]> {
  const path = `${PREFIX}/${pathOf(id)}`;
  const { body } = await call<{ readonly warnings?: readonly string[] }>({
    method: 'PUT',
    path,
    body: fields,
  });
  return body.warnings ?? [];
}

export async function revokePrefixGrant(id: string): Promise<void> {
  await call({ method: 'DELETE', path: `${PREFIX}/${pathOf(id)}` });
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
