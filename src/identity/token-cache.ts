// Caches minted tokens until shortly before they expire, so that a warm request costs two map look-ups.
import { LRUCache } from 'lru-cache';
import { type Privilege } from '../catalogue/endpoint.ts';
import { type RoleSet } from '../permissions/role.ts';
import { type Principal } from '../principal/principal.ts';

/** The parts of an allowing decision that a token depends on. */
export interface TokenScope {
  readonly privilege: Privilege;
  readonly identity: 'marker' | 'own';
  readonly roles: RoleSet;
}

/** Everything that a token is minted from. */
export interface Claims {
  readonly principal: Principal;
  readonly scope: TokenScope;
  readonly database: string | undefined;
}

interface Entry {
  readonly database: string;
  readonly principal: Principal;
  readonly scope: TokenScope;
  readonly token: string;
  readonly staleAt: number;
}

/** Tokens in memory. Past this number, the ones minted first are dropped: they also expire first. */
const MAX_TOKENS = 40_000;
const NO_ROLES: readonly string[] = [];

export class TokenCache {
  readonly #mint: (claims: Claims, atMs: number) => string;
  readonly #now: () => number;
  readonly #usableMs: number;
  /** By database and name, because a joined key would cost a string per request. */
  readonly #index = new Map<string, Map<string, readonly Entry[]>>();
  /** Bounds the index. A hit does not touch it: the order stays the order of minting. */
  readonly #entries = new LRUCache<Entry, true>({
    max: MAX_TOKENS,
    dispose: (_value, entry) => this.#unindex(entry),
  });

  /**
   * @param mint Makes a token; `atMs` is the present in milliseconds since 1970.
   * @param now Milliseconds since 1970.
   * @param usableMs How long a token is handed out after it was minted.
   */
  constructor(mint: (claims: Claims, atMs: number) => string, now: () => number, usableMs: number) {
    this.#mint = mint;
    this.#now = now;
    this.#usableMs = usableMs;
  }

  /** Returns a cached token that is younger than `usableMs`, else a new one. */
  token(principal: Principal, scope: TokenScope, database: string | undefined): string {
    // No database has an empty name, so it can stand for requests without a database.
    const slot = database ?? '';
    const atMs = this.#now();
    const entry = this.#find(slot, principal, scope);
    if (entry !== undefined && entry.staleAt > atMs) return entry.token;
    const token = this.#mint({ principal, scope, database }, atMs);
    if (entry !== undefined) this.#entries.delete(entry);
    this.#add({ database: slot, principal, scope, token, staleAt: atMs + this.#usableMs });
    return token;
  }

  #find(database: string, principal: Principal, scope: TokenScope): Entry | undefined {
    const entries = this.#index.get(database)?.get(principal.name);
    if (entries === undefined) return undefined;
    for (const entry of entries) if (fits(entry, principal, scope)) return entry;
    return undefined;
  }

  #add(entry: Entry): void {
    this.#entries.set(entry, true);
    const { database, principal } = entry;
    const names = this.#index.get(database) ?? new Map<string, readonly Entry[]>();
    this.#index.set(database, names);
    names.set(principal.name, [...(names.get(principal.name) ?? []), entry]);
  }

  #unindex(entry: Entry): void {
    const { database, principal } = entry;
    const names = this.#index.get(database);
    const others = names?.get(principal.name)?.filter((other) => other !== entry) ?? [];
    if (others.length > 0) names?.set(principal.name, others);
    else names?.delete(principal.name);
    if (names?.size === 0) this.#index.delete(database);
  }
}

/**
 * True if the entry's token has the same claims. A changed grant or a changed role of a user gets another
 * token.
 */
function fits(entry: Entry, principal: Principal, scope: TokenScope): boolean {
  return (
    entry.scope.privilege === scope.privilege &&
    entry.scope.identity === scope.identity &&
    entry.scope.roles === scope.roles &&
    entry.principal.kind === principal.kind &&
    sameRoles(entry.principal, principal)
  );
}

function sameRoles(a: Principal, b: Principal): boolean {
  if (a === b) return true;
  const [left, right] = [rolesOf(a), rolesOf(b)];
  return left === right || (left.length === right.length && left.every((role, i) => role === right[i]));
}

function rolesOf(principal: Principal): readonly string[] {
  return principal.kind === 'user' || principal.kind === 'owner' ? principal.roles : NO_ROLES;
}
