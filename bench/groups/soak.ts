// Measures the memory of a worker that serves many keys, databases and feeds for a long time.
import { type Backend } from '../../test/support/backend.ts';
import { ask, basic, createKey, type Credentials, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { addKeys } from '../keys.ts';
import { sendEachOnce } from '../load/each-once.ts';
import { type Feeds, openFeeds } from '../load/feeds.ts';
import { percentile, type RunningRate, startFixedRate } from '../load/fixed-rate.ts';
import { cpuSeconds, memoryKiB, type Running } from '../process.ts';
import { whole } from '../report.ts';
import { median } from '../rounds.ts';
import { openBackend, startTrivialUpstream } from '../upstream.ts';

export const soak: Group = { name: 'soak', title: 'Soak: memory of a worker over a long time', run };

interface Size {
  readonly seconds: number;
  readonly perSecond: number;
  readonly keys: number;
  readonly databases: number;
  readonly feeds: number;
}

const SHORT: Size = { seconds: 120, perSecond: 600, keys: 10_000, databases: 1000, feeds: 500 };
const LONG: Size = { seconds: 1800, perSecond: 600, keys: 100_000, databases: 10_000, feeds: 5000 };
const PERIODS = 12;
/** Feeds that end and open together. */
const FEEDS_TOGETHER = 100;
const CHURN_MS = 5000;
/** Rare, because the upstream sends each change on all feeds at once, which takes a worker 0.1 ms for each. */
const CHANGES_PER_SECOND = 1 / 60;
const FLAT = 0.1;

async function run(plan: Plan): Promise<Section> {
  const size = plan.long ? LONG : SHORT;
  const backend = await openBackend(plan);
  plan.note(`adding ${whole(size.keys)} keys`);
  const keys = await addKeys(backend, 'couchgate', size.keys);
  const upstream = await startTrivialUpstream(plan, {
    bytes: 500,
    node: backend.urls[0] ?? '',
    databases: grants(keys, size),
    changesPerSecond: CHANGES_PER_SECOND,
  });
  const couchgate = await startCouchgate(plan, { nodes: [upstream.url], backend });
  const idleMiB = mib(couchgate);
  plan.note('first requests of the keys');
  await sendFirstRequests(couchgate, keys, size);
  plan.note(`opening ${whole(size.feeds)} feeds`);
  const churn = await startChurn(couchgate, backend, keys, size);
  const load = startFixedRate({
    url: couchgate.url,
    perSecond: size.perSecond,
    headers: {},
    pathOf: (n) => `${databaseAt(n % size.databases)}/doc`,
    authorizationOf: (n) => basic(keyAt(keys, size, n)),
  });
  const periods = await Promise.race([measurePeriods(plan, couchgate, load, size), churn.failed]);
  await load.stop();
  await churn.stop();
  return {
    text:
      `One worker, ${whole(size.perSecond)} requests per second for ${whole(size.seconds)} s, after one request of each key. Each reads the next of ${whole(size.databases)} databases with the ` +
      `next of its ${whole(size.keys / size.databases)} API keys. ${whole(size.feeds)} continuous feeds are open; ${whole(FEEDS_TOGETHER)} of them end and open again every ` +
      `${String(CHURN_MS / 1000)} s, and an API key is created and revoked. Memory is resident memory (RSS); it was ${idleMiB.toFixed(0)} MiB after the start.`,
    tables: [table(periods)],
    findings: findings(periods),
  };
}

/** The first request of a key needs CouchDB and costs far more than the others. */
async function sendFirstRequests({ url }: Running, keys: readonly Credentials[], size: Size): Promise<void> {
  const { statuses } = await sendEachOnce({
    url,
    path: (n) => `${databaseAt(n % size.databases)}/doc`,
    authorizations: keys.map((_, n) => basic(keyAt(keys, size, n))),
    connections: 16,
  });
  if (statuses.get(200) !== keys.length) throw new Error('the first request of a key was refused');
}

interface Period {
  readonly seconds: number;
  readonly requests: number;
  readonly mib: number;
  readonly cpuMs: number;
  readonly p50: number;
  readonly p99: number;
}

async function measurePeriods(
  plan: Plan,
  couchgate: Running,
  load: RunningRate,
  { seconds }: Size,
): Promise<readonly Period[]> {
  const startedAt = performance.now();
  const periodMs = (seconds / PERIODS) * 1000;
  const periods: Period[] = [];
  let requests = 0;
  for (let number = 1; number <= PERIODS; number += 1) {
    const cpuBefore = cpuSeconds(couchgate.pid) ?? NaN;
    await pause(startedAt + number * periodMs - performance.now());
    const cpu = (cpuSeconds(couchgate.pid) ?? NaN) - cpuBefore;
    const measured = await load.between(startedAt + (number - 1) * periodMs, startedAt + number * periodMs);
    requests += measured.length;
    periods.push({
      seconds: (number * periodMs) / 1000,
      requests,
      mib: mib(couchgate),
      cpuMs: (cpu / measured.length) * 1000,
      p50: percentile(measured, 0.5),
      p99: percentile(measured, 0.99),
    });
    plan.note(JSON.stringify(periods.at(-1)));
  }
  return periods;
}

function table(periods: readonly Period[]): Table {
  return {
    columns: ['after s', 'requests', 'MiB', 'CPU ms per request', 'p50 ms', 'p99 ms'],
    rows: periods.map(({ seconds, requests, mib: size, cpuMs, p50, p99 }) => [
      whole(seconds),
      whole(requests),
      size.toFixed(0),
      cpuMs.toFixed(3),
      p50.toFixed(1),
      p99.toFixed(1),
    ]),
  };
}

/** The caches fill in the first third. */
function findings(periods: readonly Period[]): readonly Finding[] {
  const third = PERIODS / 3;
  const middle = (from: number, of: (period: Period) => number): number =>
    median(periods.slice(from, from + third).map(of));
  const growth = (of: (period: Period) => number): number => middle(2 * third, of) / middle(third, of);
  const [memory, cpu] = [growth(({ mib: size }) => size), growth(({ cpuMs }) => cpuMs)];
  return [
    {
      target: 'memory in the last third flat within 10 % of the second third',
      measured: memory.toFixed(2),
      holds: memory <= 1 + FLAT,
    },
    { target: 'CPU of a request likewise', measured: cpu.toFixed(2), holds: cpu <= 1 + FLAT },
  ];
}

/** Opens the feeds. Until `stop`, ends and opens some of them again, and creates and revokes keys. */
async function startChurn(
  couchgate: Running,
  { owner }: Backend,
  keys: readonly Credentials[],
  size: Size,
): Promise<{ failed: Promise<never>; stop: () => Promise<void> }> {
  const open = (group: number): Promise<Feeds> =>
    openFeeds({
      url: couchgate.url,
      authorization: basic(keyAt(keys, size, group)),
      path: `${databaseAt(group)}/_changes?feed=continuous`,
      count: FEEDS_TOGETHER,
    });
  const groups: Feeds[] = [];
  while (groups.length * FEEDS_TOGETHER < size.feeds) groups.push(await open(groups.length));
  const end = new AbortController();
  const churning = churn();

  async function churn(): Promise<void> {
    for (let turn = 0; !end.signal.aborted; turn += 1) {
      const group = turn % groups.length;
      groups[group]?.close();
      groups[group] = await open(group);
      const key = await createKey(couchgate.url, owner);
      await ask(couchgate.url, owner, 'DELETE', `/_api/v2/api_keys/${key.name}`);
      await pause(CHURN_MS);
    }
  }

  return {
    failed: churning.then(() => new Promise<never>(() => undefined)),
    async stop() {
      end.abort();
      await churning;
      for (const feeds of groups) feeds.close();
    },
  };
}

/** The path of a database. */
function databaseAt(database: number): string {
  return `/soak${String(database)}-0`;
}

/** The key of the n-th request. Every database has keys of its own. */
function keyAt(keys: readonly Credentials[], { databases }: Size, n: number): Credentials {
  const perDatabase = keys.length / databases;
  const database = n % databases;
  const turn = Math.floor(n / databases) % perDatabase;
  return keys[database * perDatabase + turn] ?? { name: '', password: '' };
}

/** The `cloudant` maps of the databases, by the first part of their names. */
function grants(
  keys: readonly Credentials[],
  { databases }: Size,
): Record<string, Record<string, readonly string[]>> {
  const perDatabase = keys.length / databases;
  return Object.fromEntries(
    Array.from({ length: databases }, (_, n) => {
      const own = keys.slice(n * perDatabase, (n + 1) * perDatabase);
      return [`soak${String(n)}`, Object.fromEntries(own.map(({ name }) => [name, ['_reader']]))];
    }),
  );
}

function mib({ pid }: Running): number {
  return (memoryKiB(pid)?.now ?? NaN) / 1024;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}
