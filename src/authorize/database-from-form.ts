// Reads the database that the form of `POST /api/set_permissions` names, whose permissions decide the request.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type BodyReader } from '../body/read.ts';
import { endpoint } from '../catalogue/catalogue.ts';
import { kindOfName } from '../catalogue/database-name.ts';
import { type Operation } from '../catalogue/operation.ts';
import { contextOf, known } from '../context.ts';
import { databaseOfForm } from '../permissions/permissions-form.ts';

export interface FormDeps {
  readonly bodies: BodyReader;
  readonly storeDatabase: string;
}

export interface NamedOperation {
  /** The operation on the named database; on one that cannot be granted, the endpoint that is closed to everybody. */
  readonly operation: Operation & { readonly database: string };
  /** True when the security object of the database can hold a `cloudant` map. */
  readonly isGrantable: boolean;
}

/** Room for a database, a name and eight roles many times over. */
export const FORM_LIMIT_BYTES = 65_536;
const STORE = endpoint('store-database');

/** Throws BadContentType for what is not a form, BadRequest for one without exactly one database, and what `BodyReader.read` throws. */
export async function readDatabaseFromForm(
  req: IncomingMessage,
  res: ServerResponse,
  operation: Operation,
  { bodies, storeDatabase }: FormDeps,
): Promise<NamedOperation> {
  const { principal } = known(contextOf(req).identified, 'identified');
  const form = await bodies.form(req, res, { limitBytes: FORM_LIMIT_BYTES });
  const database = databaseOfForm(form, principal);
  const isGrantable = database !== storeDatabase && isOpenToGrants(database);
  return { operation: { ...operation, database, ...(isGrantable ? {} : { endpoint: STORE }) }, isGrantable };
}

function isOpenToGrants(database: string): boolean {
  return database === '_replicator' || kindOfName(database) === 'ordinary';
}
