// Translates the query parameters of _all_docs and of views into PouchDB's options.
import { BadRequest } from '../http-errors.ts';
import { type Json } from './json.ts';
import { countOf, flagOf, jsonParameter, oneOf } from './parameters.ts';

/** Parses one parameter; undefined if it is valid but has no effect here. */
type Reader = (value: unknown, decoded: boolean) => [option: string, value: unknown] | undefined;

const json =
  (option: string): Reader =>
  (value, decoded) => [option, decoded ? value : jsonParameter(String(value))];
const count =
  (option: string): Reader =>
  (value) => [option, countOf(value)];
const flag =
  (option: string): Reader =>
  (value) => [option, flagOf(value)];
const noEffect =
  (name: string, ...allowed: string[]): Reader =>
  (value) => {
    oneOf(name, allowed, value);
    return undefined;
  };

/** CouchDB's view parameters (couch_mrview_http:parse_param). A `decoded` value is from a JSON body. */
const READERS: Readonly<Record<string, Reader>> = {
  key: json('key'),
  keys: readKeys,
  startkey: json('startkey'),
  start_key: json('startkey'),
  endkey: json('endkey'),
  end_key: json('endkey'),
  limit: count('limit'),
  skip: count('skip'),
  group_level: count('group_level'),
  group: flag('group'),
  reduce: flag('reduce'),
  descending: flag('descending'),
  inclusive_end: flag('inclusive_end'),
  include_docs: flag('include_docs'),
  attachments: flag('attachments'),
  conflicts: flag('conflicts'),
  update_seq: flag('update_seq'),
  sorted: flag('sorted'),
  stable: noEffect('stable', 'true', 'false'),
  update: noEffect('update', 'true', 'false', 'lazy'),
  stale: noEffect('stale', 'ok', 'update_after'),
};

/** PouchDB's options of a query, and `update_seq`. */
export type ViewOptions = Json & {
  keys?: unknown[];
  limit?: number;
  skip?: number;
  update_seq?: boolean;
  reduce?: boolean;
  include_docs?: boolean;
};

/**
 * The options of a query string and a JSON body; the body takes precedence. Throws CouchDB's 400 for invalid
 * values. Unknown names are ignored.
 */
export function viewOptions(query: URLSearchParams, body: Json = {}): ViewOptions {
  const options: ViewOptions = {};
  for (const [name, value] of query) apply(options, name, value, false);
  for (const [name, value] of Object.entries(body)) apply(options, name, value, true);
  return options;
}

function apply(options: ViewOptions, name: string, value: unknown, decoded: boolean): void {
  const reader = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
  const read = reader?.(value, decoded);
  if (read !== undefined) options[read[0]] = read[1];
}

function readKeys(value: unknown, decoded: boolean): [string, unknown] {
  const keys = decoded ? value : jsonParameter(String(value));
  if (!Array.isArray(keys))
    throw new BadRequest(
      decoded ? '`keys` body member must be an array.' : '`keys` parameter must be an array.',
    );
  return ['keys', keys];
}
