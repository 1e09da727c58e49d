// Requests about who has access to a database, and where a name has access.
import { ApiError, call } from './http.ts';

/** Where a name has access. */
export interface AccessEntry {
  readonly database: string;
  readonly roles: readonly string[];
  /** `_security`, `prefix grant`, `owner` or `couchdb`. */
  readonly source: string;
  /** The id of the prefix grant. */
  readonly grant?: string;
}

/** All that a name may use. */
export interface AccessOfName {
  readonly databases: readonly AccessEntry[];
  /** Patterns by the id of the prefix grant, also of those that reach no database yet. */
  readonly patterns: ReadonlyMap<string, string>;
  readonly isMonitor: boolean;
}

interface AccessPage<Row> {
  readonly databases?: readonly Row[];
  readonly names?: readonly Row[];
  readonly prefix_grants?: readonly { readonly id: string; readonly databases: string }[];
  readonly server_roles?: readonly string[];
  readonly next?: string;
}

/** Where a key or user has access. Resolves with null if the server has no answer to this. */
export async function readAccess(principal: string, signal: AbortSignal): Promise<AccessOfName | null> {
  try {
    const pages = await readPages<AccessEntry>({ principal }, signal);
    const [first] = pages;
    return {
      databases: pages.flatMap(({ databases }) => databases ?? []),
      patterns: new Map((first?.prefix_grants ?? []).map(({ id, databases }) => [id, databases])),
      isMonitor: (first?.server_roles ?? []).length > 0,
    };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** A prefix grant that reaches a database. */
export interface Reach {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  /** Undefined = only the owner learns it. */
  readonly pattern?: string;
  /** True if it permits to delete the database. */
  readonly deletes: boolean;
}

interface NameEntry {
  readonly name: string;
  readonly roles: readonly string[];
  readonly source: string;
  readonly grant?: string;
}

/** The prefix grants that reach a database, for those who may change its permissions. */
export async function readReach(database: string, signal: AbortSignal): Promise<readonly Reach[]> {
  const pages = await readPages<NameEntry>({ database }, signal);
  return pages
    .flatMap(({ names }) => names ?? [])
    .flatMap(({ name, roles, grant }) =>
      grant === undefined ? [] : [{ id: grant, name, roles, deletes: false }],
    );
}

/** Every page of an answer, the first one first. */
async function readPages<Row>(
  question: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<readonly AccessPage<Row>[]> {
  const pages: AccessPage<Row>[] = [];
  let after: string | undefined;
  do {
    const query = new URLSearchParams({ ...question, ...(after === undefined ? {} : { after }) });
    const { body } = await call<AccessPage<Row>>({ path: `_api/v2/access?${query.toString()}`, signal });
    pages.push(body);
    after = body.next;
  } while (after !== undefined);
  return pages;
}
