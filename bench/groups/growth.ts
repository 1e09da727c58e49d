// Measures the cost of a request with more keys, more databases, and more names in a security object.
import { type Backend } from '../../test/support/backend.ts';
import { ask, basic, type Credentials, grant, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { interleaveFresh, type Startable } from '../fresh-rounds.ts';
import { addKeys } from '../keys.ts';
import { type Load } from '../load/load.ts';
import { type Running } from '../process.ts';
import { resultTable } from '../report.ts';
import { interleave, type Result, type Variant } from '../rounds.ts';
import { openBackend, startTrivialUpstream } from '../upstream.ts';

const CONNECTIONS = 32;
const FEWEST_KEYS = 10;
/** The embedded node needs minutes for 100,000 documents, CouchDB some seconds. */
const KEYS = { embedded: [FEWEST_KEYS, 1000], couchdb: [FEWEST_KEYS, 1000, 100_000] } as const;
const MANY_DATABASES = 10_000;
const FEW_NAMES = 10;
const MANY_NAMES = 10_000;
const FLAT = 0.1;

export const growth: Group = { name: 'growth', title: 'Growth: more keys, databases and names', run };

async function run(plan: Plan): Promise<Section> {
  const backend = await openBackend(plan);
  const keys = await byKeys(plan, backend);
  const [databases, names] = await byDatabasesAndNames(plan, backend);
  const tables = [
    { caption: 'API keys in the store; ten of them send requests in turn', results: keys },
    { caption: 'Databases requested in turn', results: databases },
    { caption: 'Names in the security object of the database', results: names },
  ];
  return {
    text:
      `GET of a 500-byte document from the upstream of the ceiling, ${String(CONNECTIONS)} connections, ${String(plan.rounds)} interleaved rounds of ` +
      `${String(plan.seconds)} s after warm-up. CPU is that of Couchgate.`,
    tables: tables.map(({ caption, results }): Table =>
      resultTable(results, results[0]?.name ?? '', caption),
    ),
    findings: tables.map(({ caption, results }) => flat(caption, results)),
  };
}

/** CPU shows the cost of growth, and other load on the machine does not distort it. */
function flat(caption: string, results: readonly Result[]): Finding {
  const worst = Math.max(...results.map((result) => result.cpuRatio));
  return {
    target: `${caption}: CPU of a request flat within 10 %`,
    measured: results.map((result) => `${result.name}: ${result.cpuRatio.toFixed(2)}`).join(', '),
    holds: worst <= 1 + FLAT,
  };
}

async function byKeys(plan: Plan, backend: Backend): Promise<readonly Result[]> {
  const upstream = await startTrivialUpstream(plan, { bytes: 500, node: backend.urls[0] ?? '' });
  const startables: Startable[] = [];
  for (const count of KEYS[backend.kind]) {
    plan.note(`adding ${String(count)} keys`);
    const keys = await addKeys(backend, `store-${String(count)}`, count);
    const used = keys.filter((_, at) => at % (count / FEWEST_KEYS) === 0);
    startables.push(await withKeys(plan, { backend, upstream, count, used }));
  }
  return interleaveFresh(startables, String(FEWEST_KEYS), plan);
}

interface Stored {
  readonly backend: Backend;
  readonly upstream: Running;
  readonly count: number;
  readonly used: readonly Credentials[];
}

async function withKeys(plan: Plan, { backend, upstream, count, used }: Stored): Promise<Startable> {
  const name = String(count);
  const database = `growth-${name}`;
  const start = (): Promise<Running> =>
    startCouchgate(plan, {
      nodes: [upstream.url],
      backend,
      settings: { COUCHGATE_STORE_DATABASE: `store-${name}` },
    });
  const first = await start();
  await ask(first.url, backend.owner, 'PUT', `/${database}`);
  await grant(first.url, backend.owner, database, readers(used));
  await first.stop();
  const sequence = used.map((key) => ({ authorization: basic(key) }));
  return {
    name,
    async start() {
      const { url, pid, stop } = await start();
      const processes = { couchgate: pid };
      return { name, stop, processes, load: { ...load(url), path: `/${database}/doc`, sequence } };
    },
  };
}

async function byDatabasesAndNames(
  plan: Plan,
  backend: Backend,
): Promise<[databases: readonly Result[], names: readonly Result[]]> {
  const [key = { name: '', password: '' }] = await addKeys(backend, 'couchgate', 1);
  const granted = (names: number): Readonly<Record<string, readonly string[]>> =>
    readers([key, ...strangers(names - 1)]);
  const upstream = await startTrivialUpstream(plan, {
    bytes: 500,
    node: backend.urls[0] ?? '',
    databases: { few: granted(FEW_NAMES), many: granted(MANY_NAMES) },
  });
  // One process serves all variants: two processes with the same code can differ by 10 % for their whole
  // life.
  const couchgate = await startCouchgate(plan, { nodes: [upstream.url], backend });
  const asking = (name: string, databases: readonly string[]): Variant => ({
    name,
    processes: { couchgate: couchgate.pid },
    load: {
      ...load(couchgate.url),
      headers: { Authorization: basic(key) },
      sequence: databases.map((database) => ({ path: `/${database}/doc` })),
    },
  });
  const all = Array.from({ length: MANY_DATABASES }, (_, n) => `few-${String(n)}`);
  const databases = [asking('1', ['few-0']), asking(String(MANY_DATABASES), all)];
  const names = [asking(String(FEW_NAMES), ['few-0']), asking(String(MANY_NAMES), ['many-0'])];
  return [await interleave(databases, '1', plan), await interleave(names, String(FEW_NAMES), plan)];
}

function load(url: string): Pick<Load, 'url' | 'path' | 'connections'> {
  return { url, path: '', connections: CONNECTIONS };
}

function readers(keys: readonly Pick<Credentials, 'name'>[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(keys.map(({ name }) => [name, ['_reader']]));
}

function strangers(count: number): readonly { readonly name: string }[] {
  return Array.from({ length: count }, (_, n) => ({ name: `stranger-${String(n)}` }));
}
