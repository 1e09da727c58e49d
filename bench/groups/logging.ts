// Measures the cost of access log and metrics.
import { interleaveFresh } from '../fresh-rounds.ts';
import { startGuarded } from '../guarded.ts';
import { type Finding, type Group, type Plan, type Section } from '../group.ts';
import { resultTable } from '../report.ts';
import { type Result } from '../rounds.ts';

const EVERYTHING = 'access log to a file, metrics';
const NEITHER = 'neither';
/** Maximum share of the requests per second that log and metrics may cost. */
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
  const startables = VARIANTS.map(({ name, settings }) => ({
    name,
    start: () => guarded.variant(name, { settings }),
  }));
  const results = await interleaveFresh(startables, NEITHER, plan);
  return {
    text: `The same load as the ceiling; ${String(plan.rounds)} rounds of ${String(plan.seconds)} s, each with new processes. CPU is that of Couchgate.`,
    tables: [resultTable(results, NEITHER)],
    findings: [finding(results)],
  };
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
