// The trees of rows that classify walks: one for the server, one for each kind of database. Built once.
import { ENDPOINTS, endpoint, SYSTEM_ENDPOINTS } from '../catalogue/catalogue.ts';
import { type Endpoint, type Scope } from '../catalogue/endpoint.ts';
import { onPrefixedSystem, onReplicator, onUsers } from './overlay.ts';
import { buildTrie, type Trie } from './trie.ts';

/** Rows that no pattern of segments can find: index.ts names them itself. */
const NAMED_BY_HAND = new Set([
  'unrouted-underscore',
  'options-preflight',
  'unknown-method',
  'db-unknown-underscore',
  'local-internal',
  'api-security-get',
  'api-security-put',
  'legacy-generate-api-key',
  'legacy-set-permissions',
]);

const IN_DATABASE = new Set<Scope>(['db', 'partition', 'design', 'local', 'doc', 'attachment']);

/** These stand for rows of an ordinary database, see overlay.ts. */
const OVERLAYS = new Set(SYSTEM_ENDPOINTS);

const found = ENDPOINTS.filter((row) => !NAMED_BY_HAND.has(row.id));
const wrongMethod = endpoint('unknown-method');

function databaseTrie(overlay?: (row: Endpoint) => Endpoint): Trie {
  return buildTrie({
    endpoints: found.filter((row) => IN_DATABASE.has(row.scope)),
    skip: 1,
    unknown: endpoint('db-unknown-underscore'),
    wrongMethod,
    ...(overlay === undefined ? {} : { overlay }),
  });
}

export const serverTrie: Trie = buildTrie({
  endpoints: found.filter((row) => !IN_DATABASE.has(row.scope) && !OVERLAYS.has(row)),
  skip: 0,
  unknown: endpoint('unrouted-underscore'),
  wrongMethod,
});

export const ordinaryTrie: Trie = databaseTrie();
export const usersTrie: Trie = databaseTrie(onUsers);
export const replicatorTrie: Trie = databaseTrie(onReplicator);
export const prefixedSystemTrie: Trie = databaseTrie(onPrefixedSystem);
