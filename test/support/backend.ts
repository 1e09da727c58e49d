// Starts the CouchDB behind a test's Couchgate: the embedded node, or with COUCHDB_HOME a real cluster.
import { randomBytes } from 'node:crypto';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { openAdmin, succeeded, fieldsOf, type Admin, type AdminCredentials } from '../../src/setup/admin.ts';
import { startCluster, withoutCouchdb, type Cluster, type ClusterNode } from './cluster.ts';

export interface Backend {
  readonly kind: 'embedded' | 'couchdb';
  /** One URL per node; the embedded node has one. */
  readonly urls: readonly string[];
  readonly owner: AdminCredentials;
  readonly jwtSecretBase64: string;
  readonly kid: string;
  /** Nodes that a test can kill and restart; empty for the embedded node. */
  readonly nodes: readonly ClusterNode[];
  /** The logs of the nodes; empty for the embedded node. */
  log(): Promise<string>;
  close(): Promise<void>;
}

/** Clusters of this test process by number of nodes, so that a file that needs one twice shares it. */
const running = new Map<1 | 3, { readonly cluster: Promise<Cluster>; users: number }>();

/**
 * Starts a CouchDB that is set up for Couchgate. A test process shares its real cluster. The last `close` of
 * a cluster removes the databases and users of the tests, so concurrent users must choose different names.
 */
export async function startBackend(options: { readonly nodes?: 1 | 3 } = {}): Promise<Backend> {
  const nodes = options.nodes ?? 1;
  if (withoutCouchdb !== false) return embeddedBackend();
  const entry = running.get(nodes) ?? { cluster: startCluster({ nodes }), users: 0 };
  running.set(nodes, entry);
  entry.users += 1;
  const cluster = await entry.cluster;
  return {
    kind: 'couchdb',
    urls: cluster.urls,
    owner: cluster.owner,
    jwtSecretBase64: cluster.jwtSecretBase64,
    kid: cluster.kid,
    nodes: cluster.nodes,
    log: async () => (await Promise.all(cluster.nodes.map((node) => node.log()))).join('\n'),
    async close() {
      entry.users -= 1;
      if (entry.users === 0) await empty(cluster);
    },
  };
}

/** Starts an embedded node in memory; it ignores the number of nodes. */
export async function embeddedBackend(
  owner: AdminCredentials = { name: 'admin', password: randomBytes(12).toString('hex') },
): Promise<Backend> {
  const kid = 'couchgate';
  const secret = randomBytes(32);
  const node = await startEmbeddedNode({ folder: undefined, owner, jwtKeys: { [kid]: secret } });
  return {
    kind: 'embedded',
    urls: [node.url],
    owner,
    jwtSecretBase64: secret.toString('base64'),
    kid,
    nodes: [],
    log: () => Promise.resolve(''),
    close: () => node.close(),
  };
}

/** Removes every database except CouchDB's own, and every user. */
async function empty(cluster: Cluster): Promise<void> {
  const admin = openAdmin({ url: cluster.nodes[0].url, credentials: cluster.owner });
  const names = succeeded(await admin.ask('GET', '/_all_dbs'), 'listing databases') as readonly string[];
  const created = names.filter((name) => !name.startsWith('_'));
  await Promise.all(created.map((name) => admin.ask('DELETE', `/${encodeURIComponent(name)}`)));
  for (const database of ['_users', '_replicator']) await emptyDatabase(admin, database);
}

async function emptyDatabase(admin: Admin, database: string): Promise<void> {
  const body = fieldsOf(succeeded(await admin.ask('GET', `/${database}/_all_docs`), `listing ${database}`));
  const rows = body['rows'] as readonly { readonly id: string; readonly value: { readonly rev: string } }[];
  const docs = rows
    .filter((row) => !row.id.startsWith('_design/'))
    .map((row) => ({ _id: row.id, _rev: row.value.rev, _deleted: true }));
  if (docs.length > 0) await admin.ask('POST', `/${database}/_bulk_docs`, { docs });
}
