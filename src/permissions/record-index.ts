// Keeps the grants of all records in memory: which names hold what on which databases.
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { type CouchdbMembers, type GrantOf, type PermissionIndex } from './permission-index.ts';
import { type Leaf, permissionsOfForm } from './record-document.ts';
import { formInForce } from './record-leaves.ts';
import { NO_ROLES, rolesOf, type RoleSet } from './role.ts';
import { isTexts } from './security-request.ts';

/** What the index holds of one record. */
export interface IndexedRecord {
  /** `_rev` of the winner. */
  readonly rev: string;
  readonly revision: number;
  readonly stamp: number;
  /** `null` = the database was deleted. */
  readonly start: string | null;
  /** False while a change is under way, and while there are several leaves. */
  readonly isAtRest: boolean;
  readonly couchdbAuthOnly: boolean;
  /** Only with `couchdbAuthOnly`. */
  readonly couchdbMembers: CouchdbMembers | undefined;
  readonly names: readonly string[];
  /** The roles of the name at the same place. */
  readonly roles: readonly RoleSet[];
}

const NO_DATABASES: ReadonlySet<string> = new Set();

/** The index. Its memory is bounded by the records: some 100 bytes each, and some 50 for each grant. */
export class RecordIndex implements PermissionIndex {
  readonly #isCurrent: () => boolean;
  readonly #records = new Map<string, IndexedRecord>();
  /** A name with one database has it as a text: most keys are for one database. */
  readonly #databases = new Map<string, string | Set<string>>();
  readonly #couchdbAuthOnly = new Set<string>();
  #isRead = false;

  /** @param isCurrent True while the feed of the store is up. */
  constructor(isCurrent: () => boolean) {
    this.#isCurrent = isCurrent;
  }

  get isLoaded(): boolean {
    return this.#isRead && this.#isCurrent();
  }

  get size(): number {
    return this.#records.size;
  }

  /** Call it once all records were read. */
  markRead(): void {
    this.#isRead = true;
  }

  recordOf(database: string): IndexedRecord | undefined {
    return this.#records.get(database);
  }

  /**
   * Takes the winner of a record. `hasConflicts` = there are other leaves. An older state is ignored: pages
   * that are read at the start arrive after changes of the feed.
   */
  take(database: string, leaf: Leaf, hasConflicts: boolean): void {
    const held = this.#records.get(database);
    if (held !== undefined) {
      // Which of the leaves counts, a read of the record decides.
      if (leaf.isWithdrawn && hasConflicts) this.#records.set(database, { ...held, isAtRest: false });
      if (leaf.isWithdrawn ? hasConflicts || isShorter(leaf.rev, held.rev) : isOlder(leaf, held)) return;
    }
    // Other leaves can only narrow, and are merged within seconds.
    const form = formInForce(leaf);
    const { grants, couchdbAuthOnly } = permissionsOfForm(form, database, false);
    if (held !== undefined) this.#unlink(database, held.names);
    const names: string[] = [];
    const roles: RoleSet[] = [];
    for (const [name, set] of grants) {
      names.push(this.#link(name, database));
      roles.push(set);
    }
    if (couchdbAuthOnly) this.#couchdbAuthOnly.add(database);
    else this.#couchdbAuthOnly.delete(database);
    this.#records.set(database, {
      rev: leaf.rev,
      revision: leaf.revision,
      stamp: leaf.stamp,
      start: leaf.generation.start,
      isAtRest: leaf.state === 'done' && !hasConflicts,
      couchdbAuthOnly,
      couchdbMembers: couchdbAuthOnly ? membersIn(form) : undefined,
      names,
      roles,
    });
  }

  /** Removes a record that was deleted from the store. */
  remove(database: string): void {
    const held = this.#records.get(database);
    if (held === undefined) return;
    this.#unlink(database, held.names);
    this.#couchdbAuthOnly.delete(database);
    this.#records.delete(database);
  }

  databasesOf(name: string): ReadonlyMap<string, RoleSet> {
    const found = new Map<string, RoleSet>();
    const databases = this.#databases.get(name) ?? NO_DATABASES;
    for (const database of typeof databases === 'string' ? [databases] : databases) {
      const record = this.#records.get(database);
      const roles = record?.roles[record.names.indexOf(name)] ?? NO_ROLES;
      if (roles !== NO_ROLES) found.set(database, roles);
    }
    return found;
  }

  rolesOn(database: string, name: string): RoleSet {
    const databases = this.#databases.get(name);
    const isLinked = typeof databases === 'string' ? databases === database : databases?.has(database);
    if (isLinked !== true) return NO_ROLES;
    const record = this.#records.get(database);
    return record?.roles[record.names.indexOf(name)] ?? NO_ROLES;
  }

  grantsOf(database: string): readonly GrantOf[] | undefined {
    const record = this.#records.get(database);
    if (record === undefined || record.start === null) return undefined;
    return record.names.map((name, i) => ({ name, roles: rolesOf(record.roles[i] ?? NO_ROLES) }));
  }

  isDeleted(database: string): boolean {
    return this.#records.get(database)?.start === null;
  }

  couchdbAuthOnly(): ReadonlySet<string> {
    return this.#couchdbAuthOnly;
  }

  couchdbMembersOf(database: string): CouchdbMembers | undefined {
    return this.#records.get(database)?.couchdbMembers;
  }

  /** Records that the name has a role on the database. Returns the text of the name that is held already. */
  #link(name: string, database: string): string {
    const held = this.#databases.get(name);
    if (held === undefined) this.#databases.set(name, database);
    else if (typeof held !== 'string') held.add(database);
    else if (held !== database) this.#databases.set(name, new Set([held, database]));
    return name;
  }

  #unlink(database: string, names: readonly string[]): void {
    for (const name of names) {
      const held = this.#databases.get(name);
      if (held === database) this.#databases.delete(name);
      else if (held !== undefined && typeof held !== 'string') {
        held.delete(database);
        if (held.size === 0) this.#databases.delete(name);
      }
    }
  }
}

/** Without a list, Couchgate writes a closed one, so only two empty arrays are public. */
function membersIn(form: JsonObject): CouchdbMembers {
  const entries = (list: 'members' | 'admins', kind: 'names' | 'roles'): readonly string[] | undefined => {
    const value = isJsonObject(form[list]) ? form[list][kind] : undefined;
    return isTexts(value) ? value : undefined;
  };
  const [memberNames, memberRoles] = [entries('members', 'names'), entries('members', 'roles')];
  const isGiven = memberNames !== undefined || memberRoles !== undefined;
  return {
    names: [...(memberNames ?? []), ...(entries('admins', 'names') ?? [])],
    roles: [...(memberRoles ?? []), ...(entries('admins', 'roles') ?? [])],
    isPublic: isGiven && (memberNames ?? []).length === 0 && (memberRoles ?? []).length === 0,
  };
}

function isOlder({ revision, rev }: Leaf, held: IndexedRecord): boolean {
  return revision === held.revision ? isShorter(rev, held.rev) : revision < held.revision;
}

/** Compares the lengths of the paths that two revisions (`_rev`) have in the document. */
function isShorter(rev: string, other: string): boolean {
  return Number.parseInt(rev, 10) < Number.parseInt(other, 10);
}
