// Measures large attachments in both directions, idle feeds, and busy feeds.
import { type Cluster, startCluster } from '../../test/support/cluster.ts';
import { ask, basic, createKey, type Credentials, grant, startCouchgate } from '../couchgate.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { openFeeds } from '../load/feeds.ts';
import { download, upload } from '../load/transfer.ts';
import { forgetPeak, memoryKiB, type Running } from '../process.ts';
import { whole } from '../report.ts';
import { startTrivialUpstream } from '../upstream.ts';
import { median } from '../rounds.ts';

const MIB = 2 ** 20;
/**
 * CouchDB needs minutes to store 1 GiB. test/integration/forward-streams.test.ts shows that memory does not
 * depend on the size.
 */
const ATTACHMENT_MIB = 64;
const MAX_MIB_MORE = 64;
const MAX_KIB_A_FEED = 40;
const BUSY_FEEDS = 500;
const CHANGES_PER_SECOND = 50;

export const streams: Group = { name: 'streams', title: 'Streams: attachments and feeds', run };

/** Both routes to the same database. */
interface Ways {
  readonly couchgate: Running;
  readonly cluster: Cluster;
  readonly direct: Way;
  readonly through: Way;
}

interface Way {
  readonly url: string;
  readonly authorization: string;
}

async function run(plan: Plan): Promise<Section> {
  if (process.env['COUCHDB_HOME'] === undefined) {
    return {
      text: 'Not measured: this group needs an installed CouchDB in COUCHDB_HOME.',
      tables: [],
      findings: [],
    };
  }
  const ways = await prepare(plan);
  const attachments = await measureAttachments(plan, ways);
  const idle = await measureIdleFeeds(plan, ways);
  const busy = await measureBusyFeeds(plan, ways);
  return {
    text:
      'One CouchDB node, one Couchgate worker. Memory is the resident set of Couchgate: before, and the peak during the transfer. Busy ' +
      'feeds come from an upstream that only sends changes with a timestamp.',
    tables: [attachments.table, idle.table, busy.table],
    findings: [...attachments.findings, ...idle.findings, ...busy.findings],
  };
}

async function prepare(plan: Plan): Promise<Ways> {
  const cluster = await startCluster({
    ini: '[couchdb]\nmax_attachment_size = infinity\nmax_dbs_open = 10000\n[chttpd]\nserver_options = [{backlog, 4096}, {acceptor_pool_size, 16}, {max, 65536}]',
  });
  plan.atEnd(() => cluster.close());
  const couchgate = await startCouchgate(plan, { nodes: cluster.urls, backend: cluster });
  const key: Credentials = await createKey(couchgate.url, cluster.owner);
  for (const database of ['files', 'quiet']) {
    await ask(couchgate.url, cluster.owner, 'PUT', `/${database}`);
    await grant(couchgate.url, cluster.owner, database, { [key.name]: ['_reader', '_writer'] });
  }
  return {
    couchgate,
    cluster,
    direct: { url: cluster.nodes[0].url, authorization: basic(cluster.owner) },
    through: { url: couchgate.url, authorization: basic(key) },
  };
}

async function measureAttachments(plan: Plan, { couchgate, direct, through }: Ways) {
  const bytes = ATTACHMENT_MIB * MIB;
  const rounds = 3;
  const speeds: Record<'up' | 'down', Record<'direct' | 'through', number[]>> = {
    up: { direct: [], through: [] },
    down: { direct: [], through: [] },
  };
  const before = memoryKiB(couchgate.pid)?.now ?? NaN;
  forgetPeak(couchgate.pid);
  for (let round = 0; round < rounds; round += 1) {
    plan.note(`attachments of ${String(bytes / MIB)} MiB, round ${String(round + 1)} of ${String(rounds)}`);
    for (const [name, way] of [
      ['direct', direct],
      ['through', through],
    ] as const) {
      const path = `/files/${name}-${String(round)}/attachment`;
      speeds.up[name].push(bytes / MIB / (await upload({ ...way, path, bytes })));
      speeds.down[name].push(bytes / MIB / (await download({ ...way, path, bytes })));
    }
  }
  const more = ((memoryKiB(couchgate.pid)?.peak ?? NaN) - before) / 1024;
  const ratioOf = ({ direct: base, through: ours }: Record<'direct' | 'through', number[]>): number =>
    median(ours.map((speed, round) => speed / (base[round] ?? NaN)));
  const row = (name: string, speed: Record<'direct' | 'through', number[]>): string[] => [
    name,
    whole(median(speed.direct)),
    whole(median(speed.through)),
    ratioOf(speed).toFixed(2),
  ];
  const finding = (what: string, ratio: number): Finding => ({
    target: `${what} ≥ 0.8 of direct`,
    measured: ratio.toFixed(2),
    holds: ratio >= 0.8,
  });
  return {
    table: {
      caption: `An attachment of ${String(bytes / MIB)} MiB, MiB/s`,
      columns: ['', 'direct', 'Couchgate', 'ratio'],
      rows: [row('PUT', speeds.up), row('GET', speeds.down)],
    } satisfies Table,
    findings: [
      finding('attachment PUT', ratioOf(speeds.up)),
      finding('attachment GET', ratioOf(speeds.down)),
      {
        target: `attachments: Couchgate's memory + ≤ ${String(MAX_MIB_MORE)} MiB`,
        measured: `+ ${more.toFixed(0)} MiB`,
        holds: more <= MAX_MIB_MORE,
      },
    ],
  };
}

async function measureIdleFeeds(plan: Plan, { couchgate, through }: Ways) {
  const rows: string[][] = [];
  const findings: Finding[] = [];
  for (const count of plan.long ? [100, 1000, 5000] : [100, 1000]) {
    plan.note(`${String(count)} idle feeds`);
    const before = memoryKiB(couchgate.pid)?.now ?? NaN;
    const feeds = await openFeeds({
      ...through,
      path: '/quiet/_changes?feed=continuous&heartbeat=30000',
      count,
    });
    const each = ((memoryKiB(couchgate.pid)?.now ?? NaN) - before) / count;
    feeds.close();
    rows.push([whole(count), each.toFixed(1)]);
    findings.push({
      target: `${whole(count)} idle feeds: ≤ ${String(MAX_KIB_A_FEED)} KiB each`,
      measured: `${each.toFixed(1)} KiB`,
      // The effect of a hundred feeds is smaller than the noise of the garbage collector.
      holds: count < 1000 ? undefined : each <= MAX_KIB_A_FEED,
    });
  }
  return { table: { caption: 'Idle feeds', columns: ['feeds', 'KiB each'], rows } satisfies Table, findings };
}

/** The changes come from the trivial upstream: two cores are not enough for CouchDB to send so many. */
async function measureBusyFeeds(plan: Plan, { cluster }: Ways) {
  const upstream = await startTrivialUpstream(plan, {
    bytes: 500,
    node: cluster.nodes[0].url,
    databases: { many: { nobody: ['_reader'] } },
    changesPerSecond: CHANGES_PER_SECOND,
  });
  const couchgate = await startCouchgate(plan, { nodes: [upstream.url], backend: cluster });
  const rounds: Record<'direct' | 'through', Delays[]> = { direct: [], through: [] };
  for (let round = 0; round < 3; round += 1) {
    plan.note(
      `${String(BUSY_FEEDS)} feeds, ${String(CHANGES_PER_SECOND)} changes per second, round ${String(round + 1)} of 3`,
    );
    rounds.direct.push(await delaysOf(upstream.url, plan));
    rounds.through.push(await delaysOf(couchgate.url, plan));
  }
  const middle = (all: readonly Delays[], of: (one: Delays) => number): number => median(all.map(of));
  const row = (name: string, all: readonly Delays[]): string[] => [
    name,
    whole(middle(all, (one) => one.perSecond)),
    middle(all, (one) => one.median).toFixed(1),
    middle(all, (one) => one.p99).toFixed(1),
  ];
  const added = (of: (one: Delays) => number): string =>
    (middle(rounds.through, of) - middle(rounds.direct, of)).toFixed(1);
  return {
    table: {
      caption: `${String(BUSY_FEEDS)} feeds, ${String(CHANGES_PER_SECOND)} changes per second, delay of a change`,
      columns: ['', 'rows/s', 'median ms', 'p99 ms'],
      rows: [row('direct', rounds.direct), row('Couchgate', rounds.through)],
    } satisfies Table,
    findings: [
      {
        target: 'busy feeds: delay added by Couchgate',
        measured: `${added((one) => one.median)} ms in the median, ${added((one) => one.p99)} ms at the 99th percentile`,
        holds: undefined,
      },
    ],
  };
}

interface Delays {
  readonly perSecond: number;
  readonly median: number;
  readonly p99: number;
}

async function delaysOf(url: string, plan: Plan): Promise<Delays> {
  const seconds = plan.long ? 10 : 3;
  const feeds = await openFeeds({ url, path: '/many-0/_changes?feed=continuous', count: BUSY_FEEDS });
  const delays = (await feeds.delays(seconds)).sort((a, b) => a - b);
  feeds.close();
  return {
    perSecond: delays.length / seconds,
    median: median(delays),
    p99: delays[Math.floor(delays.length * 0.99)] ?? NaN,
  };
}
