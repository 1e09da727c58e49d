// The upstream of the measurements that look at Couchgate alone: it costs next to nothing, and a CouchDB-compatible node stands behind it.
import { type Backend, startBackend } from '../test/support/backend.ts';
import { type Plan } from './group.ts';
import { type Running, startServer } from './process.ts';
import { type UpstreamOptions } from './servers/upstream-options.ts';

export async function startTrivialUpstream(plan: Plan, options: UpstreamOptions): Promise<Running> {
  const upstream = await startServer('trivial-upstream', [JSON.stringify(options)]);
  plan.atEnd(upstream.stop);
  return upstream;
}

/** A node that holds Couchgate's store and the databases. */
export async function openBackend(plan: Plan, nodes: 1 | 3 = 1): Promise<Backend> {
  const backend = await startBackend({ nodes });
  plan.atEnd(() => backend.close());
  return backend;
}
