// Reads CouchDB's users and server admins, and converts them to principals.
import { type Couch } from '../couch/couch.ts';
import { userId, userPath } from '../couch/user-id.ts';
import { Unavailable } from '../http-errors.ts';
import { isJsonObject } from '../json/object.ts';
import { isMarker } from '../principal/marker.ts';
import { type Principal } from '../principal/principal.ts';

/** Encoded. */
const MAX_NAME_LENGTH = 4096;

/** A document of `_users`. */
export type UserDocument = Readonly<Record<string, unknown>>;

/** Reads the `_users` document of a name; `undefined` = there is none. Throws `Unavailable`. */
export async function readUserDocument(
  couch: Pick<Couch, 'ask'>,
  name: string,
): Promise<UserDocument | undefined> {
  return (await readOrNothing(couch, userPath(name))) as UserDocument | undefined;
}

/**
 * The names of users among these, by one request; `undefined` = CouchDB did not answer for each of them.
 * Without a database of users, there are none. Throws `Unavailable`.
 */
export async function usersAmong(
  couch: Pick<Couch, 'ask'>,
  names: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  if (names.length === 0) return new Set();
  const { status, body } = await couch.ask({
    method: 'POST',
    path: '/_users/_all_docs',
    body: { keys: names.map(userId) },
    repeatable: true,
  });
  if (status === 404) return new Set();
  const { rows } = (body ?? {}) as {
    readonly rows?: readonly { readonly value?: { readonly deleted?: boolean } }[];
  };
  if (status !== 200 || rows?.length !== names.length) return undefined;
  return new Set(
    names.filter((_, at) => {
      const value = rows[at]?.value;
      return value !== undefined && value.deleted !== true;
    }),
  );
}

/**
 * Reads the password digest of a server admin from a node's configuration. `undefined` = the node has no such
 * server admin, or is down. Throws `Unavailable`.
 * Source: docs.couchdb.org/en/stable/api/server/configuration.html
 */
export function readAdmin(couch: Pick<Couch, 'ask'>, node: string, name: string): Promise<unknown> {
  return readOrNothing(
    couch,
    `/_node/${encodeURIComponent(node)}/_config/admins/${encodeURIComponent(name)}`,
  );
}

/** Makes the principal of a `_users` document. */
export function userIn({ roles }: UserDocument, name: string): Principal {
  return userOf(name, Array.isArray(roles) ? (roles as readonly unknown[]) : []);
}

/** Makes the principal of a server admin. */
export function ownerOf(name: string): Principal & { readonly kind: 'owner' } {
  return Object.freeze({ kind: 'owner', name, roles: Object.freeze(['_admin']) });
}

/** Makes the principal of a user. It drops roles that look like those of Couchgate or CouchDB (H13). */
export function userOf(name: string, roles: readonly unknown[]): Principal & { readonly kind: 'user' } {
  return Object.freeze({ kind: 'user', name, roles: Object.freeze(roles.filter(isPlainRole)) });
}

/**
 * A `_users` document may hold any string as a role. A comma or a blank would split the role in a header. A
 * leading underscore is reserved by CouchDB and Cloudant, and MARKER_PREFIX by Couchgate (H13).
 */
function isPlainRole(role: unknown): role is string {
  return typeof role === 'string' && /^[!-+\--~]+$/.test(role) && !role.startsWith('_') && !isMarker(role);
}

async function readOrNothing(couch: Pick<Couch, 'ask'>, path: string): Promise<unknown> {
  const { status, body } = await couch.ask({ method: 'GET', path });
  if (status === 200) return body ?? {};
  // 412: the node named in the path is down.
  if (status === 404 || status === 412) return undefined;
  throw new Unavailable('Credentials cannot be checked at present.', {
    detail: `CouchDB answered ${status}`,
  });
}

/** False for a name that is no segment of a path. No server admin can have it. */
export function isPathSegment(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..';
}

/** False for a name that is too long for a request line of CouchDB. No user can have it. */
export function fitsRequestLine(name: string): boolean {
  return encodeURIComponent(name).length <= MAX_NAME_LENGTH;
}

/**
 * The server admins of CouchDB. None if the node does not list them; some clusters forbid it. Throws
 * `Unavailable`.
 */
export async function readAdminNames(couch: Pick<Couch, 'ask'>): Promise<readonly string[]> {
  const { status, body } = await couch.ask({ method: 'GET', path: '/_node/_local/_config/admins' });
  return status === 200 && isJsonObject(body) ? Object.keys(body) : [];
}
