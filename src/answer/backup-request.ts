// Reads the requests for backups: their bodies and parameters, and the databases that they may name.
import { type Request, type Response } from 'express';
import { type JsonObject } from '../json/object.ts';
import { type BodyReader } from '../body/read.ts';
import { kindOfName, ownDatabases } from '../catalogue/database-name.ts';
import { type Context, known } from '../context.ts';
import { BadRequest, Forbidden } from '../http-errors.ts';

const BODY_LIMIT_BYTES = 65_536;
const MAX_TEXT = 4096;

/**
 * Reads the body: an object with these fields only, because a misspelt `to` must not restore elsewhere.
 * Without `required`, the body may be absent.
 */
export async function fieldsOf(
  bodies: BodyReader,
  [req, res]: readonly [Request, Response],
  known: readonly string[],
  required = true,
): Promise<JsonObject> {
  const rules = { limitBytes: BODY_LIMIT_BYTES };
  const body = required
    ? await bodies.jsonObject(req, res, rules)
    : ((await bodies.optionalJsonObject(req, res, rules)) ?? {});
  const unknown = Object.keys(body).find((field) => !known.includes(field));
  if (unknown !== undefined)
    throw new BadRequest(`Unknown field ${JSON.stringify(unknown)}; allowed: ${known.join(', ')}`);
  return body;
}

/** The parameters of the query: each at most once, and no others. */
export function parametersOf(context: Context, names: readonly string[]): ReadonlyMap<string, string> {
  const query = new URLSearchParams(known(context.target, 'target').query);
  const found = new Map<string, string>();
  for (const [name, value] of query) {
    if (!names.includes(name))
      throw new BadRequest(`Unknown parameter ${JSON.stringify(name)}; allowed: ${names.join(', ')}`);
    if (found.has(name)) throw new BadRequest(`\`${name}\` is given twice`);
    found.set(name, value);
  }
  return found;
}

/** Throws 400 unless the field is a text that is not empty. */
export function textIn(fields: JsonObject, name: string): string {
  const value = optionalTextIn(fields, name);
  if (value === undefined) throw new BadRequest(`\`${name}\` is missing`);
  return value;
}

export function optionalTextIn(fields: JsonObject, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value === '' || value.length > MAX_TEXT)
    throw new BadRequest(`\`${name}\` must be a text that is not empty`);
  return value;
}

/**
 * Refuses Couchgate's own databases (H34): requests never reach them, so their backups must be no way around
 * that. The commands can restore them; the instance section has them.
 */
export function refuseOwn(database: string, storeDatabase: string): string {
  if (ownDatabases(storeDatabase).includes(database))
    throw new Forbidden(
      'This database holds the credentials of Couchgate; use the commands couchgate backup and restore.',
    );
  return database;
}

/**
 * The name of a database into which data may be restored. In a system database, documents would give access
 * or start jobs at once (H29, H34).
 */
export function restoreTarget(database: string, storeDatabase: string): string {
  refuseOwn(database, storeDatabase);
  if (database.startsWith('_') || kindOfName(database) === 'system')
    throw new Forbidden(
      'Documents of a system database give access or run jobs: restore them with the command.',
    );
  if (kindOfName(database) === 'illegal')
    throw new BadRequest(
      'The name of a database has lowercase letters, digits and _$()+/- only, and begins with a letter.',
      'illegal_database_name',
    );
  return database;
}
