// Finds the operation of a request: endpoint, database and document.
import { endpoint, type EndpointId } from '../catalogue/catalogue.ts';
import { isOpenToGrants, kindOfName, ownDatabases } from '../catalogue/database-name.ts';
import { classOfId, INTERNAL, isInternalLocal, RESERVED } from '../catalogue/document-id.ts';
import { type Endpoint, type Method } from '../catalogue/endpoint.ts';
import { type Destination, type Operation, type Target } from '../catalogue/operation.ts';
import { USER_ID_PREFIX } from '../couch/user-id.ts';
import {
  hasIllegalAttachmentName,
  illegalCreation,
  MISSING_DESTINATION,
  RESERVED_DESTINATION,
  unknownInDatabase,
} from './mistakes.ts';
import {
  globalChangesTrie,
  ordinaryTrie,
  prefixedSystemTrie,
  replicatorTrie,
  serverTrie,
  usersTrie,
} from './trees.ts';
import { type ListRules, withLists } from './lists.ts';
import { type Leaf, type Matches, type Trie } from './trie.ts';

const UNDERSCORE = 95;

const STORE = endpoint('store-database');
const UNROUTED = endpoint('unrouted-underscore');
const ILLEGAL_NAME = endpoint('db-illegal-name');
const UNKNOWN_IN_DATABASE = endpoint('db-unknown-underscore');
const LOCAL_INTERNAL = endpoint('local-internal');
const API_OTHER = endpoint('api-other');
const SYSTEM_SECURITY_PUT = endpoint('system-security-put');
const EXPORT = endpoint('db-export');
const GENERATE_API_KEY = endpoint('legacy-generate-api-key');

/** Server endpoints that require roles on a system database. */
const GRANTED_ON: Readonly<Record<string, string>> = {
  'db-updates': '_global_changes',
  replicate: '_replicator',
} satisfies Partial<Record<EndpointId, string>>;

/** Paths of the server that do not begin with an underscore. A dot is in no name of a database. */
const PAGES_OF_SERVER = new Set(['favicon.ico', 'dashboard.html']);

const NO_ALTERNATIVES: readonly Endpoint[] = Object.freeze([]);

/** The field `database` of the form in the body names the database. */
const SET_PERMISSIONS: Operation = Object.freeze({
  endpoint: endpoint('legacy-set-permissions'),
  alternatives: NO_ALTERNATIVES,
  decidedByBody: 'database-from-form',
  database: undefined,
  documentId: undefined,
});

export interface ClassifyRules extends ListRules {
  readonly storeDatabase: string;
}

/** Finds the operation of one request; `destination` is the parsed header of a COPY. */
export type Classify = (method: string, target: Target, destination: Destination | undefined) => Operation;

/**
 * Makes the function that finds the operation of a request. It is pure and always returns an operation: a
 * request that matches no endpoint gets a blocked one. Couchgate's own databases are blocked for everybody in
 * every spelling, because they hold the API keys and the history of permissions.
 */
export function createClassify(rules: ClassifyRules): Classify {
  const reserved = new Set(ownDatabases(rules.storeDatabase));
  const onServer = withLists(onServerByDefault, rules);
  return function classify(method, { segments }, destination) {
    const first = segments[0] ?? '';
    if (segments.length === 0 || (segments.length === 1 && PAGES_OF_SERVER.has(first))) {
      return onServer(method, segments);
    }
    if (first.charCodeAt(0) === UNDERSCORE) {
      if (first === '_users') return inUsers(method, segments, destination);
      if (first === '_replicator') return inDatabase(replicatorTrie, method, segments, destination);
      if (first === '_global_changes') return inDatabase(globalChangesTrie, method, segments, destination);
      if (first === '_api') return inApi(method, segments, reserved);
      return onServer(method, segments);
    }
    if (first === 'api' && method === 'POST' && segments.length === 2) {
      if (segments[1] === 'generate_api_key') return operation(GENERATE_API_KEY, undefined, undefined);
      if (segments[1] === 'set_permissions') return SET_PERMISSIONS;
    }
    if (reserved.has(first)) return operation(STORE, first, undefined);
    const kind = kindOfName(first);
    if (kind === 'illegal') {
      const creates = method === 'PUT' && segments.length === 1;
      return operation(creates ? illegalCreation(first) : ILLEGAL_NAME, first, undefined);
    }
    return inDatabase(kind === 'system' ? prefixedSystemTrie : ordinaryTrie, method, segments, destination);
  };
}

function onServerByDefault(method: string, segments: readonly string[]): Operation {
  const { first } = matchesFor(serverTrie.walk(segments, 0), method);
  if (method === 'OPTIONS') return operation(explainedToEverybody(first), undefined, undefined);
  if (first === UNROUTED && method === 'PUT' && segments.length === 1) {
    return operation(illegalCreation(segments[0] ?? ''), undefined, undefined);
  }
  const { permit } = first;
  const granting = permit.kind === 'blocked' ? (permit.after ?? first) : first;
  return operation(first, GRANTED_ON[granting.id], undefined);
}

/** CouchDB answers OPTIONS on the public paths of the server as any other wrong method, whoever sends it. */
function explainedToEverybody(refused: Endpoint): Endpoint {
  const { permit } = refused;
  if (permit.kind !== 'blocked' || permit.explainedTo !== 'signed-in') return refused;
  return { ...refused, permit: { ...permit, explainedTo: 'everybody' } };
}

/**
 * Classifies `/_api`. Before `/_export`, and before `/_security` and what is below it, the database name may
 * hold unencoded slashes: IBM declares it as `<path:db>`. A path that ends in `_security` is that of the
 * object itself.
 */
function inApi(method: string, segments: readonly string[], reserved: ReadonlySet<string>): Operation {
  if (segments[1] === 'v2' && segments[2] === 'db' && segments.length >= 5 && segments.at(-1) === '_export')
    return exportOf(method, segments.slice(3, -1).join('/'), reserved);
  const at = segments[1] === 'v2' && segments[2] === 'db' ? securitySegment(segments) : -1;
  if (at < 4) return onServerByDefault(method, segments);
  const database = segments.slice(3, at).join('/');
  if (reserved.has(database)) return operation(STORE, database, undefined);
  if (!isOpenToGrants(database)) {
    const isSystem = database === '_users' || kindOfName(database) === 'system';
    const isPut = method === 'PUT' && at === segments.length - 1;
    return operation(isSystem && isPut ? SYSTEM_SECURITY_PUT : API_OTHER, database, undefined);
  }
  if (at < segments.length - 1) {
    const below = BELOW_SECURITY.get(segments[at + 1] ?? '')?.[segments.length - at - 2];
    const isMethod = below !== undefined && below.methods.includes(method as Method);
    return operation(isMethod ? below : API_OTHER, database, undefined);
  }
  const { first } = matchesFor(ordinaryTrie.walk(['', '_security'], 1), method);
  return operation(API_SECURITY[first.id] ?? first, database, undefined);
}

/**
 * `/_api/v2/db/{db}/_export` exists on ordinary databases only: `_reader` on `_replicator` does not show the
 * credentials of jobs (H9, H33).
 */
function exportOf(method: string, database: string, reserved: ReadonlySet<string>): Operation {
  if (reserved.has(database)) return operation(STORE, database, undefined);
  const isThere = method === 'GET' && kindOfName(database) === 'ordinary';
  return operation(isThere ? EXPORT : API_OTHER, database, undefined);
}

/** The segment `_security` that names the object: the last one, or the one before what is below it. */
function securitySegment(segments: readonly string[]): number {
  const last = segments.length - 1;
  for (let at = last; at >= last - 2; at -= 1) if (segments[at] === '_security') return at;
  return -1;
}

/** Endpoints below `_security`, by the next segment and the number of segments after that. */
const BELOW_SECURITY: ReadonlyMap<string, readonly Endpoint[]> = new Map([
  ['history', [endpoint('api-security-history'), endpoint('api-security-revision')]],
  ['rollback', [endpoint('api-security-rollback')]],
]);

const API_SECURITY: Readonly<Record<string, Endpoint>> = {
  'security-get': endpoint('api-security-get'),
  'security-put': endpoint('api-security-put'),
} satisfies Partial<Record<EndpointId, Endpoint>>;

/**
 * Marks `GET`, `HEAD` and `PUT` of one user document, without its attachments: authorize decides whether it
 * is the caller's own.
 */
function inUsers(
  method: string,
  segments: readonly string[],
  destination: Destination | undefined,
): Operation {
  const found = inDatabase(usersTrie, method, segments, destination);
  if (segments.length !== 2 || found.documentId?.startsWith(USER_ID_PREFIX) !== true) return found;
  if (found.endpoint.id !== 'users-any') return found;
  if (method === 'GET' || method === 'HEAD') return { ...found, userDocument: 'read' };
  return method === 'PUT' ? { ...found, userDocument: 'write' } : found;
}

function inDatabase(
  trie: Trie,
  method: string,
  segments: readonly string[],
  destination: Destination | undefined,
): Operation {
  const matches = matchesFor(trie.walk(segments, 1), method);
  const database = segments[0];
  const id = documentId(matches, segments);
  if (matches.first === UNKNOWN_IN_DATABASE || hasIllegalAttachmentName(method, matches.place))
    return operation(unknownInDatabase(method, segments, destination), database, id);
  if (matches.place.scope === 'local' && isInternalLocal(segments[2] ?? '')) {
    return operation(LOCAL_INTERNAL, database, id);
  }
  if (method === 'COPY') return operation(copyEndpoint(matches, destination), database, id);
  if (matches.by === undefined || matches.by === 'destination') return operation(matches.first, database, id);
  return {
    endpoint: matches.first,
    alternatives: matches.alternatives,
    decidedByBody: matches.by,
    database,
    documentId: id,
  };
}

/**
 * Chooses the endpoint of a COPY by the class of its destination. Without one, or with an id that CouchDB
 * refuses or reserves, it is a blocked endpoint (H10).
 */
function copyEndpoint(matches: Matches, destination: Destination | undefined): Endpoint {
  if (matches.first.permit.kind === 'blocked') return matches.first;
  if (destination === undefined) return matches.by === undefined ? matches.first : MISSING_DESTINATION;
  const ids = classOfId(destination.id);
  if (ids === INTERNAL) return LOCAL_INTERNAL;
  if (ids === RESERVED) return RESERVED_DESTINATION;
  if (matches.by === undefined) return matches.first;
  return matches.alternatives.find((each) => ((each.choice?.ids ?? 0) & ids) !== 0) ?? UNKNOWN_IN_DATABASE;
}

function documentId(matches: Matches, segments: readonly string[]): string | undefined {
  const { scope } = matches.place;
  if (scope === 'doc' || scope === 'attachment') return segments[1];
  if (scope === 'design' || scope === 'local') return `${segments[1] ?? ''}/${segments[2] ?? ''}`;
  return undefined;
}

function matchesFor(leaf: Leaf, method: string): Matches {
  return leaf.byMethod.get(method) ?? leaf.otherwise;
}

function operation(endpoint: Endpoint, database: string | undefined, id: string | undefined): Operation {
  return { endpoint, alternatives: NO_ALTERNATIVES, decidedByBody: undefined, database, documentId: id };
}
