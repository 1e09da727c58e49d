// Reads the form of Cloudant's deprecated `POST /api/set_permissions` in one way for everybody: which database it names, and whose roles it sets there.
import { BadRequest, HttpError } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';

/**
 * The database that the form names, exactly once: a second one would be a second reading. Cloudant wrote it `account/database`; the
 * account here is the owner, so that prefix means the owner's own name when the owner asks, and is part of the name for everybody else.
 */
export function databaseOfForm(form: URLSearchParams, principal: Principal): string {
  const [database, second] = form.getAll('database');
  if (database === undefined || second !== undefined) {
    throw new BadRequest('The form must name one database.');
  }
  const account = `${principal.name}/`;
  return principal.kind === 'owner' && database.startsWith(account)
    ? database.slice(account.length)
    : database;
}

/** The name and the roles, which are checked where they are written. Throws Cloudant's own 400 for a form without a name. */
export function grantOfForm(form: URLSearchParams): {
  readonly username: string;
  readonly roles: readonly string[];
} {
  const [username = '', second] = form.getAll('username');
  if (username === '') throw new HttpError(400, 'username_required', 'Username not specified.');
  if (second !== undefined) throw new BadRequest('The form must name one username.');
  const roles = form.getAll('roles');
  if (roles.length === 0) throw new HttpError(400, 'roles_required', 'Roles not specified.');
  return { username, roles };
}
