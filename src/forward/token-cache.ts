// Keeps minted tokens until shortly before they expire, so that a warm request costs two look-ups. What stands in a token is identity.ts's business.
import { type Decision } from '../context.ts';
import { type Principal } from '../principal/principal.ts';

/** What a token depends on, of a decision to allow. */
export type TokenScope = Pick<Extract<Decision, { allow: true }>, 'privilege' | 'identity' | 'roles'>;

/** Everything that a token says. */
export interface Claims {
  readonly principal: Principal;
  readonly scope: TokenScope;
  readonly database: string | undefined;
}

interface Entry {
  readonly principal: Principal;
  readonly scope: TokenScope;
  readonly token: string;
  readonly staleAt: number;
}

type Generation = Map<string, Map<string, Entry[]>>;

/** Tokens in one of the two generations; when it is full the older is forgotten. */
const GENERATION = 20_000;
const NO_ROLES: readonly string[] = [];

export class TokenCache {
  readonly #mint: (claims: Claims, atMs: number) => string;
  readonly #now: () => number;
  readonly #usableMs: number;
  #young: Generation = new Map();
  #old: Generation = new Map();
  #count = 0;

  constructor(mint: (claims: Claims, atMs: number) => string, now: () => number, usableMs: number) {
    this.#mint = mint;
    this.#now = now;
    this.#usableMs = usableMs;
  }

  /** A token that is good for at least a third of its life. */
  token(principal: Principal, scope: TokenScope, database: string | undefined): string {
    // No database has an empty name, so the server's own operations may stand under it.
    const place = database ?? '';
    const atMs = this.#now();
    const entry = find(this.#young, place, principal, scope) ?? find(this.#old, place, principal, scope);
    if (entry !== undefined && entry.staleAt > atMs) return entry.token;
    const token = this.#mint({ principal, scope, database }, atMs);
    this.#keep(place, { principal, scope, token, staleAt: atMs + this.#usableMs });
    return token;
  }

  #keep(place: string, entry: Entry): void {
    if (this.#count >= GENERATION) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#count = 0;
    }
    const { principal, scope } = entry;
    const names = this.#young.get(place) ?? new Map<string, Entry[]>();
    this.#young.set(place, names);
    const others = names.get(principal.name)?.filter((other) => !fits(other, principal, scope)) ?? [];
    names.set(principal.name, [...others, entry]);
    this.#count += 1;
  }
}

function find(
  generation: Generation,
  place: string,
  principal: Principal,
  scope: TokenScope,
): Entry | undefined {
  const entries = generation.get(place)?.get(principal.name);
  if (entries === undefined) return undefined;
  for (const entry of entries) if (fits(entry, principal, scope)) return entry;
  return undefined;
}

/** True when the entry's token would come out the same: a changed grant or a user's changed role asks for another token at once. */
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
  const [left, right] = [rolesHeld(a), rolesHeld(b)];
  return left === right || (left.length === right.length && left.every((role, i) => role === right[i]));
}

function rolesHeld(principal: Principal): readonly string[] {
  return principal.kind === 'user' || principal.kind === 'owner' ? principal.roles : NO_ROLES;
}
