// Says where a login or logout may send the browser next: to a path of this very server, and nowhere else.
import { BadRequest } from '../http-errors.ts';

/** Printable ASCII without the backslash, which browsers take for a slash. No blanks, no control characters: a header is made of it (H3). */
const PLAIN = /^\/[!-[\]-~]*$/;

/**
 * The value of the first query parameter of that name, to be sent as Location; undefined where there is none.
 * Throws 400 for what leads elsewhere: `//host`, `/\host`, `https://host`, or holds a line break.
 * CouchDB puts the value behind its own address unchecked (hazard H3).
 */
export function localPathIn(query: string, parameter: string): string | undefined {
  const path = new URLSearchParams(query).get(parameter);
  if (path === null) return undefined;
  if (!PLAIN.test(path) || path.startsWith('//')) {
    throw new BadRequest(`The query parameter ${parameter} must be a path on this server, such as /_utils`);
  }
  return path;
}
