// Makes the paths of requests. What no path can name is refused here, and not sent somewhere else.
import { ApiError } from './api-error.ts';

/**
 * Joins segments to a path. A slash in a name is encoded. Browsers drop an empty segment at the end and take
 * dots as steps, so such a path names something else (WHATWG URL, "single-dot"): it throws a 404.
 */
export function pathOf(...segments: readonly string[]): string {
  const step = segments.find((segment) => /^\.{0,2}$/.test(segment));
  if (step !== undefined)
    throw new ApiError(404, 'not_found', `No path can have the part “${step}”.`, undefined);
  return segments.map(encodeURIComponent).join('/');
}

/** Why no document has such an id. */
export const RESERVED = 'No document can have this id: CouchDB keeps ids that begin with “_” for itself.';

/**
 * True for an id, or a segment of a path, that browsers take as a step, in every spelling (WHATWG URL,
 * "single-dot"). `_design/..` would reach the database itself.
 */
export function isUnsendable(id: string): boolean {
  return /^(?:(?:_design|_local)\/)?\.\.?$/.test(id);
}

/** True for an id that CouchDB gives to no document. As a path, `_security` names the permissions. */
export function isReserved(id: string): boolean {
  return id.startsWith('_') && !/^_(?:design|local)\/./s.test(id);
}

/** Path of a document. The slash of `_design/` and `_local/` is a part of the path. */
export function documentPath(database: string, id: string): string {
  if (isReserved(id)) throw new ApiError(404, 'not_found', RESERVED, undefined);
  const [, folder = '', name = ''] = /^(_design|_local)\/(.*)$/s.exec(id) ?? [];
  return folder === '' ? pathOf(database, id) : pathOf(database, folder, name);
}
