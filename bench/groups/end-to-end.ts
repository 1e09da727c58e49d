// Measures typical operations on a real CouchDB, directly and through Couchgate, interleaved on the same
// cores.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Cluster, startCluster } from '../../test/support/cluster.ts';
import { ask, basic, createKey, type Credentials, grant, openSession, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { type Load } from '../load/load.ts';
import { hasNginx, startServer } from '../process.ts';
import { resultTable } from '../report.ts';
import { interleave, type Result, type Variant } from '../rounds.ts';

const DIRECT = 'direct, basic';
const THROUGH = 'Couchgate, key';
const BARE = 'bare http-proxy, basic';
const LIBRARIES = 'Express + undici, basic';
const NGINX = 'nginx, basic';
const NEIGHBOUR = 'couch-auth-proxy, basic';
/**
 * Least requests per second, compared with nginx. On shared cores every process between client and CouchDB
 * takes a part; nginx checks nothing, and takes the least that a proxy can take.
 */
const TARGET = 0.95;
/** A multiple of the number of nodes, so that all nodes get the same number of connections. */
const CONNECTIONS = 15;
const DOCUMENTS = 1000;
const USER: Credentials = { name: 'bench-user', password: 'bench-password' };
/** A built checkout of couch-auth-proxy, which needs Node 24; without it, its row is left out. */
const NEIGHBOUR_FOLDER = process.env['COUCH_AUTH_PROXY'];
/** It adds a design document with a validation function to its databases. */
const FILTERED = ['filtered', 'filtered-written'];
/** Longer than the longest run. */
const SESSION_SECONDS = '86400';

interface Operation {
  readonly name: string;
  /** Also measured on three nodes in a short run. */
  readonly everywhere?: boolean;
  /** `{read}` and `{write}` stand for the databases of the route. */
  readonly load: Pick<Load, 'path' | 'method' | 'body' | 'sequence'>;
}

const json = (value: unknown): string => JSON.stringify(value);
const someDocument = (n: number): object => ({ group: n % 40, number: n, text: 'x'.repeat(400) });

const OPERATIONS: readonly Operation[] = [
  { name: 'GET a document', everywhere: true, load: { path: '/{read}/doc-7' } },
  {
    name: 'PUT a document',
    everywhere: true,
    load: { method: 'PUT', path: '/{write}/{n}', body: json(someDocument(1)), sequence: [{}] },
  },
  {
    name: 'POST _bulk_docs, 100',
    load: {
      method: 'POST',
      path: '/{write}/_bulk_docs',
      body: json({ docs: Array.from({ length: 100 }, (_, n) => someDocument(n)) }),
    },
  },
  { name: 'GET _all_docs, 1 000', load: { path: '/{read}/_all_docs?limit=1000' } },
  {
    name: 'GET a view, 100 rows',
    load: { path: '/{read}/_design/app/_view/by_number?limit=100' },
  },
  {
    name: 'POST _find, 25',
    load: { method: 'POST', path: '/{read}/_find', body: json({ selector: { group: 7 }, limit: 25 }) },
  },
  { name: 'GET _changes, 100', load: { path: '/{read}/_changes?limit=100' } },
];

export const endToEnd: Group = { name: 'end-to-end', title: 'End to end on a real CouchDB', run };

async function run(plan: Plan): Promise<Section> {
  if (process.env['COUCHDB_HOME'] === undefined) {
    return {
      text: 'Not measured: this group needs an installed CouchDB in COUCHDB_HOME.',
      tables: [],
      findings: [],
    };
  }
  const tables: Table[] = [];
  const findings: Finding[] = [];
  for (const nodes of [1, 3] as const) {
    const ways = await prepare(plan, nodes);
    for (const operation of OPERATIONS) {
      if (nodes === 3 && !plan.long && operation.everywhere !== true) continue;
      const title = `${operation.name}; ${nodes === 1 ? 'one node' : 'three nodes'}`;
      plan.note(title);
      // V8 compiles the code of an operation again after some thousand requests.
      const warmSeconds = operation === OPERATIONS[0] ? 15 : 6;
      const results = await interleave(variantsOf(operation, ways.all, plan.long), DIRECT, {
        ...plan,
        warmSeconds,
      });
      tables.push(resultTable(results, DIRECT, title));
      findings.push(...findingsOf(title, results));
    }
    if (nodes === 1 && NEIGHBOUR_FOLDER !== undefined)
      tables.push(...(await measureNeighbour(plan, ways, NEIGHBOUR_FOLDER)));
    await ways.close();
  }
  return {
    text:
      `Medians of ${String(plan.rounds)} interleaved rounds of ${String(plan.seconds)} s, ${String(CONNECTIONS)} connections; load generator, ` +
      'Couchgate and CouchDB share the same cores. `direct` is a CouchDB user on separate databases with the same content, with connections to ' +
      'all nodes. nginx, bare http-proxy, and Express with undici forward the same requests to one node without checks; couch-auth-proxy decides for each document. CPU is counted per process.',
    tables,
    findings,
  };
}

/**
 * Measures couch-auth-proxy after all others: it goes on reading changes and building its views after each
 * write, which would take the cores from whatever is measured next.
 */
async function measureNeighbour(plan: Plan, ways: Ways, folder: string): Promise<readonly Table[]> {
  const both = [...ways.all.filter(({ name }) => name === DIRECT), await ways.startNeighbour(folder)];
  const tables: Table[] = [];
  for (const operation of OPERATIONS) {
    const title = `${operation.name}; one node, couch-auth-proxy`;
    plan.note(title);
    const results = await interleave(variantsOf(operation, both, plan.long), DIRECT, {
      ...plan,
      warmSeconds: 5,
    });
    tables.push(resultTable(results, DIRECT, title));
  }
  return tables;
}

/** None without nginx, which stands before a single node only. */
function findingsOf(title: string, results: readonly Result[]): readonly Finding[] {
  const ratioOf = (name: string): number | undefined => results.find((one) => one.name === name)?.ratio;
  const [nginx, libraries = NaN, couchgate = NaN] = [NGINX, LIBRARIES, THROUGH].map(ratioOf);
  if (nginx === undefined) return [];
  const ratio = couchgate / nginx;
  return [
    {
      target: `${title}: with a key ≥ ${String(TARGET)} of nginx`,
      measured:
        `${ratio.toFixed(2)}, Express and undici alone ${(libraries / nginx).toFixed(2)}; ` +
        `of direct ${couchgate.toFixed(2)}, nginx ${nginx.toFixed(2)}`,
      holds: ratio >= TARGET,
    },
  ];
}

/** A route: URL, credentials, and the processes that serve it. */
interface Way extends Pick<Variant, 'name' | 'processes'> {
  readonly url: string;
  readonly others?: readonly string[];
  readonly databases: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly inShortRuns: boolean;
}

interface Ways {
  readonly all: readonly Way[];
  /** Starts couch-auth-proxy, built in `folder`, before the first node. */
  readonly startNeighbour: (folder: string) => Promise<Way>;
  readonly close: () => Promise<void>;
}

function variantsOf(operation: Operation, ways: readonly Way[], long: boolean): readonly Variant[] {
  return ways
    .filter((way) => long || way.inShortRuns)
    .map(({ name, processes, url, others = [], databases, headers }) => ({
      name,
      processes,
      load: {
        ...operation.load,
        path: operation.load.path.replace('{read}', databases).replace('{write}', `${databases}-written`),
        url,
        others,
        headers: {
          ...headers,
          ...(operation.load.body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        connections: CONNECTIONS,
      },
    }));
}

async function prepare(plan: Plan, nodes: 1 | 3): Promise<Ways> {
  plan.note(`starting CouchDB, ${nodes === 1 ? 'one node' : 'three nodes'}`);
  const cluster = await startCluster({ nodes, ini: `[chttpd_auth]\ntimeout = ${SESSION_SECONDS}` });
  plan.atEnd(() => cluster.close());
  const couchgate = await startCouchgate(plan, {
    nodes: cluster.urls,
    backend: cluster,
    settings: { COUCHGATE_SESSION_TIMEOUT_SECONDS: SESSION_SECONDS },
  });
  const key = await fill(couchgate.url, cluster);
  const couchdb = couchdbProcesses(cluster);
  const first = cluster.nodes[0].url;
  const others = cluster.urls.slice(1);
  // To all nodes, as Couchgate does: three nodes at a third of the load need more CPU than one node.
  const direct = { url: first, others, databases: 'direct', processes: couchdb };
  const proxy = async (name: string, server: string): Promise<Way> => {
    const { url, pid, stop } = await startServer(server, [first]);
    plan.atEnd(stop);
    const processes = { proxy: pid, ...couchdb };
    return { name, url, databases: 'direct', processes, ...byPassword(USER), inShortRuns: true };
  };
  const through = {
    url: couchgate.url,
    databases: 'guarded',
    processes: { proxy: couchgate.pid, ...couchdb },
  };
  const startNeighbour = async (folder: string): Promise<Way> => {
    const { name, password } = cluster.owner;
    const args = [folder, first, name, password, FILTERED.join(',')];
    const { url, pid, stop } = await startServer('couch-auth-proxy', args);
    plan.atEnd(stop);
    const processes = { proxy: pid, ...couchdb };
    return { name: NEIGHBOUR, url, databases: 'filtered', processes, ...byPassword(USER), inShortRuns: true };
  };
  const byPassword = (who: Credentials) => ({ headers: { Authorization: basic(who) } });
  const bySession = async (url: string, who: Credentials) => ({
    headers: { Cookie: await openSession(url, who) },
  });
  return {
    all: [
      { name: DIRECT, ...direct, ...byPassword(USER), inShortRuns: true },
      { name: 'direct, cookie', ...direct, ...(await bySession(direct.url, USER)), inShortRuns: false },
      ...(nodes === 1
        ? [await proxy(BARE, 'bare-http-proxy'), await proxy(LIBRARIES, 'express-undici')]
        : []),
      ...(nodes === 1 && hasNginx() ? [await proxy(NGINX, 'nginx')] : []),
      { name: THROUGH, ...through, ...byPassword(key), inShortRuns: true },
      { name: 'Couchgate, cookie', ...through, ...(await bySession(through.url, key)), inShortRuns: false },
      { name: 'Couchgate, user', ...through, ...byPassword(USER), inShortRuns: false },
    ],
    startNeighbour,
    async close() {
      await couchgate.stop();
      await cluster.close();
    },
  };
}

/**
 * Creates the same content three times: protected by CouchDB itself, by Couchgate, and for couch-auth-proxy; a
 * user with access to all; and a key. Returns the key.
 */
async function fill(url: string, { owner, nodes }: Cluster): Promise<Credentials> {
  const { name, password } = USER;
  const direct = nodes[0].url;
  await ask(direct, owner, 'PUT', `/_users/org.couchdb.user:${name}`, {
    name,
    password,
    type: 'user',
    roles: [],
  });
  const key = await createKey(url, owner);
  const roles = ['_reader', '_writer'];
  for (const database of ['direct', 'direct-written', ...FILTERED]) {
    await ask(direct, owner, 'PUT', `/${database}`);
    await ask(direct, owner, 'PUT', `/${database}/_security`, {
      members: { names: [name] },
      admins: { roles: ['_admin'] },
    });
  }
  for (const database of ['guarded', 'guarded-written']) {
    await ask(url, owner, 'PUT', `/${database}`);
    await grant(url, owner, database, { [key.name]: roles, [name]: roles });
  }
  for (const database of ['direct', 'guarded', 'filtered']) await fillDatabase(direct, owner, database);
  return key;
}

async function fillDatabase(url: string, owner: Credentials, database: string): Promise<void> {
  const docs = Array.from({ length: DOCUMENTS }, (_, n) => ({ _id: `doc-${String(n)}`, ...someDocument(n) }));
  await ask(url, owner, 'POST', `/${database}/_bulk_docs`, { docs });
  await ask(url, owner, 'PUT', `/${database}/_design/app`, {
    views: { by_number: { map: 'function (doc) { emit(doc.number, doc.group); }' } },
  });
  await ask(url, owner, 'POST', `/${database}/_index`, { index: { fields: ['group'] }, name: 'by-group' });
  await ask(url, owner, 'GET', `/${database}/_design/app/_view/by_number?limit=1`);
}

/** Process ids of CouchDB by name; the cluster stores each beside its log. */
function couchdbProcesses({ nodes }: Cluster): Readonly<Record<string, number>> {
  const pids = nodes.map(({ logFile }) => Number(readFileSync(join(dirname(logFile), 'pid'), 'utf8')));
  return Object.fromEntries(
    pids.map((pid, at) => [`CouchDB${pids.length === 1 ? '' : ` ${String(at + 1)}`}`, pid]),
  );
}
