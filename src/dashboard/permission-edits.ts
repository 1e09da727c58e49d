// Collects the edits of a permission page, and carries them over to a document that somebody else has
// changed. Pure functions.
import { inOrder } from './roles.ts';

/** Names and roles that CouchDB itself decides with. */
export interface CouchList {
  readonly names: readonly string[];
  readonly roles: readonly string[];
}

/** True if the list has a name or a role. */
export function hasEntries(list: CouchList | undefined): list is CouchList {
  return list !== undefined && list.names.length + list.roles.length > 0;
}

/** The part of the document for CouchDB. An absent list and an empty one mean different things there. */
export interface CouchRules {
  readonly isOn: boolean;
  readonly members: CouchList | undefined;
  readonly admins: CouchList | undefined;
}

/** The security document as the API has it; unknown fields are kept. */
export interface SecurityDocument {
  readonly _id?: string;
  readonly cloudant?: Readonly<Record<string, readonly string[]>>;
  readonly couchdb_auth_only?: boolean;
  readonly members?: Partial<CouchList>;
  readonly admins?: Partial<CouchList>;
}

/** A value that the person has changed, with what it was when the change began. */
export interface Change<T> {
  readonly before: T;
  readonly after: T;
}

export interface Edits {
  /** Roles by name; no roles = the name is removed. */
  readonly grants: ReadonlyMap<string, Change<readonly string[]>>;
  readonly couch: Change<CouchRules> | undefined;
}

export const NO_EDITS: Edits = { grants: new Map(), couch: undefined };

/** True if saving would change something. */
export function hasEdits({ grants, couch }: Edits): boolean {
  return grants.size > 0 || couch !== undefined;
}

/** The roles of a name in the document, in the order of the columns. */
export function rolesIn(document: SecurityDocument, name: string): readonly string[] {
  const { cloudant } = document;
  return cloudant !== undefined && Object.hasOwn(cloudant, name) ? inOrder(cloudant[name] ?? []) : [];
}

/** The roles of a name as the page shows them. */
export function rolesShown(document: SecurityDocument, edits: Edits, name: string): readonly string[] {
  return edits.grants.get(name)?.after ?? rolesIn(document, name);
}

export function couchRulesIn({ couchdb_auth_only: isOn, members, admins }: SecurityDocument): CouchRules {
  return { isOn: isOn === true, members: listOf(members), admins: listOf(admins) };
}

function listOf(list: Partial<CouchList> | undefined): CouchList | undefined {
  return list === undefined ? undefined : { names: list.names ?? [], roles: list.roles ?? [] };
}

/** Sets the roles of a name. Setting them back to what they were ends the edit. */
export function setRoles(
  document: SecurityDocument,
  edits: Edits,
  name: string,
  roles: Iterable<string>,
): Edits {
  const grants = new Map(edits.grants);
  const before = grants.get(name)?.before ?? rolesIn(document, name);
  const after = inOrder(roles);
  if (isSame(before, after)) grants.delete(name);
  else grants.set(name, { before, after });
  return { ...edits, grants };
}

/** Sets the part for CouchDB. */
export function setCouchRules(document: SecurityDocument, edits: Edits, after: CouchRules): Edits {
  const before = edits.couch?.before ?? couchRulesIn(document);
  return { ...edits, couch: isSame(before, after) ? undefined : { before, after } };
}

/**
 * Drops blank lines of the lists for CouchDB. A list of blank lines alone becomes absent, which closes the
 * database: an empty one would open it to everybody.
 */
export function tidied(edits: Edits): Edits {
  if (edits.couch === undefined) return edits;
  const { before, after } = edits.couch;
  const { isOn, members, admins } = after;
  return { ...edits, couch: { before, after: { isOn, members: tidy(members), admins: tidy(admins) } } };
}

function tidy(list: CouchList | undefined): CouchList | undefined {
  if (!hasEntries(list)) return list;
  const filled = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => line.trim()).filter((line) => line !== '');
  const rest = { names: filled(list.names), roles: filled(list.roles) };
  return hasEntries(rest) ? rest : undefined;
}

/** The document that saving the edits would write. */
export function applied(document: SecurityDocument, edits: Edits): SecurityDocument {
  const fields = without(document, ['_id']);
  const cloudant = new Map(Object.entries(document.cloudant ?? {}));
  for (const [name, { after }] of edits.grants) {
    if (after.length === 0) cloudant.delete(name);
    else cloudant.set(name, after);
  }
  // The browser must not take a name such as __proto__ for anything else.
  const grants = edits.grants.size === 0 ? {} : { cloudant: Object.fromEntries(cloudant) };
  return { ...withCouchRules(fields, edits.couch?.after), ...grants };
}

function without(document: SecurityDocument, fields: readonly (keyof SecurityDocument)[]): SecurityDocument {
  return Object.fromEntries(
    Object.entries(document).filter(([field]) => !fields.some((each) => each === field)),
  );
}

function withCouchRules(document: SecurityDocument, rules: CouchRules | undefined): SecurityDocument {
  if (rules === undefined) return document;
  const others = without(document, ['couchdb_auth_only', 'members', 'admins']);
  const { isOn, members, admins } = rules;
  return {
    ...others,
    ...(isOn ? { couchdb_auth_only: true } : {}),
    ...(members === undefined ? {} : { members }),
    ...(admins === undefined ? {} : { admins }),
  };
}

/** A row on which the person and somebody else disagree. */
export type Conflict =
  | {
      readonly kind: 'grants';
      readonly name: string;
      readonly theirs: readonly string[];
      readonly mine: readonly string[];
    }
  | { readonly kind: 'couch'; readonly theirs: CouchRules; readonly mine: CouchRules };

/** Identifies a conflict: if their side changes again, it is another one, and is chosen about again. */
export function idOf(conflict: Conflict): string {
  const theirs = JSON.stringify(conflict.theirs);
  return conflict.kind === 'couch' ? `couch ${theirs}` : `name ${conflict.name} ${theirs}`;
}

export interface Rebased {
  /** Edits against the new document; those in conflict still say what the person wants. */
  readonly edits: Edits;
  readonly conflicts: readonly Conflict[];
}

/**
 * Carries edits over to `theirs`, a newer document. A row that only one of the two has changed keeps that
 * change. A row that both have changed in different ways is a conflict. So is a row of `open`, the conflicts
 * that nobody has decided yet: its edit begins with what they have saved.
 */
export function rebase(edits: Edits, theirs: SecurityDocument, open: readonly Conflict[] = []): Rebased {
  const conflicts: Conflict[] = [];
  const grants = new Map<string, Change<readonly string[]>>();
  for (const [name, { before, after }] of edits.grants) {
    const now = rolesIn(theirs, name);
    if (isSame(now, after)) continue;
    grants.set(name, { before: now, after });
    const isOpen = open.some((each) => each.kind === 'grants' && each.name === name);
    if (isOpen || !isSame(now, before)) conflicts.push({ kind: 'grants', name, theirs: now, mine: after });
  }
  if (edits.couch === undefined) return { edits: { grants, couch: undefined }, conflicts };
  const now = couchRulesIn(theirs);
  const { before, after } = edits.couch;
  if (isSame(now, after)) return { edits: { grants, couch: undefined }, conflicts };
  const isOpen = open.some(({ kind }) => kind === 'couch');
  if (isOpen || !isSame(now, before)) conflicts.push({ kind: 'couch', theirs: now, mine: after });
  return { edits: { grants, couch: { before: now, after } }, conflicts };
}

/** Takes their side of the conflicts that `keepsMine` rejects: those edits end. */
export function resolve(
  edits: Edits,
  conflicts: readonly Conflict[],
  keepsMine: (conflict: Conflict) => boolean,
): Edits {
  const grants = new Map(edits.grants);
  let { couch } = edits;
  for (const conflict of conflicts) {
    if (keepsMine(conflict)) continue;
    if (conflict.kind === 'grants') grants.delete(conflict.name);
    else couch = undefined;
  }
  return { grants, couch };
}

/** Compares two JSON values whose fields are in the same order. */
export function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Who has access, in one glance. */
export type Access =
  | { readonly kind: 'couchdb' }
  | { readonly kind: 'public'; readonly roles: readonly string[]; readonly names: readonly string[] }
  | { readonly kind: 'owner' }
  | { readonly kind: 'names'; readonly names: readonly string[] };

/** Sums a document up. A name without roles counts as absent. */
export function accessIn(document: SecurityDocument): Access {
  if (document.couchdb_auth_only === true) return { kind: 'couchdb' };
  const names = Object.entries(document.cloudant ?? {}).flatMap(([name, roles]) =>
    roles.length > 0 && name !== 'nobody' ? [name] : [],
  );
  const open = rolesIn(document, 'nobody');
  if (open.length > 0) return { kind: 'public', roles: open, names };
  return names.length === 0 ? { kind: 'owner' } : { kind: 'names', names };
}
