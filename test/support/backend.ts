// The CouchDB that a test's Couchgate forwards to: the embedded node, or with COUCHDB_HOME a real cluster, so that one test runs on both.
import { randomBytes } from 'node:crypto';
import { startEmbeddedNode } from '../../src/embedded/index.ts';
import { openAdmin, succeeded, fieldsOf, type Admin, type AdminCredentials } from '../../src/setup/admin.ts';
import { startCluster, withoutCouchdb, type Cluster, type ClusterNode } from './cluster.ts';

export interface Backend {
  readonly kind: 'embedded' | 'couchdb';
  /** One address a node; the embedded node is always one. */
  readonly urls: readonly string[];
  readonly owner: AdminCredentials;
  readonly jwtSecretBase64: string;
  readonly kid: string;
  /** Nodes that can be killed and started again; empty on the embedded node. */
  readonly nodes: readonly ClusterNode[];
  /** What the nodes have logged so far; empty on the embedded node. */
  log(): Promise<string>;
  close(): Promise<void>;
}

/** Clusters of this test process by their number of nodes: a test file that asks twice gets the same one. */
const running = new Map<1 | 3, { readonly cluster: Promise<Cluster>; users: number }>();

/**
 * A CouchDB that is ready for Couchgate. One test process shares its real cluster: the last `close` of a cluster removes the databases
 * and users that the tests made, so concurrent users of one process must choose names of their own.
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

/** A new embedded node in memory, however many nodes were asked for. */
async function embeddedBackend(): Promise<Backend> {
  const owner = { name: 'admin', password: randomBytes(12).toString('hex') };
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

/** Removes every database that is not CouchDB's own, and every user. */
async function empty(cluster: Cluster): Promise<void> {
  const admin = openAdmin({ url: cluster.nodes[0].url, credentials: cluster.owner });
  const names = succeeded(await admin.ask('GET', '/_all_dbs'), 'listing databases') as readonly string[];
  const made = names.filter((name) => !name.startsWith('_'));
  await Promise.all(made.map((name) => admin.ask('DELETE', `/${encodeURIComponent(name)}`)));
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
