// Requests about the permissions of a database.
import {
  applied,
  hasEdits,
  NO_EDITS,
  rolesIn,
  type SecurityDocument,
  setRoles,
} from '../permission-edits.ts';
import { ApiError, call } from './http.ts';
import { pathOf } from './paths.ts';

export interface Permissions {
  readonly document: SecurityDocument;
  /** `<generation>.<revision>`; undefined if the server keeps no revisions. */
  readonly revision: string | undefined;
}

const securityPath = (database: string): string => `_api/v2/db/${pathOf(database)}/_security`;

export async function readPermissions(database: string, signal?: AbortSignal): Promise<Permissions> {
  const { body, revision } = await call<SecurityDocument>({
    path: securityPath(database),
    ...(signal === undefined ? {} : { signal }),
  });
  return { document: body, revision };
}

export interface Save {
  readonly document: SecurityDocument;
  /** The revision that was read; the server refuses another one with 412. */
  readonly revision: string | undefined;
  /** For the history; at most 512 characters. */
  readonly reason: string;
}

export interface Saved {
  /** Of the server. */
  readonly warnings: readonly string[];
  /** As `Permissions` has it. */
  readonly revision: string | undefined;
}

/** Replaces the document. */
export async function savePermissions(database: string, save: Save): Promise<Saved> {
  const { body, revision } = await call<{ readonly warnings?: readonly string[] }>({
    method: 'PUT',
    path: securityPath(database),
    body: save.document,
    headers: preconditions(save),
  });
  return { warnings: body.warnings ?? [], revision };
}

/** Browsers send each character of a header as one byte; the server reads the bytes as UTF-8. */
function preconditions({ revision, reason }: Omit<Save, 'document'>): Record<string, string> {
  const headers: Record<string, string> = {};
  if (revision !== undefined) headers['If-Match'] = `"${revision}"`;
  if (reason !== '') headers['X-Couchgate-Reason'] = String.fromCharCode(...new TextEncoder().encode(reason));
  return headers;
}

/** One saved change of the permissions. */
export interface HistoryEntry {
  /** Another one = an earlier life of the database: no way leads back to it. */
  readonly generation: string;
  readonly revision: number;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly via: string;
  readonly reason?: string;
  readonly changes: readonly {
    readonly name: string;
    readonly before: readonly string[];
    readonly after: readonly string[];
  }[];
  readonly couchdb_auth_only?: { readonly before: boolean; readonly after: boolean };
}

export interface HistoryPage {
  /** The newest first. */
  readonly history: readonly HistoryEntry[];
  /** Asks for the next page; undefined = there is none. */
  readonly before?: number;
}

/** Reads the entries before a revision. Resolves with null if the server keeps no history. */
export async function readHistory(
  database: string,
  before: number | undefined,
  signal: AbortSignal,
): Promise<HistoryPage | null> {
  const query = before === undefined ? '' : `&before=${before}`;
  try {
    const path = `${securityPath(database)}/history?limit=20${query}`;
    return (await call<HistoryPage>({ path, signal })).body;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** How a roll-back would widen access; the server asks before it does. */
export type Widening = 'public' | 'admin';

/** The widening that the server has refused; undefined for any other error. */
export function refusedWidening(error: unknown): Widening | undefined {
  if (!(error instanceof ApiError) || error.error !== 'would_widen') return undefined;
  return error.reason.includes('allow=public') ? 'public' : 'admin';
}

interface RollBack {
  readonly to: number;
  readonly revision: string | undefined;
  readonly allowed: readonly Widening[];
}

/** Writes a new revision with the content of an older one. */
export async function rollBack(database: string, { to, revision, allowed }: RollBack): Promise<void> {
  const query = allowed.length === 0 ? '' : `?allow=${allowed.join(',')}`;
  await call({
    method: 'POST',
    path: `${securityPath(database)}/rollback${query}`,
    body: { revision: to },
    headers: preconditions({ revision, reason: '' }),
  });
}

/**
 * Adds roles to those that a name has on a database. It states the revision that it read: if somebody else
 * has saved in between, it reads again, once.
 */
export async function addRoles(
  database: string,
  name: string,
  roles: readonly string[],
  reason: string,
): Promise<void> {
  const add = async (): Promise<void> => {
    const { document, revision } = await readPermissions(database);
    const before = rolesIn(document, name);
    const edits = setRoles(document, NO_EDITS, name, [...before, ...roles]);
    if (hasEdits(edits))
      await savePermissions(database, { document: applied(document, edits), revision, reason });
  };
  try {
    await add();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 412) throw error;
    await add();
  }
}
