// Prepares the environment of the ceiling: the trivial upstream, a database, a key that may read and write, and
// Couchgate.
import { ask, basic, type CouchgateOptions, createKey, grant, startCouchgate } from './couchgate.ts';
import { type Plan } from './group.ts';
import { type Running } from './process.ts';
import { type Variant } from './rounds.ts';
import { openBackend, startTrivialUpstream } from './upstream.ts';

export const DOCUMENT = '/bench/doc';
export const CONNECTIONS = 32;

export interface Guarded {
  readonly upstream: Running;
  /** Load of every variant. The headers of the key have no effect on variants that ignore them. */
  readonly load: (url: string) => Variant['load'];
  /** Starts Couchgate in front of the upstream. */
  readonly variant: (
    name: string,
    options?: Pick<CouchgateOptions, 'workers' | 'settings' | 'node' | 'root'>,
  ) => Promise<Variant & { readonly stop: () => Promise<void> }>;
}

/** Starts the upstream and creates database, key and grant. */
export async function startGuarded(plan: Plan): Promise<Guarded> {
  const backend = await openBackend(plan);
  const upstream = await startTrivialUpstream(plan, { bytes: 500, node: backend.urls[0] ?? '' });
  const first = await startCouchgate(plan, { nodes: [upstream.url], backend });
  const key = await createKey(first.url, backend.owner);
  await ask(first.url, backend.owner, 'PUT', '/bench');
  await grant(first.url, backend.owner, 'bench', { [key.name]: ['_reader', '_writer'] });
  await first.stop();
  const load = (url: string): Variant['load'] => ({
    url,
    path: DOCUMENT,
    headers: { Authorization: basic(key), Accept: 'application/json', 'User-Agent': 'bench' },
    connections: CONNECTIONS,
  });
  return {
    upstream,
    load,
    async variant(name, options = {}) {
      const { url, pid, stop } = await startCouchgate(plan, { nodes: [upstream.url], backend, ...options });
      return { name, load: load(url), processes: { proxy: pid }, stop };
    },
  };
}
