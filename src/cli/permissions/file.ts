// Reads a permissions file, and reports every problem with its line.
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { isOpenToGrants } from '../../catalogue/database-name.ts';
import { nearest } from '../../config/nearest.ts';
import { isRole, NO_ROLES, ROLES, type RoleSet, roleSet } from '../../permissions/role.ts';
import { isMarker } from '../../principal/marker.ts';
import { type FilePart, partsOf } from './file-parts.ts';

export interface FileProblem {
  readonly line: number;
  readonly reason: string;
}

/** A grant of the file: to a name, or to the key with a label. */
export interface FileGrant {
  readonly by: 'name' | 'key';
  readonly name: string;
  readonly roles: RoleSet;
  readonly line: number;
}

/** CouchDB's own lists, for `couchdb_auth_only`. */
export interface CouchdbList {
  readonly names: readonly string[];
  readonly roles: readonly string[];
}

/** An entry of `databases`. */
export interface FileEntry {
  /** A name, or a pattern with `*`. */
  readonly database: string;
  readonly line: number;
  readonly grants: readonly FileGrant[];
  /** Undefined = the file does not manage it. */
  readonly couchdbAuthOnly: boolean | undefined;
  readonly members: CouchdbList | undefined;
  readonly admins: CouchdbList | undefined;
}

export interface PermissionsFile {
  readonly entries: readonly FileEntry[];
  readonly problems: readonly FileProblem[];
}

/** Largest file, and largest entry: a security object has at most 2 MiB. */
export const LARGEST_FILE_BYTES = 33_554_432;
const LARGEST_ENTRY_LENGTH = 4_194_304;
const TOP_FIELDS = ['version', 'databases'];
const ENTRY_FIELDS = ['grants', 'couchdb_auth_only', 'members', 'admins'];
/** As for `PUT _security`. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;
// eslint-disable-next-line no-control-regex
const BAD_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

/** Parses the text of a file. With a problem, `entries` are not complete. */
export function parsePermissionsFile(text: string): PermissionsFile {
  if (BAD_CHARACTER.test(text))
    return { entries: [], problems: [{ line: 1, reason: 'has control characters' }] };
  const reader = new FileReader();
  for (const part of partsOf(text)) reader.read(part);
  return reader.end();
}

type Fields = ReadonlyMap<string, { readonly value: Node | null; readonly line: number }>;

class FileReader {
  readonly #entries = new Map<string, FileEntry>();
  readonly #problems: FileProblem[] = [];
  readonly #top = new Set<string>();
  /** Columns before the name of a database. */
  #indent: number | undefined;
  #lineOf: (node: Node | null | undefined) => number = () => 1;

  read(part: FilePart): void {
    const lines = new LineCounter();
    const at = (offset: number): number => part.linesBefore + Math.max(1, lines.linePos(offset).line);
    if (part.text.length > LARGEST_ENTRY_LENGTH) {
      this.#report(part.linesBefore + 1, 'this entry is larger than 4 MiB');
      return;
    }
    // Every value is a text: `no`, `1e3` and `~` are names, and nothing is converted.
    const document = parseDocument(part.text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'failsafe',
    });
    this.#lineOf = (node) => at(node?.range?.[0] ?? 0);
    for (const { pos, code } of [...document.errors, ...document.warnings])
      this.#report(at(pos[0]), `not valid YAML here (${code.toLowerCase().replaceAll('_', ' ')})`);
    if (document.errors.length > 0) return;
    const { contents } = document;
    if (part.kind === 'database') {
      const indent = part.text.length - part.text.trimStart().length;
      this.#indent ??= indent;
      if (indent !== this.#indent)
        this.#report(part.linesBefore + 1, 'the indentation is another one than above');
    }
    if (contents === null || (isScalar(contents) && contents.value === '')) return;
    if (part.kind === 'database') this.#readEntries(contents);
    else this.#readTop(contents);
  }

  end(): PermissionsFile {
    for (const field of TOP_FIELDS) if (!this.#top.has(field)) this.#report(1, `\`${field}\` is missing`);
    const problems = this.#problems.toSorted((a, b) => a.line - b.line);
    return { entries: [...this.#entries.values()], problems };
  }

  #report(line: number, reason: string): void {
    this.#problems.push({ line, reason });
  }

  #readTop(contents: Node): void {
    for (const [name, { value, line }] of this.#fieldsIn(contents, TOP_FIELDS, 'the file')) {
      if (this.#top.has(name)) this.#report(line, `\`${name}\` is given twice`);
      this.#top.add(name);
      if (name === 'version' && this.#textIn(value) !== '1') this.#report(line, '`version` must be 1');
      // The entries of a block are parts of their own; `databases: {…}` is read here.
      if (name === 'databases' && value !== null && this.#textIn(value) !== '') this.#readEntries(value);
    }
  }

  #readEntries(contents: Node): void {
    for (const [database, { value, line }] of this.#fieldsIn(contents, undefined, '`databases`')) {
      if (this.#entries.has(database)) this.#report(line, `${quoted(database)} is there twice`);
      if (!isDatabaseOrPattern(database))
        this.#report(line, `${quoted(database)} is not a database that can have grants, and no pattern`);
      this.#entries.set(database, this.#entryOf(database, value, line));
    }
  }

  #entryOf(database: string, value: Node | null, line: number): FileEntry {
    const fields: Fields = isEmpty(value) ? new Map() : this.#fieldsIn(value, ENTRY_FIELDS, quoted(database));
    const authOnly = fields.get('couchdb_auth_only');
    const word = authOnly === undefined ? undefined : this.#textIn(authOnly.value);
    if (authOnly !== undefined && word !== 'true' && word !== 'false')
      this.#report(authOnly.line, '`couchdb_auth_only` must be true or false');
    const [members, admins] = [this.#listIn(fields, 'members'), this.#listIn(fields, 'admins')];
    if ((members !== undefined || admins !== undefined) && word !== 'true')
      this.#report(line, '`members` and `admins` have an effect only with `couchdb_auth_only: true`');
    const couchdbAuthOnly = word === undefined ? undefined : word === 'true';
    return { database, line, grants: this.#grantsIn(fields), couchdbAuthOnly, members, admins };
  }

  #grantsIn(fields: Fields): readonly FileGrant[] {
    const given = fields.get('grants');
    if (given === undefined || isEmpty(given.value)) return [];
    if (!isSeq<Node>(given.value)) {
      this.#report(given.line, '`grants` must be a list');
      return [];
    }
    const seen = new Set<string>();
    return given.value.items.flatMap((item) => {
      const grant = this.#grantIn(item);
      if (grant === undefined) return [];
      const id = `${grant.by} ${grant.name}`;
      if (seen.has(id)) this.#report(grant.line, `${quoted(grant.name)} is there twice`);
      seen.add(id);
      return [grant];
    });
  }

  #grantIn(item: Node): FileGrant | undefined {
    const line = this.#lineOf(item);
    const fields = this.#fieldsIn(item, ['name', 'key', 'roles'], 'a grant');
    const by = fields.has('key') ? 'key' : 'name';
    if (fields.has('key') === fields.has('name')) {
      this.#report(line, 'a grant needs either `name` or `key` (the label of an API key)');
      return undefined;
    }
    const name = this.#textIn(fields.get(by)?.value);
    if (name === undefined || name === '') {
      this.#report(line, `\`${by}\` must be a text`);
      return undefined;
    }
    if (by === 'name' && (name.startsWith('_') || isMarker(name) || CONTROL.test(name)))
      this.#report(line, `${quoted(name)} cannot be a name`);
    const roles = fields.get('roles');
    if (roles === undefined) this.#report(line, '`roles` is missing');
    return { by, name, roles: this.#rolesIn(roles?.value, line), line };
  }

  #rolesIn(value: Node | null | undefined, line: number): RoleSet {
    if (value === undefined) return NO_ROLES;
    if (!isSeq<Node>(value)) {
      this.#report(line, '`roles` must be a list');
      return NO_ROLES;
    }
    let roles = NO_ROLES;
    for (const item of value.items) {
      const role = this.#textIn(item);
      if (isRole(role)) roles |= roleSet([role]);
      else {
        const near = role === undefined ? undefined : nearest(role, ROLES);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        this.#report(this.#lineOf(item), `${quoted(role ?? '')} is not one of ${ROLES.join(', ')}${hint}`);
      }
    }
    return roles;
  }

  #listIn(fields: Fields, field: 'members' | 'admins'): CouchdbList | undefined {
    const given = fields.get(field);
    if (given === undefined) return undefined;
    const lists = isEmpty(given.value)
      ? new Map()
      : this.#fieldsIn(given.value, ['names', 'roles'], `\`${field}\``);
    return { names: this.#textsIn(lists, 'names'), roles: this.#textsIn(lists, 'roles') };
  }

  #textsIn(fields: Fields, field: 'names' | 'roles'): readonly string[] {
    const given = fields.get(field);
    if (given === undefined || isEmpty(given.value)) return [];
    const texts = isSeq<Node>(given.value)
      ? given.value.items.map((item) => this.#textIn(item))
      : [undefined];
    const bad = texts.some(
      (text) =>
        text === undefined ||
        isMarker(text) ||
        (field === 'roles' && text.startsWith('_') && text !== '_admin'),
    );
    if (bad) this.#report(given.line, `\`${field}\` must be a list of ${field} that CouchDB may have`);
    return texts.filter((text) => text !== undefined);
  }

  /** The fields of a map; reports unknown ones. `allowed` = undefined: every name. */
  #fieldsIn(node: Node | null, allowed: readonly string[] | undefined, place: string): Fields {
    const fields = new Map<string, { value: Node | null; line: number }>();
    if (!isMap<Node, Node | null>(node) || isMarkedUp(node)) {
      this.#report(
        this.#lineOf(node),
        `${place} must have \`name: value\` lines, without anchors, aliases and tags`,
      );
      return fields;
    }
    for (const { key, value } of node.items) {
      const line = this.#lineOf(key);
      const name = this.#textIn(key);
      if (name === undefined) this.#report(line, 'a name must be a text');
      else if (allowed !== undefined && !allowed.includes(name)) {
        const near = nearest(name, allowed);
        const hint = near === undefined ? `; allowed: ${allowed.join(', ')}` : `; did you mean ${near}?`;
        this.#report(line, `unknown field ${quoted(name)}${hint}`);
      } else fields.set(name, { value, line });
    }
    return fields;
  }

  #textIn(node: Node | null | undefined): string | undefined {
    if (!isScalar(node) || isMarkedUp(node) || typeof node.value !== 'string') return undefined;
    return node.value;
  }
}

/** True for an alias, an anchor or a tag: they would make a text mean something else than it says. */
function isMarkedUp(node: Node): boolean {
  const { anchor, tag } = node as { readonly anchor?: string; readonly tag?: string };
  return isAlias(node) || anchor !== undefined || tag !== undefined;
}

function isEmpty(value: Node | null): boolean {
  return value === null || (isScalar(value) && value.value === '');
}

/** A `*` in a pattern stands for any characters; without it, the rest must be able to be a name. */
function isDatabaseOrPattern(text: string): boolean {
  if (!text.includes('*')) return isOpenToGrants(text);
  return isOpenToGrants(`a${text.replaceAll('*', '')}`);
}

/** Names may have any characters. */
export function quoted(text: string): string {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return JSON.stringify(shown);
}
