// Finds the server grants: which names hold a role on the whole server, from memory.
import { type JsonObject } from '../json/object.ts';
import { ownName, type Principal } from '../principal/principal.ts';
import { GrantDocuments, type GrantDocumentsOptions } from './grant-documents.ts';
import { isAccountName } from './grants.ts';

/** The only role on the whole server: reads numbers about the cluster (catalogue/monitor.ts). */
export const MONITOR = '_monitor';

/** What a decision needs of server grants. */
export interface ServerReader {
  /** True if the principal holds `_monitor`. `undefined` = the grants are not known at present. */
  isMonitor(principal: Principal): boolean | undefined;
}

/** Decides as if nobody were a monitor. */
export const NO_MONITORS: ServerReader = Object.freeze({ isMonitor: () => false });

/** A grant for the owner. */
export interface ServerGrant {
  readonly principal: string;
  /** CouchDB's revision of the document. */
  readonly revision: string;
  readonly roles: readonly string[];
  readonly by: string;
  /** ISO 8601. */
  readonly at: string;
}

/** Start of the ids in the store. Other replicas have it, so it must not change. */
export const SERVER_GRANT = 'server_grant:';

/** The sentences for what is wrong with a server grant; none = it is valid. */
export function problemsOfServerGrant(principal: string, body: JsonObject): string[] {
  const { roles, ...others } = body;
  return [
    ...(principal === 'nobody' ? ['`nobody` cannot have a server grant'] : []),
    ...(!isAccountName(principal) ? ['the principal is not the name of an API key or a user'] : []),
    ...(Array.isArray(roles) && roles.length === 1 && roles[0] === MONITOR
      ? []
      : [`\`roles\` must be ["${MONITOR}"]`]),
    ...Object.keys(others).map(
      (field) => `unknown field ${JSON.stringify(field).slice(0, 80)}; allowed: roles`,
    ),
  ];
}

export class ServerGrants implements ServerReader {
  readonly documents: GrantDocuments;
  #byName: ReadonlyMap<string, ServerGrant> | undefined;

  constructor(options: Omit<GrantDocumentsOptions, 'prefix' | 'onChange'>) {
    this.documents = new GrantDocuments({
      ...options,
      prefix: SERVER_GRANT,
      onChange: () => (this.#byName = undefined),
    });
  }

  isMonitor(principal: Principal): boolean | undefined {
    const { kind } = principal;
    const name = ownName(principal);
    if (kind === 'nobody' || kind === 'owner' || name === undefined) return false;
    return this.documents.isKnown ? this.#current().has(name) : undefined;
  }

  get isKnown(): boolean {
    return this.documents.isKnown;
  }

  /** True if the name has a grant, also one that is not in force, or that has several states. */
  mayHaveGrant(principal: string): boolean {
    if (this.documents.conflicts > 0) return true;
    for (const [name] of this.documents.entries()) if (name === principal) return true;
    return false;
  }

  /** The grants in force, by name. */
  get all(): readonly ServerGrant[] {
    return [...this.#current().values()].sort((a, b) => (a.principal < b.principal ? -1 : 1));
  }

  close(): void {
    this.documents.close();
  }

  #current(): ReadonlyMap<string, ServerGrant> {
    return (this.#byName ??= this.#build());
  }

  /** A document that could not be put today grants nothing. */
  #build(): ReadonlyMap<string, ServerGrant> {
    const byName = new Map<string, ServerGrant>();
    for (const [principal, { roles, by, at, _rev: revision = '' }] of this.documents.entries())
      if (problemsOfServerGrant(principal, { roles }).length === 0)
        byName.set(principal, { principal, revision, roles: [MONITOR], by: textOf(by), at: textOf(at) });
    return byName;
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
