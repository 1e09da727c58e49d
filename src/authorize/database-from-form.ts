// Decides `POST /api/set_permissions`, whose form names the database; what the form changes there is handle/'s business.
import { type IncomingMessage } from 'node:http';
import { type Decision } from '../context.ts';
import { endpoint } from '../catalogue/catalogue.ts';
import { kindOfName } from '../catalogue/database-name.ts';
import { type Operation } from '../catalogue/operation.ts';
import { encodingOf, inflated, mediaTypeOf, parseForm, readBytes } from '../body/decode.ts';
import { BadContentType } from '../http-errors.ts';
import { type Caller } from '../principal/principal.ts';
import { databaseOfForm } from '../permissions/permissions-form.ts';
import { type SecurityStore } from '../permissions/security-store.ts';
import { decide } from './decide.ts';

export interface FormDeps {
  readonly permissions: Pick<SecurityStore, 'permissionsOf'>;
  readonly storeDatabase: string;
}

/** A database, a name and eight roles fit many times over. */
const LIMIT_BYTES = 65_536;
const STORE = endpoint('store-database');

/**
 * Reads the form and decides by the grants on its `database`.
 * An allowing decision carries the bytes for the handler. Throws BadContentType for what is no form, BadRequest for one without a database.
 */
export async function decideByForm(
  req: IncomingMessage,
  operation: Operation,
  caller: Caller,
  needs: FormDeps,
): Promise<Decision> {
  const { principal } = caller;
  if (mediaTypeOf(req) !== 'application/x-www-form-urlencoded') {
    throw new BadContentType('Content-Type must be application/x-www-form-urlencoded');
  }
  encodingOf(req);
  const body = await readBytes(req, LIMIT_BYTES);
  const database = databaseOfForm(parseForm(await inflated(req, body, LIMIT_BYTES)), principal);
  if (database === needs.storeDatabase || !isGrantable(database)) {
    return decide(principal, { ...operation, endpoint: STORE, database }, undefined, undefined);
  }
  const permissions = await needs.permissions.permissionsOf(database, caller);
  const decision = decide(principal, { ...operation, database }, permissions, undefined);
  return decision.allow ? { ...decision, body } : decision;
}

/** Databases whose security object can hold a `cloudant` map. */
function isGrantable(database: string): boolean {
  return database === '_replicator' || kindOfName(database) === 'ordinary';
}
