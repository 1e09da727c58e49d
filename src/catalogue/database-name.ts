// Classifies database names by the rules of CouchDB.

/**
 * `system` = a system database with a prefix, such as `x/_users`; `illegal` = CouchDB does not create it.
 */
export type NameKind = 'ordinary' | 'system' | 'illegal';

const SYSTEM = new Set(['_dbs', '_global_changes', '_metadata', '_nodes', '_replicator', '_users']);

/** System databases in which Couchgate serves documents. */
export const SERVED_SYSTEM_DATABASES: ReadonlySet<string> = new Set([
  '_users',
  '_replicator',
  '_global_changes',
]);

const LEGAL = new Uint8Array(128);
for (const character of 'abcdefghijklmnopqrstuvwxyz0123456789_$()+-/') LEGAL[character.charCodeAt(0)] = 1;

/** CouchDB takes the design documents of the database behind this prefix (mem3:dbname). */
const SHARD = /^shards\/.{8}-.{8}\//;
/** Hardly a name begins so: a request does not pay for the expression. */
const SHARDS = 'shards/';

const A = 97;
const Z = 122;

/**
 * Classifies a decoded database name. CouchDB allows `^[a-z][a-z0-9_$()+/-]*$`
 * (docs.couchdb.org/en/stable/api/database/common.html#put--db).
 * A legal name whose last part is the name of a system database is a system database itself
 * (couch_db:is_system_db_name). For example, CouchDB runs the replication jobs in `x/_replicator` (H9).
 */
export function kindOfName(name: string): NameKind {
  const first = name.charCodeAt(0);
  if (!(first >= A && first <= Z)) return 'illegal';
  let partStart = 0;
  let underscored = false;
  for (let i = 1; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code > 127 || LEGAL[code] === 0) return 'illegal';
    if (code === 47) partStart = i + 1;
    else if (code === 95 && i === partStart) underscored = true;
  }
  if (name.startsWith(SHARDS) && SHARD.test(name)) return 'illegal';
  return underscored && hasSystemSuffix(name) ? 'system' : 'ordinary';
}

/** Erlang's `filename:basename` drops slashes at the end, so `x/_users/` counts too. */
function hasSystemSuffix(name: string): boolean {
  let end = name.length;
  while (end > 0 && name.charCodeAt(end - 1) === 47) end--;
  return SYSTEM.has(name.slice(name.lastIndexOf('/', end - 1) + 1, end));
}

/** True for a database whose security object can hold grants that have an effect. */
export function isOpenToGrants(name: string): boolean {
  return name === '_replicator' || name === '_global_changes' || kindOfName(name) === 'ordinary';
}

/** As `isOpenToGrants`, but not for Couchgate's own databases (`ownDatabases`), which are `own`. */
export function mayHaveGrants(name: string, own: readonly string[]): boolean {
  return isOpenToGrants(name) && !own.includes(name);
}

/** The names of Couchgate's own databases: the store, and the history of permissions. */
export function ownDatabases(storeDatabase: string): readonly [store: string, history: string] {
  return [storeDatabase, `${storeDatabase}_history`];
}

/** CouchDB's reason for refusing to create a database with an illegal name. */
export function illegalNameReason(name: string): string {
  return `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.`;
}
