// Reads a permissions file, and reports every problem with its line.
import { isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { isOpenToGrants } from '../../catalogue/database-name.ts';
import { nearest } from '../../config/nearest.ts';
import { isRole, NO_ROLES, ROLES, type RoleSet, roleSet } from '../../permissions/role.ts';
import { isMarker } from '../../principal/marker.ts';
import { type Fields, FileNodes, type FileProblem, isEmpty, quoted } from './file-nodes.ts';
import { type FileOwnerGrant, type GrantKind, ownerGrantsIn, SECTIONS } from './file-owner-grants.ts';
import { type FilePart, partsOf } from './file-parts.ts';

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
  readonly ownerGrants: readonly FileOwnerGrant[];
  /** The kinds of grants that have a section: with `--prune`, the file names them all. */
  readonly managed: ReadonlySet<GrantKind>;
  readonly problems: readonly FileProblem[];
}

/** Largest file, and largest entry: a security object has at most 2 MiB. */
export const MAX_FILE_BYTES = 33_554_432;
const MAX_ENTRY_LENGTH = 4_194_304;
const TOP_FIELDS = ['version', 'databases', ...SECTIONS.keys()];
const ENTRY_FIELDS = ['grants', 'couchdb_auth_only', 'members', 'admins'];
/** As for `PUT _security`. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;
// eslint-disable-next-line no-control-regex
const BAD_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

/** Parses the text of a file. With a problem, `entries` are not complete. */
export function parsePermissionsFile(text: string): PermissionsFile {
  if (BAD_CHARACTER.test(text))
    return {
      entries: [],
      ownerGrants: [],
      managed: new Set(),
      problems: [{ line: 1, reason: 'has control characters' }],
    };
  const reader = new FileReader();
  for (const part of partsOf(text)) reader.read(part);
  return reader.end();
}

class FileReader {
  readonly #entries = new Map<string, FileEntry>();
  readonly #ownerGrants: FileOwnerGrant[] = [];
  readonly #managed = new Set<GrantKind>();
  readonly #nodes = new FileNodes();
  readonly #top = new Set<string>();
  /** Columns before the name of a database. */
  #indent: number | undefined;

  read(part: FilePart): void {
    const lines = new LineCounter();
    const at = (offset: number): number => part.linesBefore + Math.max(1, lines.linePos(offset).line);
    if (part.text.length > MAX_ENTRY_LENGTH) {
      this.#nodes.report(part.linesBefore + 1, 'this entry is larger than 4 MiB');
      return;
    }
    // Every value is a text: `no`, `1e3` and `~` are names, and nothing is converted.
    const document = parseDocument(part.text, {
      lineCounter: lines,
      prettyErrors: false,
      schema: 'failsafe',
    });
    // eslint-disable-next-line no-restricted-syntax -- a program that ends soon
    this.#nodes.lineOf = (node) => at(node?.range?.[0] ?? 0);
    for (const { pos, code } of [...document.errors, ...document.warnings])
      this.#nodes.report(at(pos[0]), `not valid YAML here (${code.toLowerCase().replaceAll('_', ' ')})`);
    if (document.errors.length > 0) return;
    const { contents } = document;
    if (part.kind === 'database') {
      const indent = part.text.length - part.text.trimStart().length;
      this.#indent ??= indent;
      if (indent !== this.#indent)
        this.#nodes.report(part.linesBefore + 1, 'the indentation is another one than above');
    }
    if (contents === null || (isScalar(contents) && contents.value === '')) return;
    if (part.kind === 'database') this.#readEntries(contents);
    else this.#readTop(contents);
  }

  end(): PermissionsFile {
    if (!this.#top.has('version')) this.#nodes.report(1, '`version` is missing');
    if (this.#top.size === 0 || (this.#top.size === 1 && this.#top.has('version')))
      this.#nodes.report(1, `one of ${TOP_FIELDS.slice(1).join(', ')} is missing`);
    const problems = this.#nodes.problems.toSorted((a, b) => a.line - b.line);
    const [ownerGrants, managed] = [this.#ownerGrants, this.#managed];
    return { entries: [...this.#entries.values()], ownerGrants, managed, problems };
  }

  #readTop(contents: Node): void {
    for (const [name, { value, line }] of this.#nodes.fieldsIn(contents, TOP_FIELDS, 'the file')) {
      if (this.#top.has(name)) this.#nodes.report(line, `\`${name}\` is given twice`);
      this.#top.add(name);
      if (name === 'version' && this.#nodes.textIn(value) !== '1')
        this.#nodes.report(line, '`version` must be 1');
      // The entries of a block are parts of their own; `databases: {…}` is read here.
      if (name === 'databases' && value !== null && this.#nodes.textIn(value) !== '')
        this.#readEntries(value);
      const kind = SECTIONS.get(name);
      if (kind === undefined) continue;
      this.#managed.add(kind);
      if (!isEmpty(value)) this.#ownerGrants.push(...ownerGrantsIn(this.#nodes, kind, value));
    }
  }

  #readEntries(contents: Node): void {
    for (const [database, { value, line }] of this.#nodes.fieldsIn(contents, undefined, '`databases`')) {
      if (this.#entries.has(database)) this.#nodes.report(line, `${quoted(database)} is there twice`);
      if (!isDatabaseOrPattern(database))
        this.#nodes.report(
          line,
          `${quoted(database)} is not a database that can have grants, and no pattern`,
        );
      this.#entries.set(database, this.#entryOf(database, value, line));
    }
  }

  #entryOf(database: string, value: Node | null, line: number): FileEntry {
    const fields: Fields = isEmpty(value)
      ? new Map()
      : this.#nodes.fieldsIn(value, ENTRY_FIELDS, quoted(database));
    const authOnly = fields.get('couchdb_auth_only');
    const word = authOnly === undefined ? undefined : this.#nodes.textIn(authOnly.value);
    if (authOnly !== undefined && word !== 'true' && word !== 'false')
      this.#nodes.report(authOnly.line, '`couchdb_auth_only` must be true or false');
    const [members, admins] = [this.#listIn(fields, 'members'), this.#listIn(fields, 'admins')];
    if ((members !== undefined || admins !== undefined) && word !== 'true')
      this.#nodes.report(line, '`members` and `admins` have an effect only with `couchdb_auth_only: true`');
    const couchdbAuthOnly = word === undefined ? undefined : word === 'true';
    return { database, line, grants: this.#grantsIn(fields), couchdbAuthOnly, members, admins };
  }

  #grantsIn(fields: Fields): readonly FileGrant[] {
    const given = fields.get('grants');
    if (given === undefined || isEmpty(given.value)) return [];
    if (!isSeq<Node>(given.value)) {
      this.#nodes.report(given.line, '`grants` must be a list');
      return [];
    }
    const seen = new Set<string>();
    return given.value.items.flatMap((item) => {
      const grant = this.#grantIn(item);
      if (grant === undefined) return [];
      const id = `${grant.by} ${grant.name}`;
      if (seen.has(id)) this.#nodes.report(grant.line, `${quoted(grant.name)} is there twice`);
      seen.add(id);
      return [grant];
    });
  }

  #grantIn(item: Node): FileGrant | undefined {
    const line = this.#nodes.lineOf(item);
    const fields = this.#nodes.fieldsIn(item, ['name', 'key', 'roles'], 'a grant');
    const by = fields.has('key') ? 'key' : 'name';
    if (fields.has('key') === fields.has('name')) {
      this.#nodes.report(line, 'a grant needs either `name` or `key` (the label of an API key)');
      return undefined;
    }
    const name = this.#nodes.textIn(fields.get(by)?.value);
    if (name === undefined || name === '') {
      this.#nodes.report(line, `\`${by}\` must be a text`);
      return undefined;
    }
    if (by === 'name' && (name.startsWith('_') || isMarker(name) || CONTROL.test(name)))
      this.#nodes.report(line, `${quoted(name)} cannot be a name`);
    const roles = fields.get('roles');
    if (roles === undefined) this.#nodes.report(line, '`roles` is missing');
    return { by, name, roles: this.#rolesIn(roles?.value, line), line };
  }

  #rolesIn(value: Node | null | undefined, line: number): RoleSet {
    if (value === undefined) return NO_ROLES;
    if (!isSeq<Node>(value)) {
      this.#nodes.report(line, '`roles` must be a list');
      return NO_ROLES;
    }
    let roles = NO_ROLES;
    for (const item of value.items) {
      const role = this.#nodes.textIn(item);
      if (isRole(role)) roles |= roleSet([role]);
      else {
        const near = role === undefined ? undefined : nearest(role, ROLES);
        const hint = near === undefined ? '' : `; did you mean ${near}?`;
        this.#nodes.report(
          this.#nodes.lineOf(item),
          `${quoted(role ?? '')} is not one of ${ROLES.join(', ')}${hint}`,
        );
      }
    }
    return roles;
  }

  #listIn(fields: Fields, field: 'members' | 'admins'): CouchdbList | undefined {
    const given = fields.get(field);
    if (given === undefined) return undefined;
    const lists = isEmpty(given.value)
      ? new Map()
      : this.#nodes.fieldsIn(given.value, ['names', 'roles'], `\`${field}\``);
    return { names: this.#textsIn(lists, 'names'), roles: this.#textsIn(lists, 'roles') };
  }

  #textsIn(fields: Fields, field: 'names' | 'roles'): readonly string[] {
    const given = fields.get(field);
    if (given === undefined || isEmpty(given.value)) return [];
    const texts = isSeq<Node>(given.value)
      ? given.value.items.map((item) => this.#nodes.textIn(item))
      : [undefined];
    const bad = texts.some(
      (text) =>
        text === undefined ||
        isMarker(text) ||
        (field === 'roles' && text.startsWith('_') && text !== '_admin'),
    );
    if (bad) this.#nodes.report(given.line, `\`${field}\` must be a list of ${field} that CouchDB may have`);
    return texts.filter((text) => text !== undefined);
  }
}

/** A `*` in a pattern stands for any characters; without it, the rest must be able to be a name. */
function isDatabaseOrPattern(text: string): boolean {
  if (!text.includes('*')) return isOpenToGrants(text);
  return isOpenToGrants(`a${text.replaceAll('*', '')}`);
}
