// Validates the redirect target of a login or logout: a path on this server.
import { BadRequest } from '../http-errors.ts';

/**
 * Printable ASCII without the backslash, which browsers treat as a slash. Blanks and control characters are
 * excluded, because the value becomes a header (H3).
 */
const PLAIN = /^\/[!-[\]-~]*$/;

/**
 * Returns the value of the first query parameter with this name, for the Location header; undefined if there
 * is none. Throws 400 for other targets: `//host`, `/\host`, `https://host`, or a value with a line break.
 * CouchDB appends the value to its own URL without a check (H3).
 */
export function localPathIn(query: string, parameter: string): string | undefined {
  const path = new URLSearchParams(query).get(parameter);
  if (path === null) return undefined;
  if (!PLAIN.test(path) || path.startsWith('//')) {
    throw new BadRequest(`The query parameter ${parameter} must be a path on this server, such as /_utils`);
  }
  return path;
}
