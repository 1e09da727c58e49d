// Reads a request target exactly as CouchDB does, faults included (hazard H7). What the path means is router.ts's business.
import { BadRequest } from '../http-errors.ts';

export interface Target {
  /** Decoded segments; empty ones are gone. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/**
 * CouchDB cuts at the first `?` or `#`, drops empty segments, and decodes each segment once, `+` being a space (chttpd.erl, mochiweb_util:unquote).
 * The fragment takes the query with it when it comes first.
 */
export function readTarget(url: string): Target {
  const local = url.startsWith('/') ? url : pathOfAbsolute(url);
  const hash = local.indexOf('#');
  const whole = hash < 0 ? local : local.slice(0, hash);
  const mark = whole.indexOf('?');
  const rawPath = mark < 0 ? whole : whole.slice(0, mark);
  const path = rawPath
    .split('/')
    .filter((segment) => segment !== '')
    .map(decodeSegment);
  return { path: joinSpecial(path), query: new URLSearchParams(mark < 0 ? '' : whole.slice(mark + 1)) };
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

/** `/db/_design%2Fx` is the design document x and `/db/_local%2Fx` the local document x (chttpd_db.erl). */
function joinSpecial(path: readonly string[]): readonly string[] {
  const second = path[1];
  if (second === undefined) return path;
  for (const prefix of ['_design/', '_local/']) {
    if (second.startsWith(prefix))
      return [path[0] ?? '', prefix.slice(0, -1), second.slice(prefix.length), ...path.slice(2)];
  }
  return path;
}
