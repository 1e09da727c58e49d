// Measures the maximum throughput of writes of short documents, beside proxies that check nothing.
import { resolve } from 'node:path';
import { CONNECTIONS, DOCUMENT, startGuarded } from '../guarded.ts';
import { type Finding, type Group, type Plan, type Section } from '../group.ts';
import { hasNginx, startServer } from '../process.ts';
import { resultTable } from '../report.ts';
import { interleave, type Result, type Variant } from '../rounds.ts';

const BARE = 'bare http-proxy';
const ONE = 'Couchgate, one worker';
const OTHER = 'the other Couchgate, one worker';
const BODY = JSON.stringify({ value: 'x'.repeat(486) });

export const writes: Group = { name: 'writes', title: 'Writes: PUT of a 500-byte document', run };

async function run(plan: Plan): Promise<Section> {
  const guarded = await startGuarded(plan);
  const { upstream } = guarded;
  const load = (url: string): Variant['load'] => {
    const read = guarded.load(url);
    const headers = { ...read.headers, 'Content-Type': 'application/json' };
    return { ...read, headers, method: 'PUT', path: DOCUMENT, body: BODY };
  };
  const bare = async (name: string, server: string): Promise<Variant> => {
    const { url, pid, stop } = await startServer(server, [upstream.url]);
    plan.atEnd(stop);
    return { name, load: load(url), processes: { proxy: pid } };
  };
  const couchgate = async (name: string, root?: string): Promise<Variant> => {
    const variant = await guarded.variant(name, root === undefined ? {} : { root });
    return { ...variant, load: load(variant.load.url) };
  };
  const results = await interleave(
    [
      { name: 'no proxy', load: load(upstream.url), processes: {} },
      ...(hasNginx() ? [await bare('nginx, one process', 'nginx')] : []),
      await bare(BARE, 'bare-http-proxy'),
      await couchgate(ONE),
      ...(plan.against === undefined ? [] : [await couchgate(OTHER, resolve(plan.against))]),
    ],
    BARE,
    plan,
  );
  return {
    text:
      `Medians of ${String(plan.rounds)} interleaved rounds of ${String(plan.seconds)} s, ${String(CONNECTIONS)} connections. ` +
      'The upstream answers a write as soon as its body is complete. CPU is that of the proxy only.',
    tables: [resultTable(results, BARE)],
    findings: [finding(results)],
  };
}

function finding(results: readonly Result[]): Finding {
  const { ratio = NaN, cpuRatio = NaN } = results.find(({ name }) => name === ONE) ?? {};
  return {
    target: 'a write costs no more than through bare http-proxy',
    measured: `${ratio.toFixed(2)} of its requests/s, ${cpuRatio.toFixed(2)} of its CPU`,
    holds: ratio >= 1 && cpuRatio <= 1,
  };
}
