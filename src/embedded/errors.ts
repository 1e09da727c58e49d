// Turns what PouchDB throws into CouchDB's errors. How they are sent is respond.ts's business.
import { Conflict, HttpError, NotFound } from '../http-errors.ts';
import { functionError } from './functions.ts';
import { isObject } from './json.ts';
import { type PouchError } from './pouch.ts';
import { FunctionFailure } from './sandbox.ts';

/** The HttpError for a thrown value, or the value itself when it is none that a client should see. */
export function errorOf(thrown: unknown): unknown {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof FunctionFailure) return functionError(thrown);
  if (!isObject(thrown) && !(thrown instanceof Error)) return thrown;
  const error = thrown as PouchError;
  const status = typeof error.status === 'number' ? error.status : 500;
  if (status >= 500 || status < 400) return thrown;
  return translated(status, error);
}

function translated(status: number, error: PouchError): HttpError {
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

/** Whether PouchDB says that the document is not there, or deleted. */
export function isMissing(thrown: unknown): boolean {
  return isObject(thrown) || thrown instanceof Error ? (thrown as PouchError).status === 404 : false;
}
