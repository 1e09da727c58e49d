// Verifies an HS256 token as CouchDB's jwt_authentication_handler does (jwtf.erl).
import { createHmac, timingSafeEqual } from 'node:crypto';
import { BadRequest, Unauthorized } from '../http-errors.ts';
import { type Caller } from './exchange.ts';
import { isObject, type Json } from './json.ts';

/** Secrets of HS256 tokens by their `kid`. */
export type JwtKeys = Readonly<Record<string, Buffer>>;

/**
 * The caller that a token names. An invalid token never means an anonymous caller: it throws 400 for a
 * malformed token, an unknown key or a wrong signature, and 401 if it has expired or has no `sub`. `exp` is
 * required. docs.couchdb.org/en/stable/api/server/authn.html#jwt-authentication
 */
export function callerOfToken(token: string, keys: JwtKeys, nowSeconds: number): Caller {
  const parts = token.split('.');
  const [head = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3) throw new BadRequest('Malformed token');
  const header = decode(head);
  checkAlgorithm(header['alg']);
  const claims = decode(payload);
  checkExpiry(claims['exp'], nowSeconds);
  const key = keyOf(header['kid'], keys);
  // Compare text, not bytes: several base64url texts decode to the same bytes, and only one is accepted.
  const expected = Buffer.from(createHmac('sha256', key).update(`${head}.${payload}`).digest('base64url'));
  const given = Buffer.from(signature);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new BadRequest('Bad HMAC');
  const roles = rolesOf(claims['_couchdb.roles']);
  const { sub } = claims;
  // CouchDB accepts `sub: null`: a caller without a name, who may have roles.
  if (sub !== null && typeof sub !== 'string') throw new Unauthorized('Token missing sub claim.');
  return { name: sub, roles, handler: 'jwt' };
}

function decode(part: string): Json {
  if (!/^[\w-]*$/.test(part)) throw new BadRequest('Malformed token');
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    throw new BadRequest('Malformed token');
  }
  if (!isObject(value)) throw new BadRequest('Not an object');
  return value;
}

function checkAlgorithm(algorithm: unknown): void {
  if (algorithm === undefined) throw new BadRequest('Missing alg header parameter');
  if (algorithm !== 'HS256') throw new BadRequest('Invalid alg header parameter');
}

function checkExpiry(expiry: unknown, nowSeconds: number): void {
  if (expiry === undefined) throw new BadRequest('Missing exp claim');
  if (typeof expiry !== 'number' || expiry <= nowSeconds) throw new Unauthorized('exp not in future');
}

function keyOf(kid: unknown, keys: JwtKeys): Buffer {
  const name = typeof kid === 'string' ? kid : '_default';
  const key = Object.hasOwn(keys, name) ? keys[name] : undefined;
  if (key === undefined) throw new BadRequest('Unknown kid');
  return key;
}

function rolesOf(claim: unknown): string[] {
  if (claim === undefined) return [];
  const roles: unknown = typeof claim === 'string' ? claim.split(',').map((role) => role.trim()) : claim;
  if (!Array.isArray(roles) || !roles.every((role) => typeof role === 'string'))
    throw new BadRequest('Malformed token');
  return roles;
}
