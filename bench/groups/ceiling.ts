// Ceiling: what each way through costs when the upstream costs next to nothing.
import { spawnSync } from 'node:child_process';
import { type Group, type Plan, type Section } from '../group.ts';
import { startServer } from '../process.ts';
import { resultTable } from '../report.ts';
import { interleave, type Variant } from '../rounds.ts';

const DOCUMENT = '/bench/doc';
const CONNECTIONS = 32;
const BARE = 'bare http-proxy';

export const ceiling: Group = { name: 'ceiling', title: 'Ceiling: GET of a 500-byte document', run };

async function run(plan: Plan): Promise<Section> {
  const variants = await alternatives(plan);
  const results = await interleave(variants, BARE, plan);
  return {
    text:
      `${String(plan.rounds)} interleaved rounds of ${String(plan.seconds)} s, ${String(CONNECTIONS)} connections, ` +
      'medians. Load generator, proxy and upstream are processes of their own; CPU is that of the proxy alone.',
    tables: [resultTable(results, BARE)],
    findings: [],
  };
}

async function alternatives(plan: Plan): Promise<Variant[]> {
  const start = async (server: string, args: readonly string[]) => {
    const running = await startServer(server, args);
    plan.atEnd(running.stop);
    return running;
  };
  const upstream = await start('trivial-upstream', [DOCUMENT, '500']);
  const variant = async (name: string, server: string, ...args: readonly string[]): Promise<Variant> => {
    const { url, pid } = await start(server, [upstream.url, ...args]);
    return { name, load: load(url), processes: { proxy: pid } };
  };
  const nginx = spawnSync('nginx', ['-v']).status === 0;
  return [
    { name: 'no proxy', load: load(upstream.url), processes: {} },
    ...(nginx ? [await variant('nginx, one process', 'nginx')] : []),
    await variant(BARE, 'bare-http-proxy'),
    await variant('Express + http-proxy', 'express-http-proxy', 'plain'),
    await variant("the same with Express's prototypes", 'express-http-proxy', 'prototypes'),
  ];
}

function load(url: string, authorization = 'Basic YmVuY2g6YmVuY2g='): Variant['load'] {
  return { url, path: DOCUMENT, headers: { Authorization: authorization }, connections: CONNECTIONS };
}
