// Builds the tries of path patterns at start: one for the server, and one for each kind of database.
import { ENDPOINTS, endpoint, type EndpointId, SYSTEM_ENDPOINTS } from '../catalogue/catalogue.ts';
import { type Endpoint, type Scope } from '../catalogue/endpoint.ts';
import { onGlobalChanges, onPrefixedSystem, onReplicator, onUsers } from './overlay.ts';
import { buildTrie, type Trie } from './trie.ts';

/** Endpoints whose patterns are in no trie: classify.ts selects them, or they answer for unknown paths. */
const SELECTED_BY_CODE: ReadonlySet<string> = new Set<EndpointId>([
  'unrouted-underscore',
  'options-preflight',
  'unknown-method',
  'db-unknown-underscore',
  'local-internal',
  'api-security-get',
  'api-security-put',
  'api-security-history',
  'api-security-revision',
  'api-security-rollback',
  'db-export',
  'legacy-generate-api-key',
  'legacy-set-permissions',
]);

const IN_DATABASE = new Set<Scope>(['db', 'partition', 'design', 'local', 'doc', 'attachment']);

/** overlay.ts applies these to the paths of an ordinary database. */
const OVERLAYS = new Set(SYSTEM_ENDPOINTS);

const searchable = ENDPOINTS.filter((each) => !SELECTED_BY_CODE.has(each.id));
const wrongMethod = endpoint('unknown-method');

function databaseTrie(overlay?: (ordinary: Endpoint) => Endpoint): Trie {
  return buildTrie({
    endpoints: searchable.filter((each) => IN_DATABASE.has(each.scope)),
    skip: 1,
    unknown: endpoint('db-unknown-underscore'),
    wrongMethod,
    ...(overlay === undefined ? {} : { overlay }),
  });
}

/** Trie of all paths outside a database. */
export const serverTrie: Trie = buildTrie({
  endpoints: searchable.filter((each) => !IN_DATABASE.has(each.scope) && !OVERLAYS.has(each)),
  skip: 0,
  unknown: endpoint('unrouted-underscore'),
  wrongMethod,
});

/** Tries of the paths in a database, by kind of database. */
export const ordinaryTrie: Trie = databaseTrie();
export const usersTrie: Trie = databaseTrie(onUsers);
export const globalChangesTrie: Trie = databaseTrie(onGlobalChanges);
export const replicatorTrie: Trie = databaseTrie(onReplicator);
export const prefixedSystemTrie: Trie = databaseTrie(onPrefixedSystem);
