// The roles of Cloudant's security model, in the words of the dashboard.

export type Role = (typeof ROLES)[number]['role'];

interface RoleWords {
  readonly role: string;
  /** Head of the column. */
  readonly title: string;
  readonly meaning: string;
  /** Completes "Holders can …" in a consequence. */
  readonly can: string;
  /** True if a holder can give itself every other role. */
  readonly grantsAll?: boolean;
}

/** In the order of the columns. Source: docs/api-keys.md, "Grant roles". */
export const ROLES = [
  {
    role: '_reader',
    title: 'Read',
    meaning: 'Read documents, attachments, views and changes.',
    can: 'read documents',
  },
  {
    role: '_writer',
    title: 'Write',
    meaning: 'Write and delete documents. It does not include reading.',
    can: 'write and delete documents',
  },
  {
    role: '_design',
    title: 'Design',
    meaning: 'Read and write design documents and indexes, and query documents with _find.',
    can: 'change design documents and indexes',
  },
  {
    role: '_replicator',
    title: 'Replicate',
    meaning: 'Read what replication reads, and write its checkpoints. No other write.',
    can: 'replicate from the database',
  },
  {
    role: '_security',
    title: 'Security',
    meaning: 'Read and change these permissions. Can grant every other role.',
    can: 'change the permissions, and so take every other right',
    grantsAll: true,
  },
  {
    role: '_admin',
    title: 'Admin',
    meaning: 'Everything on this database, delete included.',
    can: 'do everything, delete the database included',
    grantsAll: true,
  },
  {
    role: '_shards',
    title: 'Shards',
    meaning: 'See how the database is spread over the nodes.',
    can: 'see the shards',
  },
  {
    role: '_db_updates',
    title: 'DB updates',
    meaning: 'On the database _global_changes: see which databases change.',
    can: 'see which databases change',
  },
] as const satisfies readonly RoleWords[];

const OPEN_NAME = /^(?:_replicator|_global_changes|[a-z][a-z0-9_$()+/-]*)$/;
const PREFIXED_SYSTEM_NAME = /\/_(?:dbs|global_changes|metadata|nodes|replicator|users)\/*$/;

/** False for system databases in which grants have no effect, as in catalogue/database-name.ts. */
export function mayHaveGrants(database: string): boolean {
  return OPEN_NAME.test(database) && !PREFIXED_SYSTEM_NAME.test(database);
}

const WORDS = new Map<string, RoleWords>(ROLES.map((words) => [words.role, words]));

/** What a role permits, as the end of "can …". An unknown role is shown by its name. */
export function canOf(role: string): string {
  return WORDS.get(role)?.can ?? role;
}

/** The head of the role's column. An unknown role is shown by its name. */
export function titleOf(role: string): string {
  // Of monitors; it is granted on no database.
  if (role === '_monitor') return 'Monitor';
  return WORDS.get(role)?.title ?? role;
}

/** `Read, Write`. */
export function titlesOf(roles: readonly string[]): string {
  return inOrder(roles).map(titleOf).join(', ');
}

/** `Read, Write`, or `no access` without a role. */
export function accessInWords(roles: readonly string[]): string {
  return roles.length === 0 ? 'no access' : titlesOf(roles);
}

/** True if a holder of the role can give itself every other one. */
export function grantsAll(role: string): boolean {
  return WORDS.get(role)?.grantsAll === true;
}

/** Sorts roles in the order of the columns, without repetition. */
export function inOrder(roles: Iterable<string>): readonly string[] {
  const order = [...WORDS.keys()];
  const rank = (role: string): number => (order.indexOf(role) + order.length + 1) % (order.length + 1);
  return [...new Set(roles)].sort((a, b) => rank(a) - rank(b));
}
