// Reads which database the form of `POST /api/set_permissions` names; its permissions decide the request.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type BodyReader } from '../body/read.ts';
import { endpoint } from '../catalogue/catalogue.ts';
import { mayHaveGrants, ownDatabases } from '../catalogue/database-name.ts';
import { type Operation } from '../catalogue/operation.ts';
import { contextOf, known } from '../context.ts';
import { databaseOfForm } from '../permissions/permissions-form.ts';

export interface FormDeps {
  readonly bodies: BodyReader;
  readonly storeDatabase: string;
}

export interface NamedOperation {
  /**
   * The operation on the named database. If the database cannot have grants, the endpoint is one that is
   * closed to everybody.
   */
  readonly operation: Operation & { readonly database: string };
  /** True if the security object of the database may have a `cloudant` map. */
  readonly isGrantable: boolean;
}

/** Largest form, far above a database name, a name and eight roles. */
const SET_PERMISSIONS_FORM_BYTES = 65_536;
const STORE_ENDPOINT = endpoint('store-database');

/**
 * Throws BadContentType for other types, BadRequest unless the form names exactly one database, and what
 * `BodyReader.form` throws.
 */
export async function readDatabaseFromForm(
  req: IncomingMessage,
  res: ServerResponse,
  operation: Operation,
  { bodies, storeDatabase }: FormDeps,
): Promise<NamedOperation> {
  const { identified, outcome } = contextOf(req);
  const { principal } = known(identified, 'identified');
  const form = await bodies.form(req, res, { limitBytes: SET_PERMISSIONS_FORM_BYTES });
  const database = databaseOfForm(form, principal);
  outcome.namedDatabase = database;
  const isGrantable = mayHaveGrants(database, ownDatabases(storeDatabase));
  return {
    operation: { ...operation, database, ...(isGrantable ? {} : { endpoint: STORE_ENDPOINT }) },
    isGrantable,
  };
}
