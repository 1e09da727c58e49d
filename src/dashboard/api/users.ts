// Requests about the users of `_users`. No hash of a password is shown; the list does not even read it.
import { membersOf, objectOf } from '../json-text.ts';
import { ApiError, call, callText } from './http.ts';
import { pathOf } from './paths.ts';

const PREFIX = 'org.couchdb.user:';
const DATABASE = '_users';
/** The user that Couchgate itself writes; nobody can sign in as it. */
export const DECOY = 'couchgate-decoy';
export const LIST_SIZE = 50;

export interface User {
  readonly name: string;
  readonly roles: readonly string[];
}

export interface UserList {
  readonly users: readonly User[];
  /** The name that begins the next page; undefined = this is the last one. */
  readonly next: string | undefined;
}

interface Row {
  readonly _id: string;
  readonly roles?: unknown;
}

const pathTo = (name: string): string => pathOf(DATABASE, PREFIX + name);

const userIn = ({ _id, roles }: Row): User => ({
  name: _id.slice(PREFIX.length),
  roles: Array.isArray(roles) ? roles.filter((role): role is string => typeof role === 'string') : [],
});

/** Users whose names begin with `prefix`, from `from` on. Resolves with null if there is no `_users`. */
export async function listUsers(
  { from, prefix }: { readonly from: string; readonly prefix: string },
  signal: AbortSignal,
): Promise<UserList | null> {
  const start = PREFIX + (from > prefix ? from : prefix);
  try {
    const { body } = await call<{ readonly docs: readonly Row[] }>({
      method: 'POST',
      path: `${DATABASE}/_find`,
      body: {
        selector: { _id: { $gte: start, $lte: `${PREFIX}${prefix}\ufff0` } },
        fields: ['_id', 'roles'],
        limit: LIST_SIZE + 1,
      },
      signal,
    });
    return {
      users: body.docs.slice(0, LIST_SIZE).map(userIn),
      next: body.docs[LIST_SIZE]?._id.slice(PREFIX.length),
    };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Users that are suggested. */
export const MAX_USERS = 10;

/** Names of `_users` that begin with `start`, at most MAX_USERS, for the owner. */
export async function usersNamed(start: string, signal: AbortSignal): Promise<readonly string[]> {
  const range = new URLSearchParams({
    startkey: JSON.stringify(PREFIX + start),
    endkey: JSON.stringify(`${PREFIX}${start}\ufff0`),
    limit: String(MAX_USERS),
  });
  try {
    const { body } = await call<{ readonly rows: readonly { readonly id: string }[] }>({
      path: `${DATABASE}/_all_docs?${range.toString()}`,
      signal,
    });
    return body.rows.map(({ id }) => id.slice(PREFIX.length));
  } catch (error) {
    // A cluster that was never set up has no _users.
    if (error instanceof ApiError && error.status === 404) return [];
    throw error;
  }
}

/** Creates the database `_users`, which a cluster that was never set up lacks. */
export async function createUsersDatabase(): Promise<void> {
  await call({ method: 'PUT', path: DATABASE });
}

/** Resolves with null if there is no such user. */
export async function readUser(name: string, signal?: AbortSignal): Promise<User | null> {
  const { body } = await call<{ readonly docs: readonly Row[] }>({
    method: 'POST',
    path: `${DATABASE}/_find`,
    body: { selector: { _id: PREFIX + name }, fields: ['_id', 'roles'], limit: 1 },
    ...(signal === undefined ? {} : { signal }),
  });
  const [row] = body.docs;
  return row === undefined ? null : userIn(row);
}

/** Rejects with 403 and the reason if the name belongs to somebody else, with 409 if the user exists. */
export async function createUser({
  name,
  password,
  roles,
}: User & { readonly password: string }): Promise<void> {
  await call({
    method: 'PUT',
    path: pathTo(name),
    body: { name, password, roles, type: 'user' },
  });
}

/**
 * Sets the password or the roles and leaves every other field as it is written. Rejects with 409 if the user
 * has other roles than `shown`: somebody else has changed them.
 */
export async function changeUser(
  name: string,
  fields: { readonly password: string } | { readonly roles: readonly string[] },
  shown?: readonly string[],
): Promise<void> {
  const path = pathTo(name);
  const json = await callText({ path });
  if (shown !== undefined) {
    const { roles } = userIn(JSON.parse(json) as Row);
    if (roles.length !== shown.length || roles.some((role) => !shown.includes(role)))
      throw new ApiError(409, 'conflict', 'Somebody else has changed the roles meanwhile.', undefined);
  }
  const before = membersOf(json);
  const changed = Object.entries(fields).map(([field, value]) => ({
    name: field,
    value: JSON.stringify(value),
  }));
  const kept = before.filter((member) => !changed.some((each) => each.name === member.name));
  await call({ method: 'PUT', path, json: objectOf([...kept, ...changed]) });
}

export async function deleteUser(name: string): Promise<void> {
  const rev = membersOf(await callText({ path: pathTo(name) })).find((member) => member.name === '_rev');
  const query = new URLSearchParams({ rev: rev === undefined ? '' : (JSON.parse(rev.value) as string) });
  await call({ method: 'DELETE', path: `${pathTo(name)}?${query.toString()}` });
}
