// Measures the maximum throughput of Couchgate and of alternatives with an upstream of minimal cost.
import os from 'node:os';
import { join, resolve } from 'node:path';
import { CONNECTIONS, type Guarded, startGuarded } from '../guarded.ts';
import { type Finding, type Group, type Plan, type Section, type Table } from '../group.ts';
import { putUnderLoad } from '../load/load.ts';
import { hasNginx, startServer } from '../process.ts';
import { profiling, whereTimeWent } from '../profile.ts';
import { resultTable } from '../report.ts';
import { interleave, type Result, type Variant } from '../rounds.ts';

const BARE = 'bare http-proxy';
const LIBRARIES = 'Express + undici';
const ONE = 'Couchgate, one worker';
const OTHER = 'the other Couchgate, one worker';
const TWO = 'Couchgate, two workers';

export const ceiling: Group = { name: 'ceiling', title: 'Ceiling: GET of a 500-byte document', run };

async function run(plan: Plan): Promise<Section> {
  const guarded = await startGuarded(plan);
  const variants = [
    ...(await alternatives(plan, guarded)),
    await guarded.variant(ONE),
    ...(plan.against === undefined ? [] : [await guarded.variant(OTHER, { root: resolve(plan.against) })]),
    await guarded.variant(TWO, { workers: 2 }),
  ];
  const results = await interleave(variants, BARE, plan);
  return {
    text:
      `Medians of ${String(plan.rounds)} interleaved rounds of ${String(plan.seconds)} s, ${String(CONNECTIONS)} connections. Load generator, ` +
      'proxy and upstream are separate processes; CPU is that of the proxy only. Couchgate runs with all features: API key by basic ' +
      'authentication, permissions, token for CouchDB, access log to a file, metrics.',
    tables: [resultTable(results, BARE), ...(await profile(plan, guarded))],
    findings: findings(results),
  };
}

/** Profiling slows Couchgate down, so it has a separate run. */
async function profile(plan: Plan, guarded: Guarded): Promise<readonly Table[]> {
  if (plan.profiles === undefined) return [];
  plan.note('profiling');
  const folder = join(resolve(plan.profiles), new Date().toISOString().replaceAll(':', '-'));
  const { load, stop } = await guarded.variant(ONE, { node: profiling(folder) });
  await putUnderLoad({ ...load, seconds: 10 });
  await stop();
  return [whereTimeWent(folder)];
}

async function alternatives(plan: Plan, { upstream, load }: Guarded): Promise<readonly Variant[]> {
  const variant = async (name: string, server: string, ...args: readonly string[]): Promise<Variant> => {
    const { url, pid, stop } = await startServer(server, [upstream.url, ...args]);
    plan.atEnd(stop);
    return { name, load: load(url), processes: { proxy: pid } };
  };
  return [
    { name: 'no proxy', load: load(upstream.url), processes: {} },
    ...(hasNginx() ? [await variant('nginx, one process', 'nginx')] : []),
    await variant(BARE, 'bare-http-proxy'),
    await variant('Express + http-proxy', 'express-http-proxy', 'plain'),
    await variant("the same with Express's prototypes", 'express-http-proxy', 'prototypes'),
    await variant(LIBRARIES, 'express-undici'),
  ];
}

interface Target {
  /** Least requests per second, and most CPU, as ratios to bare http-proxy. */
  readonly rate: number;
  readonly cpu: number;
}

/** http-proxy gets slower from version to version of Node, and undici faster. */
function targetOf(nodeVersion: string): Target {
  return Number.parseInt(nodeVersion, 10) >= 24 ? { rate: 1.75, cpu: 0.55 } : { rate: 1.25, cpu: 0.8 };
}

/** Most CPU, in µs per request, of Couchgate itself beside its libraries. */
const OWN_MICROSECONDS = 25;

function findings(results: readonly Result[]): readonly Finding[] {
  const find = (name: string): Result | undefined => results.find((result) => result.name === name);
  const one = find(ONE);
  const speedUp = (find(TWO)?.perSecond ?? NaN) / (one?.perSecond ?? NaN);
  // Load generator and upstream need CPU too: only four or more cores can show the gain of a second worker.
  const freeCores = os.cpus().length >= 4;
  const { rate, cpu } = targetOf(process.versions.node);
  const [ratio = NaN, cpuRatio = NaN] = [one?.ratio, one?.cpuRatio];
  const own = microseconds(one) - microseconds(find(LIBRARIES));
  return [
    {
      target: `one worker ≥ ${String(rate)} of bare http-proxy, with ≤ ${String(cpu)} of its CPU (Node ${process.versions.node})`,
      measured: `${ratio.toFixed(2)} of its requests/s, ${cpuRatio.toFixed(2)} of its CPU`,
      holds: ratio >= rate && cpuRatio <= cpu,
    },
    {
      target: `≤ ${String(OWN_MICROSECONDS)} µs of CPU per request more than ${LIBRARIES}`,
      measured: `${own.toFixed(0)} µs`,
      holds: own <= OWN_MICROSECONDS,
    },
    {
      target: 'two workers ≥ 1.7 of one, where two cores are free for them',
      measured: `${speedUp.toFixed(2)} on ${String(os.cpus().length)} cores, which load generator and upstream use too`,
      holds: speedUp >= 1.7 ? true : freeCores ? false : undefined,
    },
    ...comparison(one, find(OTHER)),
  ];
}

/** CPU of the proxy per request. */
function microseconds(result: Result | undefined): number {
  return (result?.cpu['proxy'] ?? NaN) * 1000;
}

/** Compares this Couchgate with the one of another checkout, measured in the same rounds. */
function comparison(one: Result | undefined, other: Result | undefined): readonly Finding[] {
  if (one === undefined || other === undefined) return [];
  const rate = one.ratio / other.ratio;
  return [
    {
      target: 'no slower than the other Couchgate (0.97 of its requests/s)',
      measured: `${rate.toFixed(2)} of its requests/s, ${(one.cpuRatio / other.cpuRatio).toFixed(2)} of its CPU`,
      holds: rate >= 0.97,
    },
  ];
}
