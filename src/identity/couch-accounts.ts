// Reads what CouchDB keeps of its users and server admins, and makes principals of it. Which password is theirs is user-check.ts's business.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { isMarker } from '../principal/marker.ts';
import { type Principal } from '../principal/principal.ts';

export type UserDocument = Readonly<Record<string, unknown>>;

/** The `_users` document of a name; `undefined` = there is none. Throws `Unavailable`. */
export async function readUserDocument(
  couch: Pick<Couch, 'ask'>,
  name: string,
): Promise<UserDocument | undefined> {
  const path = `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`;
  return (await readOrNothing(couch, path)) as UserDocument | undefined;
}

/**
 * What a node's configuration says of a server admin of that name, its password's digest; `undefined` = it has none, or is down. Throws `Unavailable`.
 * Source: docs.couchdb.org/en/stable/api/server/configuration.html
 */
export function readAdmin(couch: Pick<Couch, 'ask'>, node: string, name: string): Promise<unknown> {
  return readOrNothing(
    couch,
    `/_node/${encodeURIComponent(node)}/_config/admins/${encodeURIComponent(name)}`,
  );
}

export function userIn({ roles }: UserDocument, name: string): Principal {
  return userOf(name, Array.isArray(roles) ? (roles as readonly unknown[]) : []);
}

export function ownerOf(name: string): Principal & { readonly kind: 'owner' } {
  return Object.freeze({ kind: 'owner', name, roles: Object.freeze(['_admin']) });
}

/** A user with those of its roles that cannot be taken for another one (H13). */
export function userOf(name: string, roles: readonly unknown[]): Principal & { readonly kind: 'user' } {
  return Object.freeze({ kind: 'user', name, roles: Object.freeze(roles.filter(isPlainRole)) });
}

/**
 * A `_users` document may hold any text for a role. A comma or a blank would make two of one in a header, a leading underscore is
 * CouchDB's and Cloudant's, and our prefix a marker's (H13).
 */
function isPlainRole(role: unknown): role is string {
  return typeof role === 'string' && /^[!-+\--~]+$/.test(role) && !role.startsWith('_') && !isMarker(role);
}

async function readOrNothing(couch: Pick<Couch, 'ask'>, path: string): Promise<unknown> {
  const { status, body } = await couch.ask({ method: 'GET', path });
  if (status === 200) return body ?? {};
  // 412: the node that is asked about is down.
  if (status === 404 || status === 412) return undefined;
  throw new Unavailable('Credentials cannot be checked at present.', {
    detail: `CouchDB answered ${status}`,
  });
}
