// Finds the prefix grants of a request: what one principal may do on one database, from memory.
import { type StoredDocument } from '../couch/store.ts';
import { ownName, type Principal } from '../principal/principal.ts';
import { GrantDocuments, type GrantDocumentsOptions } from './grant-documents.ts';
import { fieldsOfGrant, type PrefixGrant, type PrefixRules, storedPrefixGrant } from './prefix-grant.ts';
import { NO_ROLES, type RoleSet } from './role.ts';

/** What prefix grants give one principal on one database, besides the roles of `_security`. */
export interface PrefixAccess {
  readonly roles: RoleSet;
  readonly mayCreate: boolean;
  readonly mayDelete: boolean;
}

export const NO_PREFIX_ACCESS: PrefixAccess = Object.freeze({
  roles: NO_ROLES,
  mayCreate: false,
  mayDelete: false,
});

/** What a decision needs of prefix grants. */
export interface PrefixReader {
  /**
   * What the grants give a principal on a database. They give nothing where CouchDB decides
   * (`couchdb_auth_only`): `decide` applies that. `undefined` = the grants are not known at present.
   */
  accessOf(principal: Principal, database: string | undefined): PrefixAccess | undefined;
}

/** Start of the ids in the store. Other replicas have it, so it must not change. */
export const PREFIX_GRANT = 'prefix_grant:';

/** The grants of one principal, by prefix. */
interface Holder {
  /** The lengths of its prefixes, longest first. */
  readonly lengths: readonly number[];
  /** Each entry includes what the shorter prefixes of the same principal give. */
  readonly byPrefix: ReadonlyMap<string, PrefixAccess>;
  readonly grants: readonly PrefixGrant[];
}

interface Index {
  readonly holders: ReadonlyMap<string, Holder>;
  /** Sorted by id. */
  readonly grants: readonly PrefixGrant[];
  /** Ids of grants that are not in force, with the reason. */
  readonly suspended: ReadonlyMap<string, string>;
}

/** A grant for the owner. */
export interface DescribedPrefixGrant {
  readonly id: string;
  /** CouchDB's revision of the document. */
  readonly revision: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Why it is not in force. */
  readonly suspended?: string;
}

export class PrefixGrants implements PrefixReader {
  readonly documents: GrantDocuments;
  readonly rules: PrefixRules;
  readonly #report: GrantDocumentsOptions['report'];
  #index: Index | undefined;
  /** Those that were reported. */
  #suspended: ReadonlyMap<string, string> = new Map();

  constructor(options: Omit<GrantDocumentsOptions, 'prefix' | 'onChange'> & { readonly rules: PrefixRules }) {
    this.rules = options.rules;
    this.#report = options.report;
    this.documents = new GrantDocuments({
      ...options,
      prefix: PREFIX_GRANT,
      onChange: () => (this.#index = undefined),
    });
  }

  get isKnown(): boolean {
    return this.documents.isKnown;
  }

  /**
   * One look-up for each length of the principal's prefixes, so the cost does not grow with the number of
   * grants.
   */
  accessOf(principal: Principal, database: string | undefined): PrefixAccess | undefined {
    const { kind } = principal;
    const name = ownName(principal);
    if (database === undefined || kind === 'nobody' || kind === 'owner' || name === undefined)
      return NO_PREFIX_ACCESS;
    if (!this.documents.isKnown) return undefined;
    const holder = this.#current().holders.get(name);
    if (holder === undefined) return NO_PREFIX_ACCESS;
    for (const length of holder.lengths) {
      if (length > database.length) continue;
      const access = holder.byPrefix.get(database.slice(0, length));
      if (access !== undefined) return access;
    }
    return NO_PREFIX_ACCESS;
  }

  /** The grants in force of one principal. */
  grantsOf(name: string): readonly PrefixGrant[] {
    return this.#current().holders.get(name)?.grants ?? [];
  }

  /** The grants in force that match a database, of all principals. */
  grantsOn(database: string): readonly PrefixGrant[] {
    return this.#current().grants.filter(({ prefix }) => database.startsWith(prefix));
  }

  /**
   * True if the name has a grant, also one that is not in force. While a grant has several states, any name
   * may be in one of them.
   */
  mayHaveGrant(principal: string): boolean {
    if (this.documents.conflicts > 0) return true;
    for (const [, document] of this.documents.entries()) if (document['principal'] === principal) return true;
    return false;
  }

  /** All grants in force. */
  get all(): readonly PrefixGrant[] {
    return this.#current().grants;
  }

  /** All grants for the owner, those that are not in force too, by id. */
  describeAll(): readonly DescribedPrefixGrant[] {
    const { grants, suspended } = this.#current();
    const inForce = new Map(grants.map((grant) => [grant.id, fieldsOfGrant(grant)]));
    const described: DescribedPrefixGrant[] = [];
    for (const [id, document] of this.documents.entries()) {
      const { _rev: revision = '' } = document;
      const fields = inForce.get(id);
      const reason = suspended.get(id) ?? '';
      if (fields !== undefined) described.push({ id, revision, fields });
      else described.push({ id, revision, fields: fieldsOfDocument(document), suspended: reason });
    }
    return described.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  close(): void {
    this.documents.close();
  }

  #current(): Index {
    return (this.#index ??= this.#build());
  }

  #build(): Index {
    const grants: PrefixGrant[] = [];
    const suspended = new Map<string, string>();
    for (const [id, document] of this.documents.entries()) {
      const grant = storedPrefixGrant(id, document, this.rules);
      if ('principal' in grant) grants.push(grant);
      else suspended.set(id, grant.join('; '));
    }
    this.#reportSuspended(suspended);
    grants.sort((a, b) => (a.id < b.id ? -1 : 1));
    const byPrincipal = new Map<string, PrefixGrant[]>();
    for (const grant of grants) {
      const own = byPrincipal.get(grant.principal);
      if (own === undefined) byPrincipal.set(grant.principal, [grant]);
      else own.push(grant);
    }
    const holders = new Map([...byPrincipal].map(([name, own]) => [name, holderOf(own)]));
    return { grants, suspended, holders };
  }

  #reportSuspended(suspended: ReadonlyMap<string, string>): void {
    for (const [id, reason] of suspended)
      if (this.#suspended.get(id) !== reason)
        this.#report('a prefix grant is not in force', { prefix_grant: id, reason });
    this.#suspended = suspended;
  }
}

function holderOf(grants: readonly PrefixGrant[]): Holder {
  const byPrefix = new Map<string, PrefixAccess>();
  const shortestFirst = grants.toSorted((a, b) => a.prefix.length - b.prefix.length);
  const lengths: number[] = [];
  for (const { prefix, roles, create, delete: remove } of shortestFirst) {
    const shorter =
      byPrefix.get(prefix) ??
      lengths.reduce((found, length) => byPrefix.get(prefix.slice(0, length)) ?? found, NO_PREFIX_ACCESS);
    byPrefix.set(prefix, {
      roles: shorter.roles | roles,
      mayCreate: shorter.mayCreate || create,
      mayDelete: shorter.mayDelete || remove,
    });
    if (lengths.at(-1) !== prefix.length) lengths.push(prefix.length);
  }
  return { lengths: lengths.reverse(), byPrefix, grants };
}

/** The fields that the owner wrote. */
function fieldsOfDocument(document: StoredDocument): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(document).filter(([field]) => !field.startsWith('_')));
}
