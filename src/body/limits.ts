// Defines the limits of request bodies by what CouchDB and Couchgate do with them (H20).
import { type IncomingMessage } from 'node:http';
import { type EndpointId } from '../catalogue/catalogue.ts';
import { type BodyKind, type Endpoint } from '../catalogue/endpoint.ts';
import { FORM_LIMIT_BYTES, isForm } from './form-meter.ts';
import { multipartKind } from './multipart-meter.ts';
import { type StructureLimits } from './json-meter.ts';
import { rawParametersOf } from './query-parameters.ts';
import { type BodyRules } from './read.ts';
import { SELECTOR_PATH_BYTES } from './selector-paths.ts';

export interface BodyLimits {
  /** Largest body of any kind. */
  readonly maxBodyBytes: number;
  /** Largest body that CouchDB parses as a whole, after decoding. */
  readonly maxJsonBody: number;
  /** Most values in a body that writes documents. */
  readonly maxWriteValues: number;
  /** Most values in the body of a query. */
  readonly maxQueryValues: number;
}

/**
 * Room for thousands of users, or for a job with a list of 20 000 document ids, which its replicator sends in
 * one `POST /{db}/_changes?filter=_doc_ids`.
 */
export const GUARDED_LIMIT_BYTES = 1_048_576;

/** Most members of one object in a write. */
const WRITE_MEMBERS = 100_000;
/** CouchDB needs 300 to 550 bytes of memory for each value of a write, and 5 to 7 KiB for each document. */
const VALUES_PER_DOCUMENT = 20;

/** Level of the members of a document: the body itself, or `{"docs":[{…}]}`. */
const DOCUMENT = 1;
const DOCUMENT_OF_BULK = 3;

/** Largest body of a query. */
const QUERY_LIMIT_BYTES = 16_777_216;

/** Longest key or id in a query. A key of 16 MiB takes a node of CouchDB 1.9 GiB. */
const QUERY_STRING_BYTES = 65_536;

/** CouchDB rewrites a selector several times: 100 000 values take 280 MiB. */
const SELECTOR_SHARE = 1 / 5;

/** Endpoints whose body Couchgate parses and writes again. */
const GUARDED: ReadonlySet<string> = new Set<EndpointId>(['replicate', 'replicator-write']);

const GUARDED_RULES: BodyRules = Object.freeze({ limitBytes: GUARDED_LIMIT_BYTES, budget: 'parsed' });

/**
 * Returns the limit of a body in bytes. Only what CouchDB stores as it comes may be larger than
 * `maxJsonBody`. CouchDB keeps a whole form in memory.
 */
export function bodyLimit(
  endpoint: Pick<Endpoint, 'id' | 'body'>,
  req: Pick<IncomingMessage, 'headers' | 'method'>,
  { maxBodyBytes, maxJsonBody }: BodyLimits,
): number {
  if (endpoint.body === 'attachment') return maxBodyBytes;
  if (isForm(endpoint, req)) return Math.min(FORM_LIMIT_BYTES, maxBodyBytes);
  if (endpoint.body === 'document' && multipartKind(req) === 'related') return maxBodyBytes;
  return Math.min(parsedLimit(endpoint, maxJsonBody), maxBodyBytes);
}

/** Endpoints whose body may hold a bookmark, which CouchDB decodes as an Erlang term. */
const WITH_BOOKMARK: ReadonlySet<string> = new Set<EndpointId>([
  'find',
  'explain',
  'search',
  'partition-find',
  'partition-explain',
  'partition-search',
]);

/**
 * Level of the texts that CouchDB reads as revisions. It turns the digits of a generation into a number, in
 * quadratic time: 0.3 s for 64 KiB. Those in the entries of `_bulk_get` are refused by body/bulk-get.ts.
 */
const REVISION_LEVELS: Readonly<Partial<Record<string, number>>> = {
  'revs-diff': 2,
  'missing-revs': 2,
  purge: 2,
  'bulk-get': 4, // atts_since
} satisfies Partial<Record<EndpointId, number>>;

/** True for the kinds of body that name what is read. */
function isQuery(body: BodyKind): boolean {
  return body === 'query' || body === 'rows' || body === 'bulk-get';
}

/**
 * True if CouchDB reads the body of a POST to `_changes` as a list of ids, which it does not rewrite
 * (couch_changes.erl, configure_filter). CouchDB ignores the case of names, and the last one of a repeated
 * name counts (chttpd_db.erl, parse_changes_query), so only one spelling is recognised.
 */
function isListOfIds(query: string): boolean {
  let filters = 0;
  for (const parameter of rawParametersOf(query)) {
    const [name = ''] = parameter.split('=', 1);
    if (!/^[\w-]*$/.test(name)) return false;
    if (name.toLowerCase() !== 'filter') continue;
    if (parameter !== 'filter=_doc_ids') return false;
    filters += 1;
  }
  return filters === 1;
}

/**
 * Returns the limits of the structure of a body; undefined if CouchDB does not parse it. `query` is empty or
 * begins with `?`.
 */
export function structureLimits(
  { id, body }: Pick<Endpoint, 'id' | 'body'>,
  query: string,
  { maxQueryValues, maxWriteValues }: BodyLimits,
): StructureLimits | undefined {
  const mayHoldTerms = WITH_BOOKMARK.has(id);
  if (id === 'changes' && isListOfIds(query)) return queryStructure(maxQueryValues, mayHoldTerms);
  if (body === 'selector') {
    const values = Math.ceil(maxQueryValues * SELECTOR_SHARE);
    return { ...queryStructure(values, mayHoldTerms), pathBytes: SELECTOR_PATH_BYTES };
  }
  const revisionLevel = REVISION_LEVELS[id];
  if (revisionLevel !== undefined) return { ...queryStructure(maxQueryValues, false), revisionLevel };
  if (isQuery(body)) return queryStructure(maxQueryValues, mayHoldTerms);
  if (body === 'bulk')
    return {
      ...writeStructure(maxWriteValues, VALUES_PER_DOCUMENT, DOCUMENT_OF_BULK),
      readsIds: true,
    };
  return body === 'write' || body === 'document' ? writeStructure(maxWriteValues, 0, DOCUMENT) : undefined;
}

function writeStructure(values: number, perDocument: number, documentLevel: number): StructureLimits {
  const members = WRITE_MEMBERS;
  return { values, perDocument, members, stringBytes: Infinity, mayHoldTerms: false, documentLevel };
}

function queryStructure(values: number, mayHoldTerms: boolean): StructureLimits {
  return { values, perDocument: 0, members: values, stringBytes: QUERY_STRING_BYTES, mayHoldTerms };
}

/** Returns the limit of what CouchDB parses as a whole: a body, or a part of one. */
export function parsedLimit({ id, body }: Pick<Endpoint, 'id' | 'body'>, maxJsonBody: number): number {
  if (GUARDED.has(id)) return GUARDED_LIMIT_BYTES;
  return isQuery(body) || body === 'selector' ? Math.min(QUERY_LIMIT_BYTES, maxJsonBody) : maxJsonBody;
}

/** Returns the rules for a body that is read for its structure, or to decode it: no decision needs it. */
export function rulesOfRead(endpoint: Pick<Endpoint, 'id' | 'body'>, { maxJsonBody }: BodyLimits): BodyRules {
  return GUARDED.has(endpoint.id) ? GUARDED_RULES : { limitBytes: parsedLimit(endpoint, maxJsonBody) };
}
