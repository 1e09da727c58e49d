// The upstream of the measurements that look at Couchgate alone: it costs next to nothing, and a CouchDB-compatible node stands behind it.
import { type Backend, startBackend } from '../test/support/backend.ts';
import { type Plan } from './group.ts';
import { type Running, startServer } from './process.ts';

/** What servers/trivial-upstream.ts answers by itself. */
export interface UpstreamOptions {
  /** Size of the document's answer. */
  readonly bytes: number;
  /** Address of the node behind, if there is one. */
  readonly node?: string;
  /** The `cloudant` map of every database whose name begins with `many-`: they exist there alone. */
  readonly cloudant?: Readonly<Record<string, readonly string[]>>;
}

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
