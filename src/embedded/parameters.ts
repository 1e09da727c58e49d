// Parses single query parameters as CouchDB does, and throws its errors for invalid values.
import { BadRequest } from '../http-errors.ts';
import { parseJson } from './body.ts';

/** A parameter that CouchDB parses as JSON. Throws its 400 for invalid JSON. */
export function jsonParameter(text: string): unknown {
  return parseJson(Buffer.from(text));
}

/** Whether a document option is on. CouchDB accepts the literal `true` and ignores every other value. */
export function isSet(query: URLSearchParams, name: string): boolean {
  return query.get(name) === 'true';
}

/** A revision such as `1-abc`; undefined without the parameter. Throws CouchDB's 400 if it is malformed. */
export function revisionParameter(rev: string | null | undefined): string | undefined {
  if (rev === null || rev === undefined) return undefined;
  requireRevision(rev);
  return rev;
}

/** Whether a value has the format of a revision: a generation number, a dash and any text. */
export function isRevision(rev: unknown): rev is string {
  return typeof rev === 'string' && /^\d{1,15}-./s.test(rev);
}

/** Throws CouchDB's 400 if the value is not a revision. */
export function requireRevision(rev: unknown): asserts rev is string {
  if (!isRevision(rev)) throw new BadRequest('Invalid rev format');
}

function queryError(reason: string): BadRequest {
  return new BadRequest(reason, 'query_parse_error');
}

/**
 * A non-negative integer parameter, as text from the query or as a number from a JSON body. Throws CouchDB's
 * 400. Values above Number.MAX_SAFE_INTEGER are reduced to it.
 */
export function countOf(value: unknown): number {
  const text = JSON.stringify(value);
  const number = typeof value === 'string' && /^[+-]?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number))
    throw queryError(`Invalid value for integer: ${text}`);
  if (number < 0) throw queryError(`Invalid value for positive integer: ${text}`);
  return Math.min(number, Number.MAX_SAFE_INTEGER);
}

/** A boolean view parameter; upper and lower case are equal. Throws CouchDB's 400 for other values. */
export function flagOf(value: unknown): boolean {
  const text = typeof value === 'string' ? value.toLowerCase() : value;
  if (text === true || text === 'true') return true;
  if (text === false || text === 'false') return false;
  throw queryError(`Invalid boolean parameter: ${JSON.stringify(value)}`);
}

/** Throws CouchDB's 400 if the value is not one of the allowed ones. */
export function oneOf(name: string, allowed: readonly string[], value: unknown): void {
  if (!allowed.includes(String(value))) throw queryError(`Invalid value for \`${name}\`.`);
}
