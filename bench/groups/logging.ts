// Logging: what the access log and the metrics take of the ceiling.
import { type Guarded, startGuarded } from '../guarded.ts';
import { type Finding, type Group, type Plan, type Section } from '../group.ts';
import { resultTable } from '../report.ts';
import { interleave, median, type Result } from '../rounds.ts';

const EVERYTHING = 'access log to a file, metrics';
const NEITHER = 'neither';
/** Part of the requests per second that the log and the metrics may cost. */
const MOST = 0.08;

const VARIANTS: readonly { readonly name: string; readonly settings: Readonly<Record<string, string>> }[] = [
  { name: EVERYTHING, settings: {} },
  { name: 'no access log', settings: { COUCHGATE_ACCESS_LOG: 'off' } },
  { name: 'no metrics', settings: { COUCHGATE_METRICS_LISTEN: 'off' } },
  { name: NEITHER, settings: { COUCHGATE_ACCESS_LOG: 'off', COUCHGATE_METRICS_LISTEN: 'off' } },
];

export const logging: Group = { name: 'logging', title: 'Access log and metrics', run };

async function run(plan: Plan): Promise<Section> {
  const guarded = await startGuarded(plan);
  const rounds: (readonly Result[])[] = [];
  for (let round = 0; round < plan.rounds; round += 1) rounds.push(await oneRound(plan, guarded, round));
  const results = together(rounds);
  return {
    text: `The same load as the ceiling; ${String(plan.rounds)} rounds of ${String(plan.seconds)} s, each with processes of its own: of two that do the same, one may be a tenth faster for all its life. CPU is Couchgate's.`,
    tables: [resultTable(results, NEITHER)],
    findings: [finding(results)],
  };
}

async function oneRound(plan: Plan, guarded: Guarded, round: number): Promise<readonly Result[]> {
  const started = [];
  const first = round % VARIANTS.length;
  for (const { name, settings } of [...VARIANTS.slice(first), ...VARIANTS.slice(0, first)])
    started.push(await guarded.variant(name, { settings }));
  const results = await interleave(started, NEITHER, { rounds: 1, seconds: plan.seconds });
  for (const { stop } of started) await stop();
  return results;
}

/** Medians over the rounds, ratios those within a round. */
function together(rounds: readonly (readonly Result[])[]): readonly Result[] {
  return VARIANTS.map(({ name }) => {
    const own = rounds.flatMap((results) => results.filter((result) => result.name === name));
    const middle = (of: (result: Result) => number): number => median(own.map(of));
    return {
      name,
      perSecond: middle(({ perSecond }) => perSecond),
      lowest: Math.min(...own.map(({ lowest }) => lowest)),
      highest: Math.max(...own.map(({ highest }) => highest)),
      ratio: middle(({ ratio }) => ratio),
      p50: middle(({ p50 }) => p50),
      p99: middle(({ p99 }) => p99),
      cpu: { proxy: middle(({ cpu }) => cpu['proxy'] ?? NaN) },
      cpuRatio: middle(({ cpuRatio }) => cpuRatio),
    };
  });
}

function finding(results: readonly Result[]): Finding {
  const { ratio = NaN, cpuRatio = NaN } = results.find(({ name }) => name === EVERYTHING) ?? {};
  const cost = 1 - ratio;
  return {
    target: `access log and metrics together cost less than ${String(MOST * 100)} % of the requests per second`,
    measured: `${(cost * 100).toFixed(1)} %, and ${((cpuRatio - 1) * 100).toFixed(1)} % more CPU`,
    holds: cost < MOST,
  };
}
