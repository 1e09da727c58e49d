// Defines a prefix grant: roles of one name on all databases whose names have a prefix. Parses and checks it.
import { type JsonObject } from '../json/object.ts';
import { type StoredDocument } from '../couch/store.ts';
import { isAccountName } from './grants.ts';
import {
  isRole,
  NO_ROLES,
  PERMISSION_WRITERS,
  type Role,
  ROLES,
  roleSet,
  rolesOf,
  type RoleSet,
} from './role.ts';

export interface PrefixGrant {
  readonly id: string;
  /** Name of an API key or a user. */
  readonly principal: string;
  /** The pattern without its `*`. */
  readonly prefix: string;
  readonly roles: RoleSet;
  /** The principal may create databases with the prefix, without settings of CouchDB. */
  readonly create: boolean;
  /** The principal may delete databases with the prefix. */
  readonly delete: boolean;
  /** `create` ends when so many databases with the prefix exist. */
  readonly maxDatabases: number;
  /** The owner has confirmed `_admin` or `_security`. */
  readonly dangerous: boolean;
  /** Name of the owner that wrote the grant. */
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
}

/** Names that a prefix must not reach. */
export interface PrefixRules {
  /** False for names that CouchDB does not allow, and for system databases. */
  readonly isOrdinary: (database: string) => boolean;
  /** Couchgate's own databases. */
  readonly ownDatabases: readonly string[];
  /** Patterns of the setting `adopt`: names, or prefixes with `*` at the end. CouchDB decides there. */
  readonly adopt: readonly string[];
}

const MIN_PREFIX_LENGTH = 3;
/** CouchDB's longest name of a database. */
const MAX_PREFIX_LENGTH = 237;
export const DEFAULT_MAX_DATABASES = 1000;
export const MAX_DATABASES = 100_000;
const FIELDS = ['principal', 'databases', 'roles', 'create', 'delete', 'max_databases', 'dangerous'];
/** `_db_updates` is a role on the whole server. */
const ALLOWED: readonly Role[] = ROLES.filter((role) => role !== '_db_updates');
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * Parses the body of `PUT /_api/v2/prefix_grants/{id}`. Returns the grant, or a sentence for every problem
 * that it has.
 */
export function parsePrefixGrant(
  id: string,
  body: JsonObject,
  rules: PrefixRules,
  origin: { readonly by: string; readonly at: string },
): PrefixGrant | readonly string[] {
  const { principal, databases, roles, create = false, delete: remove = false, dangerous = false } = body;
  const maxDatabases = body['max_databases'] ?? DEFAULT_MAX_DATABASES;
  const problems = [
    ...(ID.test(id) ? [] : ['the id must have 1 to 64 letters, digits, `.`, `_` or `-`']),
    ...Object.keys(body)
      .filter((field) => !FIELDS.includes(field))
      .map((field) => `unknown field ${shown(field)}; allowed: ${FIELDS.join(', ')}`),
    ...problemsOfPrincipal(principal),
    ...problemsOfPattern(databases, rules),
    ...problemsOfRoles(roles, dangerous === true),
    ...Object.entries({ create, delete: remove, dangerous })
      .filter(([, value]) => typeof value !== 'boolean')
      .map(([field]) => `\`${field}\` must be true or false`),
    ...(isCount(maxDatabases) ? [] : [`\`max_databases\` must be a whole number from 1 to ${MAX_DATABASES}`]),
    ...(body['max_databases'] !== undefined && create !== true
      ? ['`max_databases` needs `create`: true']
      : []),
    ...(Array.isArray(roles) && roles.length === 0 && create !== true && remove !== true
      ? ['the grant gives nothing: it has no role, and neither `create` nor `delete`']
      : []),
  ];
  if (problems.length > 0) return problems;
  return {
    id,
    principal: principal as string,
    prefix: (databases as string).slice(0, -1),
    roles: roleSet(roles as readonly Role[]),
    create: create === true,
    delete: remove === true,
    maxDatabases: maxDatabases as number,
    dangerous: dangerous === true,
    ...origin,
  };
}

/** The fields of the stored document. */
export function fieldsOfGrant(grant: PrefixGrant): Readonly<Record<string, unknown>> {
  const { create, delete: remove, maxDatabases, dangerous } = grant;
  return {
    principal: grant.principal,
    databases: `${grant.prefix}*`,
    roles: rolesOf(grant.roles),
    create,
    delete: remove,
    ...(create ? { max_databases: maxDatabases } : {}),
    ...(dangerous ? { dangerous } : {}),
    by: grant.by,
    at: grant.at,
  };
}

/**
 * Reads a stored document. One that could not be put today grants nothing: the sentences then say why it is
 * not in force.
 */
export function storedPrefixGrant(
  id: string,
  document: StoredDocument,
  rules: PrefixRules,
): PrefixGrant | readonly string[] {
  const isMeta = (field: string): boolean => field.startsWith('_') || field === 'by' || field === 'at';
  const fields = Object.fromEntries(Object.entries(document).filter(([field]) => !isMeta(field)));
  const { by, at } = document;
  return parsePrefixGrant(id, fields, rules, {
    by: typeof by === 'string' ? by : '',
    at: typeof at === 'string' ? at : '',
  });
}

function problemsOfPrincipal(principal: unknown): readonly string[] {
  if (typeof principal !== 'string' || principal === '')
    return ['`principal` must be the name of an API key or a user'];
  if (principal === 'nobody') return ['`nobody` cannot have a prefix grant'];
  if (!isAccountName(principal)) return ['`principal` is not the name of an API key or a user'];
  return [];
}

function problemsOfPattern(
  databases: unknown,
  { isOrdinary, ownDatabases, adopt }: PrefixRules,
): readonly string[] {
  if (
    typeof databases !== 'string' ||
    !databases.endsWith('*') ||
    databases.indexOf('*') < databases.length - 1
  )
    return ['`databases` must be a prefix of names with one `*` at its end, such as userdb-*'];
  const prefix = databases.slice(0, -1);
  const problems: string[] = [];
  if (prefix.length < MIN_PREFIX_LENGTH || prefix.length > MAX_PREFIX_LENGTH)
    problems.push(
      `\`databases\` must have ${MIN_PREFIX_LENGTH} to ${MAX_PREFIX_LENGTH} characters before its \`*\``,
    );
  if (!isOrdinary(prefix))
    problems.push(
      `${shown(prefix)} is no prefix of an ordinary database: only a-z, 0-9, _, $, (, ), +, - and /, a letter first, and no system database`,
    );
  for (const own of ownDatabases)
    if (own.startsWith(prefix)) problems.push(`${shown(databases)} includes ${own}, a database of Couchgate`);
  for (const pattern of adopt)
    if (overlaps(pattern, prefix))
      problems.push(
        `${shown(databases)} overlaps ${shown(pattern)} of the setting \`adopt\`: CouchDB decides there`,
      );
  return problems;
}

/** True if a name can match both: an `adopt` pattern, and a prefix. */
function overlaps(pattern: string, prefix: string): boolean {
  if (!pattern.endsWith('*')) return pattern.startsWith(prefix);
  const other = pattern.slice(0, -1);
  return other.startsWith(prefix) || prefix.startsWith(other);
}

function problemsOfRoles(roles: unknown, isConfirmed: boolean): readonly string[] {
  if (!Array.isArray(roles)) return ['`roles` must be an array of roles'];
  const unknown = roles.filter((role) => !isRole(role) || !ALLOWED.includes(role));
  const set = roleSet(roles.filter(isRole));
  return [
    ...unknown.map((role) => `${shown(role)} is no role of a prefix grant; allowed: ${ALLOWED.join(', ')}`),
    ...((set & PERMISSION_WRITERS) !== NO_ROLES && !isConfirmed
      ? [
          `${rolesOf(set & PERMISSION_WRITERS).join(' and ')} on every database of the prefix must be confirmed with \`dangerous\`: true`,
        ]
      : []),
  ];
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_DATABASES;
}

/** A value of the client, short enough for an error. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
