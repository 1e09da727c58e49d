// Signs the JWTs that CouchDB accepts: their algorithm, header and claims.
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';

export interface TokenSignerOptions {
  /** The key. CouchDB has its base64 form in `[jwt_keys] hmac:<kid>`. */
  readonly secret: Buffer;
  readonly kid: string;
  readonly lifetimeSeconds: number;
}

/** Returns a token that is valid from `atMs`, in milliseconds since 1970. A `name` of null is anonymous. */
export type SignToken = (name: string | null, roles: readonly string[], atMs: number) => string;

/**
 * Returns the function that signs HS256 tokens with the claims that CouchDB reads: `sub`, `_couchdb.roles`,
 * `exp`. https://docs.couchdb.org/en/stable/api/server/authn.html#jwt-authentication
 */
export function createTokenSigner({ secret, kid, lifetimeSeconds }: TokenSignerOptions): SignToken {
  const key = createSecretKey(secret);
  const header = encode({ alg: 'HS256', typ: 'JWT', kid });
  return (name, roles, atMs) => {
    const issuedAt = Math.floor(atMs / 1000);
    const claims = { sub: name, '_couchdb.roles': roles, iat: issuedAt, exp: issuedAt + lifetimeSeconds };
    return sign(key, `${header}.${encode(claims)}`);
  };
}

/** base64url of the JSON of a value (RFC 7515 section 2). */
function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function sign(key: KeyObject, signed: string): string {
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}
