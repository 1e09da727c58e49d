// Writes and reads a saved plan. A file that was edited by hand is checked like every other input.
import { problemsOfServerGrant } from '../../permissions/server-grants.ts';
import { type Widening } from '../../permissions/widening.ts';
import { fieldsOf } from '../../setup/admin.ts';
import { givenIn, prefixGrantOf } from './file-owner-grants.ts';
import {
  areRoles,
  type CouchdbPart,
  type DatabaseChange,
  listIn,
  type NameChange,
  type Plan,
} from './plan.ts';
import { type GrantChange, type GrantState } from './plan-grants.ts';

/** One database or grant a line, so that a large plan stays readable. */
export function planText({ databases, grants, warnings, ...head }: Plan): string {
  const fields = JSON.stringify({ ...head, warnings }).slice(0, -1);
  const lines = (changes: readonly object[]): string =>
    changes.map((change) => JSON.stringify(change)).join(',\n');
  return `${fields},"databases":[\n${lines(databases)}\n],"grants":[\n${lines(grants)}\n]}\n`;
}

/** Parses a saved plan. Throws an error with the first thing that is wrong. */
export function parsePlan(text: string): Plan {
  const { version, made_at: madeAt, prune, databases, grants } = fieldsOf(JSON.parse(text));
  if (version !== 1 || typeof prune !== 'boolean' || !Array.isArray(databases) || !Array.isArray(grants))
    throw new Error('this is not a plan of this version');
  const changes = (databases as readonly unknown[]).map(changeIn);
  if (new Set(changes.map(({ database }) => database)).size !== changes.length)
    throw new Error('the plan has a database twice');
  const granted = (grants as readonly unknown[]).map(grantIn);
  if (new Set(granted.map(({ kind, id }) => `${kind} ${id}`)).size !== granted.length)
    throw new Error('the plan has a grant twice');
  return { version: 1, made_at: String(madeAt), prune, databases: changes, grants: granted, warnings: [] };
}

function grantIn(value: unknown): GrantChange {
  const { kind, id, revision, before, after } = fieldsOf(value);
  if ((kind !== 'prefix grant' && kind !== 'server grant') || typeof id !== 'string')
    throw new Error('a grant of the plan has no kind or no id');
  if (revision !== null && (typeof revision !== 'string' || !/^[0-9a-f-]{1,80}$/.test(revision)))
    throw new Error(`the revision of the ${kind} ${id} in the plan has another form`);
  const change = { kind, id, revision, before: stateIn(before), after: stateIn(after) };
  if (change.after !== null && !isPossible(kind, id, change.after))
    throw new Error(`the ${kind} ${id} in the plan is not possible`);
  // As for databases, what needs a flag is computed again.
  return { ...change, kind, widening: [] };
}

function stateIn(value: unknown): GrantState | null {
  if (value === null) return null;
  const { principal, given } = fieldsOf(value);
  const { roles } = fieldsOf(given);
  if (typeof principal !== 'string' || !Array.isArray(roles))
    throw new Error('a grant of the plan is not complete');
  return { principal, given: givenIn(fieldsOf(given)) };
}

function isPossible(kind: GrantChange['kind'], id: string, { principal, given }: GrantState): boolean {
  if (kind === 'server grant')
    return id === principal && problemsOfServerGrant(principal, { ...given }).length === 0;
  return 'principal' in prefixGrantOf(id, { principal, ...given });
}

function changeIn(value: unknown): DatabaseChange {
  const { database, revision, names, couchdb } = fieldsOf(value);
  if (
    typeof database !== 'string' ||
    typeof revision !== 'string' ||
    !/^[0-9a-f]{1,32}\.[0-9]{1,16}$/.test(revision)
  )
    throw new Error('a database of the plan has no name or no revision');
  if (!Array.isArray(names)) throw new Error(`the plan has no names for ${database}`);
  const part = couchdb === undefined ? undefined : couchdbIn(couchdb, database);
  return {
    database,
    revision,
    names: (names as readonly unknown[]).map((name) => nameIn(name, database)),
    ...(part === undefined ? {} : { couchdb: part }),
    // It is computed again before the plan is applied: the file does not decide what needs a flag.
    widening: [] satisfies Widening[],
  };
}

function nameIn(value: unknown, database: string): NameChange {
  const { name, before, after } = fieldsOf(value);
  if (typeof name !== 'string' || !areRoles(before) || !areRoles(after))
    throw new Error(`a name of ${database} in the plan is not complete`);
  return { name, before, after };
}

function couchdbIn(value: unknown, database: string): CouchdbPart {
  const { couchdb_auth_only: authOnly, members, admins } = fieldsOf(value);
  if (typeof authOnly !== 'boolean')
    throw new Error(`\`couchdb_auth_only\` of ${database} in the plan is not complete`);
  if (!authOnly) return { couchdb_auth_only: false };
  return { couchdb_auth_only: true, members: listIn(members), admins: listIn(admins) };
}
