// Measures variants with new processes in each round: two processes with the same code can differ by 10 % for
// their whole life.
import { interleave, median, type Result, type Rounds, type Variant } from './rounds.ts';

export interface Startable {
  readonly name: string;
  readonly start: () => Promise<Variant & { readonly stop: () => Promise<void> }>;
}

/** Like `interleave`, but starts all processes anew in each round. */
export async function interleaveFresh(
  startables: readonly Startable[],
  baseline: string,
  { rounds, ...each }: Rounds,
): Promise<readonly Result[]> {
  const results: (readonly Result[])[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const first = round % startables.length;
    const started = [];
    for (const { start } of [...startables.slice(first), ...startables.slice(0, first)])
      started.push(await start());
    results.push(await interleave(started, baseline, { ...each, rounds: 1 }));
    for (const { stop } of started) await stop();
  }
  return startables.map(({ name }) =>
    together(results.flatMap((round) => round.filter((result) => result.name === name))),
  );
}

/** Medians over the rounds; ratios are computed within a round. */
function together(own: readonly Result[]): Result {
  const middle = (of: (result: Result) => number): number => median(own.map(of));
  const processes = Object.keys(own[0]?.cpu ?? {});
  return {
    name: own[0]?.name ?? '',
    perSecond: middle(({ perSecond }) => perSecond),
    lowest: Math.min(...own.map(({ lowest }) => lowest)),
    highest: Math.max(...own.map(({ highest }) => highest)),
    ratio: middle(({ ratio }) => ratio),
    p50: middle(({ p50 }) => p50),
    p99: middle(({ p99 }) => p99),
    cpu: Object.fromEntries(processes.map((name) => [name, middle(({ cpu }) => cpu[name] ?? NaN)])),
    cpuRatio: middle(({ cpuRatio }) => cpuRatio),
  };
}
