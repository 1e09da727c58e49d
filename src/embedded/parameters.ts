// Reads query parameters as CouchDB does, with its errors for bad ones. What they change is the endpoints' business.
import { BadRequest } from '../http-errors.ts';
import { parseJson } from './body.ts';

/** A parameter that CouchDB reads as JSON. Throws its 400 for anything else. */
export function jsonParameter(text: string): unknown {
  return parseJson(Buffer.from(text));
}

/** CouchDB's document options take the literal `true` and ignore every other value. */
export function isSet(query: URLSearchParams, name: string): boolean {
  return query.get(name) === 'true';
}

/** A revision such as `1-abc`; undefined when the parameter is not there. Throws CouchDB's 400 for another form. */
export function revisionParameter(rev: string | null | undefined): string | undefined {
  if (rev === null || rev === undefined) return undefined;
  requireRevision(rev);
  return rev;
}

/** Whether a value has the form of a revision: a generation, a dash, anything. */
export function isRevision(rev: unknown): rev is string {
  return typeof rev === 'string' && /^\d{1,15}-./s.test(rev);
}

/** Throws CouchDB's 400 for a value of another form. */
export function requireRevision(rev: unknown): asserts rev is string {
  if (!isRevision(rev)) throw new BadRequest('Invalid rev format');
}

function queryError(reason: string): BadRequest {
  return new BadRequest(reason, 'query_parse_error');
}

/** CouchDB's integer of a view parameter; it may also come as a number from a JSON body. */
export function countOf(value: unknown): number {
  const shown = JSON.stringify(value);
  const number = typeof value === 'string' && /^[+-]?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number))
    throw queryError(`Invalid value for integer: ${shown}`);
  if (number < 0) throw queryError(`Invalid value for positive integer: ${shown}`);
  return Math.min(number, Number.MAX_SAFE_INTEGER);
}

/** CouchDB's boolean of a view parameter, in any case of letters. Throws its 400 for other words. */
export function flagOf(value: unknown): boolean {
  const text = typeof value === 'string' ? value.toLowerCase() : value;
  if (text === true || text === 'true') return true;
  if (text === false || text === 'false') return false;
  throw queryError(`Invalid boolean parameter: ${JSON.stringify(value)}`);
}

/** Throws CouchDB's 400 for a parameter that has a closed list of values. */
export function oneOf(name: string, allowed: readonly string[], value: unknown): void {
  if (!allowed.includes(String(value))) throw queryError(`Invalid value for \`${name}\`.`);
}
