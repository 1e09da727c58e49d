// Defines which endpoints run functions of design documents that see the request or the caller.
import { type EndpointId } from './catalogue.ts';
import { type Endpoint } from './endpoint.ts';

const RUN_WITH_REQUEST: ReadonlySet<string> = new Set<EndpointId>([
  'changes',
  'show',
  'list',
  'update-null',
  'update-doc',
  'partition-show-list',
  'partition-update',
]);

/** Writes of documents. CouchDB does not validate `_local` documents. */
const VALIDATED: ReadonlySet<string> = new Set<EndpointId>([
  'db-post-doc',
  'bulk-docs',
  'partition-update',
  'ddoc-copy-to-doc',
  'update-null',
  'update-doc',
  'local-copy',
  'doc-put',
  'doc-delete',
  'doc-post-form',
  'doc-copy',
  'att-put',
  'att-delete',
]);

/**
 * Endpoints whose functions may look at the roles of the caller: writes that CouchDB may validate, feeds with
 * their filters, and RUN_WITH_REQUEST. A bulk write of a holder of `_design` alone holds documents as well.
 * A `_local` document is not validated, and is here like any other write.
 */
const RUNS_FUNCTIONS: ReadonlySet<string> = new Set([
  ...VALIDATED,
  ...RUN_WITH_REQUEST,
  ...([
    'db-updates',
    'users-own-write',
    'db-post-local',
    'bulk-docs-design-holder',
    'bulk-docs-local-only',
    'ensure-full-commit',
    'local-put',
    'local-delete',
    'local-post-form',
    'local-copy-to-local',
  ] satisfies EndpointId[]),
]);

/** True if validation, filter, show, list or update functions see the caller's roles. */
export function runsFunctions({ id }: Pick<Endpoint, 'id'>): boolean {
  return RUNS_FUNCTIONS.has(id);
}

/** True for writes with member privilege that `validate_doc_update` functions see. */
export function runsValidation({ id }: Endpoint): boolean {
  return VALIDATED.has(id);
}

/**
 * True for endpoints that may answer with a stored page or with the output of a function, and for Fauxton.
 * All but Fauxton have single-use connections, because their answers are not trusted (H3).
 */
export function servesStoredPages({ id, pool }: Endpoint): boolean {
  return pool === 'single-use' || id === 'utils';
}

/**
 * True for filters of `_changes` and for show, list and update functions: their argument `req` contains the
 * headers. Validation functions get the document and the caller only.
 * https://docs.couchdb.org/en/stable/json-structure.html#request-object
 */
export function runsWithRequest({ id }: Endpoint): boolean {
  return RUN_WITH_REQUEST.has(id);
}

/**
 * True if a function sees this very request. `_changes` calls one only with the parameter `filter`, whose
 * name may be percent-encoded and in any case. `query` is empty or begins with `?`.
 */
export function isSeenByFunction(endpoint: Endpoint, query: string): boolean {
  if (!runsWithRequest(endpoint)) return false;
  return endpoint.id !== 'changes' || /filter|%/i.test(query);
}
