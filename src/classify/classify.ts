// Decides which operation a request asks for: one row of the catalogue, the database and the document. Whether it is permitted is authorize's business.
import { endpoint } from '../catalogue/catalogue.ts';
import { kindOfName } from '../catalogue/database-name.ts';
import { classOfId, INTERNAL, isInternalLocal, RESERVED } from '../catalogue/document-id.ts';
import { METHODS, type Endpoint } from '../catalogue/endpoint.ts';
import { type Destination, type Operation, type Target } from '../catalogue/operation.ts';
import { blocked } from '../catalogue/parse.ts';
import { ordinaryTrie, prefixedSystemTrie, replicatorTrie, serverTrie, usersTrie } from './trees.ts';
import { type Leaf, type Rows, type Trie } from './trie.ts';

const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);
const UNDERSCORE = 95;

const UNKNOWN_METHOD: Endpoint = Object.freeze({
  ...endpoint('unknown-method'),
  permit: blocked(405, METHODS.filter((method) => method !== 'PATCH').join(',')),
});
const PREFLIGHT = endpoint('options-preflight');
const STORE = endpoint('store-database');
const ILLEGAL_CREATION = endpoint('db-illegal-create');
const ILLEGAL_NAME = endpoint('db-illegal-name');
const UNKNOWN_IN_DATABASE = endpoint('db-unknown-underscore');
const LOCAL_INTERNAL = endpoint('local-internal');
const API_OTHER = endpoint('api-other');
const GENERATE_API_KEY = endpoint('legacy-generate-api-key');

/** Server endpoints whose roles are those held on a system database. */
const GRANTED_ON: Readonly<Record<string, string>> = {
  'db-updates': '_global_changes',
  replicate: '_replicator',
};

const NO_ALTERNATIVES: readonly Endpoint[] = Object.freeze([]);

/** The database is named in the form that is the body. */
const SETTING_PERMISSIONS: Operation = Object.freeze({
  endpoint: endpoint('legacy-set-permissions'),
  alternatives: NO_ALTERNATIVES,
  decidedByBody: 'database-from-form',
  database: undefined,
  documentId: undefined,
});

export type Classify = (method: string, target: Target, destination: Destination | undefined) => Operation;

/**
 * Makes the pure function from a request's one reading to its operation. It always finds one: what the catalogue does not
 * describe is an operation of a blocked row. `storeDatabase` is closed to everybody, under every spelling (its keys are in it).
 */
export function createClassify(rules: { readonly storeDatabase: string }): Classify {
  const { storeDatabase } = rules;
  return function classify(method, { segments }, destination) {
    if (!KNOWN_METHODS.has(method)) return operation(UNKNOWN_METHOD, undefined, undefined);
    if (method === 'OPTIONS') return operation(PREFLIGHT, undefined, undefined);
    const first = segments[0] ?? '';
    if (segments.length === 0 || (segments.length === 1 && first === 'favicon.ico')) {
      return onServer(method, segments);
    }
    if (first.charCodeAt(0) === UNDERSCORE) {
      if (first === '_users') return inDatabase(usersTrie, method, segments, destination);
      if (first === '_replicator') return inDatabase(replicatorTrie, method, segments, destination);
      if (first === '_api') return inApi(method, segments, storeDatabase);
      return onServer(method, segments);
    }
    if (first === 'api' && method === 'POST' && segments.length === 2) {
      if (segments[1] === 'generate_api_key') return operation(GENERATE_API_KEY, undefined, undefined);
      if (segments[1] === 'set_permissions') return SETTING_PERMISSIONS;
    }
    if (first === storeDatabase) return operation(STORE, first, undefined);
    const kind = kindOfName(first);
    if (kind === 'illegal') {
      const creates = method === 'PUT' && segments.length === 1;
      return operation(creates ? ILLEGAL_CREATION : ILLEGAL_NAME, first, undefined);
    }
    return inDatabase(kind === 'system' ? prefixedSystemTrie : ordinaryTrie, method, segments, destination);
  };
}

function onServer(method: string, segments: readonly string[]): Operation {
  const { first } = rowsFor(serverTrie.walk(segments, 0), method);
  return operation(first, GRANTED_ON[first.id], undefined);
}

/** `/_api/v2/db/{db}/_security`, where the slashes of a database name may come unencoded (IBM writes `<path:db>`), and the rest of `/_api`. */
function inApi(method: string, segments: readonly string[], storeDatabase: string): Operation {
  const last = segments.length - 1;
  if (segments[1] !== 'v2' || segments[2] !== 'db' || last < 4 || segments[last] !== '_security') {
    return onServer(method, segments);
  }
  const database = segments.slice(3, last).join('/');
  if (database === storeDatabase) return operation(STORE, database, undefined);
  if (database !== '_replicator' && kindOfName(database) !== 'ordinary') {
    return operation(API_OTHER, database, undefined);
  }
  const { first } = rowsFor(ordinaryTrie.walk(['', '_security'], 1), method);
  return operation(API_SECURITY[first.id] ?? first, database, undefined);
}

const API_SECURITY: Readonly<Record<string, Endpoint>> = {
  'security-get': endpoint('api-security-get'),
  'security-put': endpoint('api-security-put'),
};

function inDatabase(
  trie: Trie,
  method: string,
  segments: readonly string[],
  destination: Destination | undefined,
): Operation {
  const rows = rowsFor(trie.walk(segments, 1), method);
  const database = segments[0];
  const id = documentId(rows, segments);
  if (rows.names === 'local' && isInternalLocal(segments[2] ?? '')) {
    return operation(LOCAL_INTERNAL, database, id);
  }
  if (method === 'COPY') return operation(copyRow(rows, destination), database, id);
  if (rows.by === undefined || rows.by === 'destination') return operation(rows.first, database, id);
  return {
    endpoint: rows.first,
    alternatives: rows.alternatives,
    decidedByBody: rows.by,
    database,
    documentId: id,
  };
}

/** A COPY is judged by where it writes as well. An id that CouchDB would refuse, or keeps for itself, is nobody's. */
function copyRow(rows: Rows, destination: Destination | undefined): Endpoint {
  if (rows.first.permit.kind === 'blocked') return rows.first;
  const ids = destination === undefined ? RESERVED : classOfId(destination.id);
  if (ids === INTERNAL) return LOCAL_INTERNAL;
  if (ids === RESERVED) return UNKNOWN_IN_DATABASE;
  if (rows.by === undefined) return rows.first;
  return rows.alternatives.find((row) => ((row.choice?.ids ?? 0) & ids) !== 0) ?? UNKNOWN_IN_DATABASE;
}

function documentId(rows: Rows, segments: readonly string[]): string | undefined {
  if (rows.names === 'doc' || rows.names === 'attachment') return segments[1];
  if (rows.names === 'design' || rows.names === 'local') return `${segments[1] ?? ''}/${segments[2] ?? ''}`;
  return undefined;
}

function rowsFor(leaf: Leaf, method: string): Rows {
  return leaf.byMethod.get(method) ?? leaf.otherwise;
}

function operation(row: Endpoint, database: string | undefined, id: string | undefined): Operation {
  return { endpoint: row, alternatives: NO_ALTERNATIVES, decidedByBody: undefined, database, documentId: id };
}
