// Measures several variants in interleaved rounds, so that other load on the machine affects all alike.
// Computes medians and ratios.
import { cpuSeconds } from './process.ts';
import { type Load, putUnderLoad } from './load/load.ts';

/** Result of one variant in one round. Latencies in ms, CPU in seconds per 1,000 requests, by process. */
export interface Sample {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: Readonly<Record<string, number>>;
}

export interface Variant {
  readonly name: string;
  /** Load of one round; `measure` adds `seconds` and `prefix`. */
  readonly load: Omit<Load, 'seconds' | 'prefix'>;
  /** Processes whose CPU is counted, by their name in the table. */
  readonly processes: Readonly<Record<string, number>>;
  /** True if responses of 400 and above are expected. */
  readonly refusalsExpected?: boolean;
}

export interface Rounds {
  readonly rounds: number;
  readonly seconds: number;
  /** Warm-up time of each variant. */
  readonly warmSeconds?: number;
}

/** About 50,000 requests to the fastest proxy: V8 needs as many until all hot code is compiled. */
const WARM_SECONDS = 10;
/**
 * Orders of headers in the warm-up. V8 specializes code for up to four shapes of an object, and gives up after
 * that. Real clients send more than four, so the code that is measured must not be specialized.
 */
const WARM_ROTATIONS = 5;

/**
 * Medians over the rounds. `ratio` is the median of the ratios within each round: a slow round slows both
 * sides.
 */
export interface Result {
  readonly name: string;
  readonly perSecond: number;
  readonly lowest: number;
  readonly highest: number;
  readonly ratio: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: Readonly<Record<string, number>>;
  /** CPU of all counted processes as a ratio to the baseline, computed like `ratio`. */
  readonly cpuRatio: number;
}

/**
 * Warms up each variant, then runs all of them in every round, each time with another one first. Ratios are
 * to `baseline`. Throws if a request fails or is unexpectedly refused.
 */
export async function interleave(
  variants: readonly Variant[],
  baseline: string,
  { rounds, seconds, warmSeconds = WARM_SECONDS }: Rounds,
): Promise<readonly Result[]> {
  const samples = new Map(variants.map((variant) => [variant.name, [] as Sample[]]));
  // A shorter run may end before its first answer.
  const rotations = Math.max(1, Math.min(WARM_ROTATIONS, Math.floor(warmSeconds / 2)));
  for (const variant of variants)
    for (let rotation = rotations; rotation > 0; rotation -= 1)
      await measure(variant, warmSeconds / rotations, `w${String(rotation)}-`, rotation);
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

async function measure(variant: Variant, seconds: number, round: string, rotation = 0): Promise<Sample> {
  const pids = Object.entries(variant.processes);
  const before = pids.map(([, pid]) => cpuSeconds(pid) ?? NaN);
  run += 1;
  const prefix = `${String(process.pid)}-${String(run)}-${round}`;
  const result = await putUnderLoad({ ...variant.load, seconds, prefix, rotation });
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

/** Returns the median; NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}
