// Translates the errors of PouchDB and of design functions into CouchDB's HTTP errors.
import { Conflict, HttpError, NotFound } from '../http-errors.ts';
import { functionError } from './functions.ts';
import { isObject } from './json.ts';
import { type PouchError } from './pouch.ts';
import { FunctionFailure } from './sandbox.ts';

/** The HttpError for a thrown value; the value itself if a client must not see it (an unexpected error). */
export function errorOf(thrown: unknown): unknown {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof FunctionFailure) return functionError(thrown);
  if (!isObject(thrown) && !(thrown instanceof Error)) return thrown;
  const error = thrown as PouchError;
  const status = typeof error.status === 'number' ? error.status : 500;
  if (status >= 500 || status < 400) return thrown;
  return toHttpError(status, error);
}

function toHttpError(status: number, error: PouchError): HttpError {
  const message = error.message ?? '';
  if (status === 409) return new Conflict('Document update conflict.');
  if (status === 404) return new NotFound(error.reason === 'deleted' ? 'deleted' : 'missing');
  if (status === 412 && error.name === 'missing_stub') return new HttpError(412, 'missing_stub', message);
  if (message.startsWith('No rows can match')) return new HttpError(400, 'query_parse_error', NO_ROWS);
  if (message.startsWith('Bad special document member')) return new HttpError(400, 'doc_validation', message);
  const name = error.name ?? 'bad_request';
  return new HttpError(status, name === 'Error' ? 'bad_request' : name, error.reason ?? message);
}

const NO_ROWS = 'No rows can match your key range, reverse your start_key and end_key or set descending=true';

/** Whether this is PouchDB's error for a missing or deleted document. */
export function isMissing(thrown: unknown): boolean {
  return isObject(thrown) || thrown instanceof Error ? (thrown as PouchError).status === 404 : false;
}
