// Measures several variants in turn, round after round, so that what else the machine does falls on all of them alike; then medians and ratios.
import { cpuSeconds } from './process.ts';
import { type Load, putUnderLoad } from './load/load.ts';

/** What one variant did in one round. Latencies in milliseconds, CPU in seconds for a thousand requests, by process. */
export interface Sample {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: Readonly<Record<string, number>>;
}

export interface Variant {
  readonly name: string;
  /** The load of one round; `seconds` and `prefix` are the rounds' business. */
  readonly load: Omit<Load, 'seconds' | 'prefix'>;
  /** Processes whose CPU is counted, by what the table calls them. */
  readonly processes: Readonly<Record<string, number>>;
  /** True where answers of 400 and above are what is measured. */
  readonly refusalsExpected?: boolean;
}

export interface Rounds {
  readonly rounds: number;
  readonly seconds: number;
  /** How long each variant runs before it is measured. */
  readonly warmSeconds?: number;
}

/** Some fifty thousand requests to what is as fast as a proxy can be: so many V8 takes until it has compiled all that they run through. */
const WARM_SECONDS = 8;

/** Medians over the rounds. `ratio` is the median of the ratios within each round: what slowed a round down slowed both sides. */
export interface Result {
  readonly name: string;
  readonly perSecond: number;
  readonly lowest: number;
  readonly highest: number;
  readonly ratio: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: Readonly<Record<string, number>>;
  /** CPU of all counted processes together, as a ratio to the baseline, in the same way. */
  readonly cpuRatio: number;
}

/** Runs all variants in every round, beginning with another one each time. Ratios are to `baseline`. Each is warmed up first. */
export async function interleave(
  variants: readonly Variant[],
  baseline: string,
  { rounds, seconds, warmSeconds = WARM_SECONDS }: Rounds,
): Promise<readonly Result[]> {
  const samples = new Map(variants.map((variant) => [variant.name, [] as Sample[]]));
  for (const variant of variants) await measure(variant, warmSeconds, 'w-');
  for (let round = 0; round < rounds; round += 1) {
    const first = round % variants.length;
    for (const variant of [...variants.slice(first), ...variants.slice(0, first)]) {
      samples.get(variant.name)?.push(await measure(variant, seconds, `${String(round)}-`));
    }
  }
  const base = samples.get(baseline) ?? [];
  return variants.map((variant) => summarise(variant.name, samples.get(variant.name) ?? [], base));
}

let run = 0;

async function measure(variant: Variant, seconds: number, round: string): Promise<Sample> {
  const pids = Object.entries(variant.processes);
  const before = pids.map(([, pid]) => cpuSeconds(pid) ?? NaN);
  run += 1;
  const prefix = `${String(process.pid)}-${String(run)}-${round}`;
  const result = await putUnderLoad({ ...variant.load, seconds, prefix });
  const after = pids.map(([, pid]) => cpuSeconds(pid) ?? NaN);
  if (
    result.failed > 0 ||
    (result.refused > 0 && variant.refusalsExpected !== true) ||
    result.requests === 0
  ) {
    throw new Error(
      `${variant.name}: ${String(result.refused)} refused and ${String(result.failed)} failed of ${String(result.requests)} requests`,
    );
  }
  const perThousand = (at: number): number =>
    (((after[at] ?? NaN) - (before[at] ?? NaN)) / result.requests) * 1000;
  return {
    requests: result.requests,
    perSecond: result.requests / result.seconds,
    p50: result.p50,
    p99: result.p99,
    cpu: Object.fromEntries(pids.map(([name], at) => [name, perThousand(at)])),
  };
}

function summarise(name: string, samples: readonly Sample[], base: readonly Sample[]): Result {
  const rates = samples.map((sample) => sample.perSecond);
  const ratios = (of: (sample: Sample) => number): number =>
    median(samples.map((sample, round) => of(sample) / of(base[round] ?? sample)));
  return {
    name,
    perSecond: median(rates),
    lowest: Math.min(...rates),
    highest: Math.max(...rates),
    ratio: ratios((sample) => sample.perSecond),
    p50: median(samples.map((sample) => sample.p50)),
    p99: median(samples.map((sample) => sample.p99)),
    cpu: Object.fromEntries(
      Object.keys(samples[0]?.cpu ?? {}).map((process) => [
        process,
        median(samples.map((sample) => sample.cpu[process] ?? NaN)),
      ]),
    ),
    cpuRatio: ratios((sample) => Object.values(sample.cpu).reduce((sum, one) => sum + one, 0)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}
