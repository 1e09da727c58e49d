// Maps the path and method of a request to an endpoint, checks access to the path, and calls the endpoint.
import { HttpError, MethodNotAllowed, NotFound } from '../http-errors.ts';
import { authorizeDatabasePath, authorizeServerPath, requireServerAdmin } from './access.ts';
import { attachmentMethods } from './attachments.ts';
import { databaseEndpoints, databaseMethods } from './database-endpoints.ts';
import { SYSTEM_DATABASES } from './databases.ts';
import { designEndpoint } from './design-endpoints.ts';
import { documentMethods } from './document-endpoints.ts';
import { type DatabaseExchange, type Exchange, type Methods } from './exchange.ts';
import { serverEndpoints, welcomeMethods } from './server-endpoints.ts';

/** Answers one request. Throws an HttpError if it is refused, or if its path or method is unknown. */
export async function route(exchange: Exchange): Promise<void> {
  const [first] = exchange.path;
  if (first === undefined) return runMethod(welcomeMethods, exchange);
  if (first === 'favicon.ico' || (first.startsWith('_') && !SYSTEM_DATABASES.includes(first)))
    return routeServer(first, exchange);
  return routeDatabase(first, exchange);
}

async function routeServer(first: string, exchange: Exchange): Promise<void> {
  authorizeServerPath(exchange.caller, exchange.path);
  const methods = serverEndpoints.get(first);
  // CouchDB treats an unknown underscore path as a database name.
  if (methods === undefined) throw new NotFound('Database does not exist.');
  return runMethod(methods, exchange);
}

async function routeDatabase(name: string, exchange: Exchange): Promise<void> {
  const { node, caller, method, path } = exchange;
  if (path.length === 1 && method === 'PUT') {
    requireServerAdmin(caller);
    return runMethod(databaseMethods, exchange as DatabaseExchange);
  }
  if (path.length === 1 && method === 'DELETE') requireServerAdmin(caller);
  const database = node.databases.get(name);
  const isDatabaseAdmin = authorizeDatabasePath(caller, database, method, path);
  const inDatabase: DatabaseExchange = { ...exchange, database, isDatabaseAdmin };
  // Not inside `use`: a removal waits until nothing uses the database.
  if (path.length === 1 && method === 'DELETE') return runMethod(databaseMethods, inDatabase);
  return database.use(() => runMethod(methodsInDatabase(inDatabase), inDatabase));
}

function methodsInDatabase(exchange: DatabaseExchange): Methods<DatabaseExchange> {
  const [, second, third] = exchange.path;
  if (second === undefined) return databaseMethods;
  if (second === '_design' && third !== undefined) return designEndpoint(exchange);
  if (second === '_local' && third !== undefined) return documentMethods;
  const known = databaseEndpoints.get(second);
  if (known !== undefined) return known;
  if (second.startsWith('_')) return refuseUnknownPath(exchange);
  return third === undefined ? documentMethods : attachmentMethods;
}

function refuseUnknownPath(exchange: DatabaseExchange): never {
  if (exchange.method === 'GET' || exchange.method === 'HEAD' || exchange.path.length > 2)
    throw new NotFound();
  throw new HttpError(400, 'illegal_docid', 'Only reserved document ids may start with underscore.');
}

async function runMethod<E extends Exchange>(methods: Methods<E>, exchange: E): Promise<void> {
  const { method } = exchange;
  const name = method === 'HEAD' ? 'GET' : method;
  const endpoint =
    name === 'GET' || name === 'PUT' || name === 'POST' || name === 'DELETE' || name === 'COPY'
      ? methods[name]
      : undefined;
  if (endpoint === undefined) throw new MethodNotAllowed(methods.allow);
  await endpoint(exchange);
}
