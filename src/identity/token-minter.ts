// Mints the JWTs that tell CouchDB the name and the roles of a permitted request.
import { type Principal, SELF_NAME } from '../principal/principal.ts';
import { isMarker, markersOf } from '../principal/marker.ts';
import { rolesOf } from '../permissions/role.ts';
import { type Claims, type TokenScope, TokenCache } from './token-cache.ts';
import { createTokenSigner, type TokenSignerOptions } from './token-signer.ts';

export interface TokenMinter {
  /** The token for Couchgate's own requests: server admin under the name `couchgate`. */
  tokenForSelf(): string;
  /** The token for a client's request; undefined if CouchDB must treat the request as anonymous. */
  tokenFor(principal: Principal, scope: TokenScope, database: string | undefined): string | undefined;
}

export interface TokenMinterOptions extends TokenSignerOptions {
  /** Milliseconds since 1970; injected by tests. */
  readonly now?: () => number;
}

const SELF: Principal = Object.freeze({ kind: 'owner', name: SELF_NAME, roles: Object.freeze(['_admin']) });
const AS_SELF: TokenScope = Object.freeze({ privilege: 'server_admin', identity: 'marker', roles: 0 });

/** Creates the minter, which keeps its tokens until they are close to their end. */
export function createTokenMinter(options: TokenMinterOptions): TokenMinter {
  const now = options.now ?? Date.now;
  const sign = createTokenSigner(options);
  const mint = (claims: Claims, atMs: number): string => {
    const { principal } = claims;
    // Validation functions test `userCtx.name`. CouchDB itself uses null for an anonymous request.
    return sign(principal.kind === 'nobody' ? null : principal.name, rolesFor(claims), atMs);
  };
  // A token is replaced when a third of its lifetime is left: the request may wait for a connection before
  // CouchDB checks it.
  const cache = new TokenCache(mint, now, (options.lifetimeSeconds * 1000 * 2) / 3);
  return {
    tokenForSelf: () => cache.token(SELF, AS_SELF, undefined),
    tokenFor(principal, scope, database) {
      if (isAnonymous(principal, scope)) return undefined;
      return cache.token(principal, scope, database);
    },
  };
}

/**
 * Without a privilege, no identity is needed. With `identity: 'own'`, CouchDB applies its own rules to
 * anonymous requests.
 */
function isAnonymous(principal: Principal, { privilege, identity }: TokenScope): boolean {
  return identity === 'own' ? principal.kind === 'nobody' : privilege === 'none';
}

/** The markers of the least privilege, then the caller's roles for validate_doc_update functions. */
function rolesFor({ principal, scope, database }: Claims): readonly string[] {
  const own = ownRoles(principal);
  if (scope.identity === 'own') return principal.kind === 'owner' ? ['_admin', ...own] : own;
  if (scope.privilege === 'server_admin') return ['_admin'];
  if (scope.privilege === 'metrics') return ['_metrics'];
  // In Cloudant `_admin` is a role on one database. In CouchDB it is server admin.
  const granted = rolesOf(scope.roles).filter((role) => role !== '_admin');
  return [...markersFor(scope, database), ...granted, ...own];
}

function markersFor({ privilege }: TokenScope, database: string | undefined): readonly string[] {
  if (database === undefined) return [];
  const { member, dbadmin } = markersOf(database);
  if (privilege === 'dbadmin') return [member, dbadmin];
  return privilege === 'member' ? [member] : [];
}

/**
 * Roles of a `_users` document that begin with `_` or look like a marker are dropped: any user admin can
 * write them (H13).
 */
function ownRoles(principal: Principal): readonly string[] {
  if (principal.kind === 'nobody' || principal.kind === 'key') return [];
  return principal.roles.filter((role) => !role.startsWith('_') && !isMarker(role));
}
