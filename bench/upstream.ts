// Starts the upstreams of the measurements: the trivial upstream, and a CouchDB-compatible node.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, startBackend } from '../test/support/backend.ts';
import { type Plan } from './group.ts';
import { type Running, startServer } from './process.ts';
import { type UpstreamOptions } from './servers/upstream-options.ts';

/** Starts the trivial upstream; the cleanup is registered in the plan. */
export async function startTrivialUpstream(plan: Plan, options: UpstreamOptions): Promise<Running> {
  // Passed as a file: a security object with 10,000 names exceeds the limit of an argument.
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-upstream-'));
  plan.atEnd(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'options.json');
  writeFileSync(file, JSON.stringify(options));
  const upstream = await startServer('trivial-upstream', [file]);
  plan.atEnd(upstream.stop);
  return upstream;
}

/** Starts one node, or three, for the store and the databases. */
export async function openBackend(plan: Plan, nodes: 1 | 3 = 1): Promise<Backend> {
  const backend = await startBackend({ nodes });
  plan.atEnd(() => backend.close());
  return backend;
}
