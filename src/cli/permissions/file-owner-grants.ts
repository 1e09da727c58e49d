// Reads the sections `prefix_grants` and `server_grants` of a permissions file.
import { type Node } from 'yaml';
import { kindOfName } from '../../catalogue/database-name.ts';
import { fieldsOfGrant, parsePrefixGrant, type PrefixGrant } from '../../permissions/prefix-grant.ts';
import { type Role } from '../../permissions/role.ts';
import { problemsOfServerGrant } from '../../permissions/server-grants.ts';
import { type Fields, type FileNodes, quoted } from './file-nodes.ts';

export type GrantKind = 'prefix grant' | 'server grant';

/** What a prefix grant or a server grant gives. A server grant has only the roles. */
export interface GivenByGrant {
  readonly databases?: string;
  readonly roles: readonly (Role | '_monitor')[];
  readonly create?: boolean;
  readonly delete?: boolean;
  readonly max_databases?: number;
}

/** A prefix grant or a server grant of the file. */
export interface FileOwnerGrant {
  readonly kind: GrantKind;
  /** Of a prefix grant; a server grant has the name of its principal. */
  readonly id: string | undefined;
  readonly by: 'name' | 'key';
  readonly name: string;
  readonly given: GivenByGrant;
  readonly line: number;
}

/** The sections of the file, and the kind of their grants. */
export const SECTIONS: ReadonlyMap<string, GrantKind> = new Map([
  ['prefix_grants', 'prefix grant'],
  ['server_grants', 'server grant'],
]);

const PREFIX_FIELDS = ['name', 'key', 'databases', 'roles', 'create', 'delete', 'max_databases'];
const SERVER_FIELDS = ['name', 'key', 'roles'];
/** Only the server knows its own databases and its setting `adopt`. */
const RULES = {
  isOrdinary: (name: string) => kindOfName(name) === 'ordinary',
  ownDatabases: [],
  adopt: [],
};
/** Stands for the key that only the server knows. */
const SOME_KEY = 'key';

/** Reads a section. Reports every problem, and leaves out what has one. */
export function ownerGrantsIn(nodes: FileNodes, kind: GrantKind, section: Node | null): FileOwnerGrant[] {
  return kind === 'prefix grant' ? prefixGrantsIn(nodes, section) : serverGrantsIn(nodes, section);
}

function prefixGrantsIn(nodes: FileNodes, section: Node | null): FileOwnerGrant[] {
  const found: FileOwnerGrant[] = [];
  for (const [id, { value, line }] of nodes.fieldsIn(section, undefined, '`prefix_grants`')) {
    const fields = nodes.fieldsIn(value, PREFIX_FIELDS, quoted(id));
    const holder = holderIn(nodes, fields, line);
    if (holder === undefined) continue;
    const body = {
      principal: holder.by === 'name' ? holder.name : SOME_KEY,
      databases: nodes.textIn(fields.get('databases')?.value) ?? '',
      roles: rolesIn(nodes, fields) ?? 'none',
      ...flagIn(nodes, fields, 'create'),
      ...flagIn(nodes, fields, 'delete'),
      ...countIn(nodes, fields),
    };
    const grant = prefixGrantOf(id, body);
    if (!('principal' in grant)) for (const problem of grant) nodes.report(line, problem);
    else found.push({ kind: 'prefix grant', id, ...holder, given: givenIn(fieldsOfGrant(grant)), line });
  }
  return found;
}

function serverGrantsIn(nodes: FileNodes, section: Node | null): FileOwnerGrant[] {
  const items = nodes.nodesIn(section);
  if (items === undefined) nodes.report(nodes.lineOf(section), '`server_grants` must be a list');
  const seen = new Set<string>();
  const found: FileOwnerGrant[] = [];
  for (const item of items ?? []) {
    const line = nodes.lineOf(item);
    const fields = nodes.fieldsIn(item, SERVER_FIELDS, 'a server grant');
    const holder = holderIn(nodes, fields, line);
    if (holder === undefined) continue;
    const principal = holder.by === 'name' ? holder.name : SOME_KEY;
    const problems = problemsOfServerGrant(principal, { roles: rolesIn(nodes, fields) });
    if (seen.has(`${holder.by} ${holder.name}`)) problems.push(`${quoted(holder.name)} is there twice`);
    seen.add(`${holder.by} ${holder.name}`);
    for (const problem of problems) nodes.report(line, problem);
    if (problems.length === 0)
      found.push({ kind: 'server grant', id: undefined, ...holder, given: { roles: ['_monitor'] }, line });
  }
  return found;
}

/** Checks a prefix grant as the server does. Returns the grant, or a sentence for every problem. */
export function prefixGrantOf(
  id: string,
  body: Readonly<Record<string, unknown>>,
): PrefixGrant | readonly string[] {
  // The flag --allow-admin confirms dangerous roles when the plan is applied.
  return parsePrefixGrant(id, { ...body, dangerous: true }, RULES, { by: '', at: '' });
}

/** The fields of a grant in force that the file has, too. */
export function givenIn(fields: Readonly<Record<string, unknown>>): GivenByGrant {
  const names = ['databases', 'roles', 'create', 'delete', 'max_databases'];
  return Object.fromEntries(
    names.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]])),
  ) as unknown as GivenByGrant;
}

function holderIn(
  nodes: FileNodes,
  fields: Fields,
  line: number,
): Pick<FileOwnerGrant, 'by' | 'name'> | undefined {
  const by = fields.has('key') ? 'key' : 'name';
  const name = nodes.textIn(fields.get(by)?.value);
  if (fields.has('key') !== fields.has('name') && name !== undefined && name !== '') return { by, name };
  nodes.report(line, 'a grant needs either `name` or `key` (the label of an API key)');
  return undefined;
}

function rolesIn(nodes: FileNodes, fields: Fields): readonly string[] | undefined {
  return nodes.nodesIn(fields.get('roles')?.value)?.map((item) => nodes.textIn(item) ?? '');
}

/** Texts that are neither `true` nor `false` stay: parsePrefixGrant names them. */
function flagIn(nodes: FileNodes, fields: Fields, field: 'create' | 'delete'): Record<string, unknown> {
  const given = fields.get(field);
  if (given === undefined) return {};
  const text = nodes.textIn(given.value);
  return { [field]: text === 'true' ? true : text === 'false' ? false : (text ?? null) };
}

function countIn(nodes: FileNodes, fields: Fields): Record<string, unknown> {
  const given = fields.get('max_databases');
  if (given === undefined) return {};
  const text = nodes.textIn(given.value) ?? '';
  return { max_databases: /^\d{1,6}$/.test(text) ? Number(text) : text };
}
