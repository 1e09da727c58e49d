// Reads what users may write into their own documents of `_users`, and makes the form that they may see.
import { type JsonObject } from '../json/object.ts';
import { userId } from '../couch/user-id.ts';
import { BadRequest, Forbidden } from '../http-errors.ts';
import { type UserDocument } from '../identity/couch-accounts.ts';

/** Fields that CouchDB or Couchgate decides about. The setting `users_own_fields` cannot open them. */
const FIXED = ['_id', '_rev', 'name', 'type', 'roles'];
/** A longer password fits into no Basic header that CouchDB accepts. */
const MAX_PASSWORD_LENGTH = 1024;
export const OWN_USER_LIMIT_BYTES = 65_536;

/** What a user writes: its fields, and the password if it is a new one. */
export interface OwnUserChange {
  readonly rev: string | undefined;
  readonly password: string | undefined;
  /** All fields of `users_own_fields` that the body has. */
  readonly fields: JsonObject;
}

/**
 * Reads the body of a `PUT`. `present` = the stored document; undefined = the user signs up. `name`, `type`
 * and `roles` may be sent as they are. Throws 403 for other values and other fields, whatever is stored in
 * those, and 400 for a wrong form.
 */
export function parseOwnUser(
  body: JsonObject,
  name: string,
  ownFields: readonly string[],
  present: UserDocument | undefined,
): OwnUserChange {
  const others = Object.keys(body).filter(
    (field) => !FIXED.includes(field) && field !== 'password' && !ownFields.includes(field),
  );
  if (others.length > 0) throw new Forbidden(`Only the server admin may write ${shown(others)} of a user.`);
  const { _id: id, _rev: rev, password } = body;
  if (id !== undefined && id !== userId(name)) throw new BadRequest('`_id` is not that of the path');
  if (rev !== undefined && typeof rev !== 'string') throw new BadRequest('`_rev` must be a text');
  const stored: UserDocument = present ?? { name, type: 'user', roles: [] };
  for (const field of ['name', 'type', 'roles'] as const)
    if (body[field] !== undefined && JSON.stringify(body[field]) !== JSON.stringify(stored[field]))
      throw new Forbidden(`Only the server admin may change \`${field}\` of a user.`);
  if (password !== undefined && !isPassword(password))
    throw new BadRequest(`\`password\` must be a text of 1 to ${MAX_PASSWORD_LENGTH} characters`);
  const fields = Object.fromEntries(Object.entries(body).filter(([field]) => ownFields.includes(field)));
  return { rev, password, fields };
}

/** The stored document after the change. Fields of the user that the body leaves out are removed. */
export function changedUser(
  present: UserDocument,
  { password, fields }: OwnUserChange,
  ownFields: readonly string[],
): UserDocument {
  const kept = Object.entries(present).filter(([field]) => !ownFields.includes(field) && !isMeta(field));
  return {
    ...Object.fromEntries(kept),
    ...fields,
    ...(password === undefined ? {} : { password }),
    _id: present['_id'],
    _rev: present['_rev'],
  };
}

/** The form for the user itself: no hash, no salt, and no field that is not its own. */
export function shownUser(document: UserDocument, ownFields: readonly string[]): JsonObject {
  return Object.fromEntries(
    Object.entries(document).filter(([field]) => FIXED.includes(field) || ownFields.includes(field)),
  );
}

/** `_attachments` stays: CouchDB would delete the attachments without it. */
function isMeta(field: string): boolean {
  return field.startsWith('_') && field !== '_attachments';
}

function isPassword(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_PASSWORD_LENGTH;
}

function shown(fields: readonly string[]): string {
  return fields
    .slice(0, 5)
    .map((field) => JSON.stringify(field.slice(0, 64)))
    .join(', ');
}
