// Joins several running, configured CouchDB nodes into one cluster.
import { setTimeout as wait } from 'node:timers/promises';
import { type Admin, fieldsOf, succeeded } from './admin.ts';

const POLL_MS = 100;

/** Returns the Erlang node name, for example `couchdb@10.0.0.1`. */
export async function nodeName(admin: Admin): Promise<string> {
  const { name } = fieldsOf(
    succeeded(await admin.ask('GET', '/_node/_local'), `reading the node name of ${admin.url}`),
  );
  if (typeof name !== 'string')
    throw new Error(`${admin.url} did not return its node name; is it CouchDB 3?`);
  return name;
}

/** Returns the names of all nodes in the cluster of this node. */
export async function clusterNodes(admin: Admin): Promise<readonly string[]> {
  const body = succeeded(await admin.ask('GET', '/_membership'), `reading the cluster of ${admin.url}`);
  return namesIn(fieldsOf(body)['cluster_nodes']);
}

/**
 * Waits until each node answers `GET /_up`. Status 404 also counts: a node that has not joined yet returns
 * it. Rejects after `timeoutMs`.
 */
export async function untilUp(admins: readonly Admin[], timeoutMs: number): Promise<void> {
  await Promise.all(
    admins.map((admin) =>
      until(timeoutMs, `${admin.url} did not come up`, async () => {
        const status = await admin.ask('GET', '/_up').then(
          (answer) => answer.status,
          () => 0,
        );
        return status === 200 || status === 404;
      }),
    ),
  );
}

/**
 * Joins the nodes and creates the system databases. Idempotent: steps that are already done are skipped. A
 * single node is set up the same way. Returns the node names in the order of `admins`.
 * docs.couchdb.org/en/stable/setup/cluster.html#the-cluster-setup-api
 */
export async function joinCluster(
  admins: readonly [Admin, ...Admin[]],
  timeoutMs: number,
): Promise<readonly string[]> {
  await untilUp(admins, timeoutMs);
  const names = await Promise.all(admins.map(nodeName));
  const [first] = admins;
  const known = await clusterNodes(first);
  for (const name of names.filter((each) => !known.includes(each))) {
    const answer = await first.ask('PUT', `/_node/_local/_nodes/${encodeURIComponent(name)}`, {});
    // 409: a concurrent run has joined the node.
    if (answer.status !== 409) succeeded(answer, `joining ${name}`);
  }
  await Promise.all(
    admins.map((admin) =>
      until(timeoutMs, `${admin.url} does not see every node`, async () => {
        const body = fieldsOf((await admin.ask('GET', '/_membership')).body);
        const seen = namesIn(body['all_nodes']);
        const members = namesIn(body['cluster_nodes']);
        return names.every((name) => seen.includes(name) && members.includes(name));
      }),
    ),
  );
  await finish(first);
  await Promise.all(admins.map((admin) => untilSystemDatabases(admin, timeoutMs)));
  return names;
}

async function finish(admin: Admin): Promise<void> {
  const { state } = fieldsOf((await admin.ask('GET', '/_cluster_setup')).body);
  if (state === 'cluster_finished' || state === 'single_node_enabled') return;
  const answer = await admin.ask('POST', '/_cluster_setup', { action: 'finish_cluster' });
  // 400 "Cluster is already finished": a concurrent run has finished the cluster.
  if (answer.status !== 400) succeeded(answer, 'finishing the cluster');
}

async function untilSystemDatabases(admin: Admin, timeoutMs: number): Promise<void> {
  for (const database of ['_users', '_replicator']) {
    await until(
      timeoutMs,
      `${admin.url} has no ${database}`,
      async () => (await admin.ask('GET', `/${database}`)).status === 200,
    );
  }
}

async function until(timeoutMs: number, otherwise: string, done: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`${otherwise} within ${timeoutMs} ms`);
    await wait(POLL_MS);
  }
}

function namesIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
}
