// Validates documents of `_users` and hashes their passwords, like CouchDB's `_design/_auth` and
// couch_users_db.
import { Forbidden } from '../http-errors.ts';
import { hashedPassword } from './passwords.ts';
import { type Document } from './pouch.ts';

/** Document id of the user of a name. */
export const userId = (name: string): string => `org.couchdb.user:${name}`;

/** Fields that are derived from a password; a new password replaces all of them. */
const PASSWORD_FIELDS = new Set([
  'password',
  'password_scheme',
  'password_sha',
  'pbkdf2_prf',
  'salt',
  'iterations',
  'derived_key',
]);

/**
 * The user document to store, with a hash in place of the password. Throws CouchDB's 403 if it is invalid.
 */
export async function checkedUser(doc: Document): Promise<Document> {
  if (doc._deleted === true) return doc;
  const password = doc['password'];
  if (password !== undefined && password !== null && typeof password !== 'string')
    throw new Forbidden(`Password value of '${JSON.stringify(password)}' is invalid.`);
  requireUserFields(doc);
  if (typeof password !== 'string') return doc;
  const rest = Object.fromEntries(Object.entries(doc).filter(([name]) => !PASSWORD_FIELDS.has(name)));
  return { ...rest, _id: doc._id, ...(await hashedPassword(password)) };
}

function requireUserFields(doc: Document): void {
  const { type, name, roles } = doc;
  if (type !== 'user') throw new Forbidden('doc.type must be user');
  if (typeof name !== 'string' || name === '') throw new Forbidden('doc.name is required');
  if (roles === undefined || roles === null) throw new Forbidden('doc.roles must exist');
  if (!Array.isArray(roles)) throw new Forbidden('doc.roles must be an array');
  if (!roles.every((role) => typeof role === 'string'))
    throw new Forbidden('doc.roles can only contain strings');
  if (doc._id !== userId(name)) throw new Forbidden('Doc ID must be of the form org.couchdb.user:name');
  if (doc['password_scheme'] === 'pbkdf2') {
    if (typeof doc['iterations'] !== 'number') throw new Forbidden('iterations must be a number.');
    if (typeof doc['derived_key'] !== 'string') throw new Forbidden('derived_key must be a string.');
  }
  if (roles.some((role) => role.startsWith('_') && role !== '_metrics'))
    throw new Forbidden('No system roles (starting with underscore) in users db.');
  if (name.startsWith('_')) throw new Forbidden('Username may not start with underscore.');
  if (name.includes(':')) throw new Forbidden('Character `:` is not allowed in usernames.');
}
