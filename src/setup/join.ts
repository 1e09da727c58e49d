// Joins several running, configured CouchDB nodes into one cluster.
import { setTimeout as wait } from 'node:timers/promises';
import { type Admin, fieldsOf, reasonOf, succeeded } from './admin.ts';

const POLL_MS = 100;

type Admins = readonly [Admin, ...Admin[]];

export interface JoinLimits {
  /** Time for fresh nodes to start, join and create the system databases. */
  readonly timeoutMs: number;
  /**
   * Time to wait for the other nodes of a finished cluster that already has a majority. Default: `timeoutMs`.
   */
  readonly graceMs?: number;
}

/** Result of a join. */
export interface Joined {
  /** The nodes that are usable now, in the order of their URLs. */
  readonly present: Admins;
  /** Erlang names of the usable nodes: `present`, and nodes whose URL was not passed. */
  readonly names: readonly string[];
  /** Nodes of a finished cluster that are not usable now: URL or name, and the reason. */
  readonly missing: readonly { readonly node: string; readonly reason: string }[];
}

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
    admins.map((admin) => until(timeoutMs, `${admin.url} did not come up`, () => isUp(admin))),
  );
}

async function isUp(admin: Admin): Promise<boolean> {
  const status = await admin.ask('GET', '/_up').then(
    (answer) => answer.status,
    () => 0,
  );
  return status === 200 || status === 404;
}

/**
 * Joins the nodes and creates the system databases. Idempotent: steps that are already done are skipped. A
 * single node is set up the same way. A cluster that is already finished does not need every node: a majority
 * is enough, so that one broken node does not keep Couchgate from starting. Rejects if fresh nodes cannot be
 * joined, or if a finished cluster has no majority.
 * docs.couchdb.org/en/stable/setup/cluster.html#the-cluster-setup-api
 */
export async function joinCluster(
  admins: Admins,
  { timeoutMs, graceMs = timeoutMs }: JoinLimits,
): Promise<Joined> {
  const end = performance.now() + timeoutMs;
  const graceEnd = performance.now() + graceMs;
  for (;;) {
    const up = await Promise.all(admins.map(isUp));
    const away = admins.filter((_, at) => up[at] === false).map(({ url }) => url);
    if (away.length === 0) return joinRunning(admins, Math.max(0, end - performance.now()), graceMs);
    // A majority may be enough, but the other nodes get their time first.
    if (performance.now() > graceEnd) {
      const cluster = await finishedCluster(admins);
      if (cluster !== undefined) return cluster;
    }
    if (performance.now() > end)
      throw new Error(`${away.join(' and ')} did not come up within ${timeoutMs} ms`);
    await wait(POLL_MS);
  }
}

/** Joins nodes that all answer. One that cannot join a finished cluster counts as missing. */
async function joinRunning(admins: Admins, timeoutMs: number, graceMs: number): Promise<Joined> {
  const cluster = await finishedCluster(admins);
  if (cluster === undefined) return joinEvery(admins, timeoutMs);
  if (cluster.missing.length === 0) return cluster;
  try {
    return await joinEvery(admins, graceMs);
  } catch (error) {
    const now = await finishedCluster(admins);
    if (now === undefined) throw error;
    return now;
  }
}

/** Joins the nodes and waits until each of them is a usable member. */
async function joinEvery(admins: Admins, timeoutMs: number): Promise<Joined> {
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
  return { present: admins, names: await clusterNodes(first), missing: [] };
}

/** The state of the cluster as one node reports it. */
interface Member {
  readonly admin: Admin;
  /** Why the node is not usable; undefined = it is. */
  readonly reason: string | undefined;
  readonly name: string;
  readonly members: readonly string[];
  /** Members that it is connected to, itself included. */
  readonly connected: readonly string[];
}

/**
 * Returns the finished cluster to which a majority of the nodes belongs, or undefined. Fresh nodes, and nodes
 * of another cluster, are missing in it.
 */
async function finishedCluster(admins: Admins): Promise<Joined | undefined> {
  const all = await Promise.all(admins.map(memberOf));
  const first = all.find(
    ({ reason, members, connected }) => reason === undefined && 2 * connected.length > members.length,
  );
  if (first === undefined) return undefined;
  const { members, connected } = first;
  const isPresent = ({ reason, name }: Member): boolean => reason === undefined && connected.includes(name);
  const present = all.filter(isPresent);
  const [one, ...others] = present.map(({ admin }) => admin);
  // `connected` may contain nodes whose URL was not passed. What counts is what can be checked here.
  if (one === undefined || 2 * present.length <= admins.length) return undefined;
  const absent = all.filter((member) => !isPresent(member));
  const named = new Set(all.map(({ name }) => name));
  // A node that does not answer has no name here: it may be any member that is not connected.
  const unnamed = absent.some(({ name }) => name === '')
    ? []
    : members.filter((name) => !connected.includes(name) && !named.has(name));
  const reason = 'it is not connected to the cluster';
  return {
    present: [one, ...others],
    names: connected.filter((name) => !absent.some((member) => member.name === name)),
    missing: [
      ...absent.map((member) => ({ node: member.admin.url, reason: member.reason ?? reason })),
      ...unnamed.map((node) => ({ node, reason })),
    ],
  };
}

async function memberOf(admin: Admin): Promise<Member> {
  try {
    const name = await nodeName(admin);
    const body = fieldsOf((await admin.ask('GET', '/_membership')).body);
    const members = namesIn(body['cluster_nodes']);
    const connected = namesIn(body['all_nodes']).filter((each) => members.includes(each));
    // The state of `/_cluster_setup` is no proof: it also depends on the bind address.
    const isFinished = await hasSystemDatabases(admin);
    const reason = isFinished ? undefined : 'it has not joined the cluster: it has no system databases';
    return { admin, reason, name, members, connected };
  } catch (error) {
    return { admin, reason: reasonOf(error), name: '', members: [], connected: [] };
  }
}

async function finish(admin: Admin): Promise<void> {
  const { state } = fieldsOf((await admin.ask('GET', '/_cluster_setup')).body);
  if (state === 'cluster_finished' || state === 'single_node_enabled') return;
  const answer = await admin.ask('POST', '/_cluster_setup', { action: 'finish_cluster' });
  // 400 "Cluster is already finished": a concurrent run has finished the cluster.
  if (answer.status !== 400) succeeded(answer, 'finishing the cluster');
}

const SYSTEM_DATABASES = ['_users', '_replicator'];

async function hasSystemDatabases(admin: Admin): Promise<boolean> {
  const answers = await Promise.all(SYSTEM_DATABASES.map((database) => admin.ask('GET', `/${database}`)));
  return answers.every(({ status }) => status === 200);
}

async function untilSystemDatabases(admin: Admin, timeoutMs: number): Promise<void> {
  for (const database of SYSTEM_DATABASES) {
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
