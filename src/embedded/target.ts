// Parses a request target into path segments and query exactly as CouchDB does, with its faults (hazard H7).
import { BadRequest } from '../http-errors.ts';

/** A parsed request target. */
export interface Target {
  /** Decoded segments; empty segments are removed. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/**
 * Parses like CouchDB (chttpd.erl, mochiweb_util:unquote): the path ends at the first `?` or `#`; empty
 * segments are dropped; each segment is decoded once, with `+` as a space. A `?` after the `#` starts no
 * query, and `;` separates parameters as `&` does. Throws CouchDB's 400 for an invalid percent-encoding.
 */
export function readTarget(url: string): Target {
  const originForm = url.startsWith('/') ? url : pathOfAbsolute(url);
  const hash = originForm.indexOf('#');
  const pathAndQuery = hash < 0 ? originForm : originForm.slice(0, hash);
  const queryMark = pathAndQuery.indexOf('?');
  const rawPath = queryMark < 0 ? pathAndQuery : pathAndQuery.slice(0, queryMark);
  const rawQuery = queryMark < 0 ? '' : pathAndQuery.slice(queryMark + 1);
  const path = rawPath
    .split('/')
    .filter((segment) => segment !== '')
    .map(decodeSegment);
  return { path: splitReservedId(path), query: new URLSearchParams(rawQuery.replaceAll(';', '&')) };
}

function pathOfAbsolute(url: string): string {
  const scheme = url.indexOf('://');
  const slash = scheme < 0 ? -1 : url.indexOf('/', scheme + 3);
  return slash < 0 ? '/' : url.slice(slash);
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment.replaceAll('+', ' '));
  } catch {
    throw new BadRequest('invalid_url_encoding');
  }
}

/** Reads `/db/_design%2Fx` as `/db/_design/x`, and `_local%2Fx` likewise (chttpd_db.erl). */
function splitReservedId(path: readonly string[]): readonly string[] {
  const second = path[1];
  if (second === undefined) return path;
  for (const prefix of ['_design/', '_local/']) {
    if (second.startsWith(prefix))
      return [path[0] ?? '', prefix.slice(0, -1), second.slice(prefix.length), ...path.slice(2)];
  }
  return path;
}
