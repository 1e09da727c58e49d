// Reads the form of Cloudant's deprecated `POST /api/set_permissions`.
import { BadRequest, HttpError } from '../http-errors.ts';
import { type Principal } from '../principal/principal.ts';

/**
 * Returns the database of the form. Throws 400 unless the form names exactly one: with two, two readers could
 * choose different ones. Cloudant wrote `account/database`. The account is the owner here, so the prefix is
 * removed if it is the name of an owner that sends the request; for other callers it is part of the database
 * name.
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

/**
 * Returns the name and the roles, unchecked: the write checks them. Throws Cloudant's own 400 if one of them
 * is missing, and 400 for two names.
 */
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
