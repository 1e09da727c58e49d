// The upstream of the measurements that look at Couchgate alone: it costs next to nothing, and a CouchDB-compatible node stands behind it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Backend, startBackend } from '../test/support/backend.ts';
import { type Plan } from './group.ts';
import { type Running, startServer } from './process.ts';
import { type UpstreamOptions } from './servers/upstream-options.ts';

export async function startTrivialUpstream(plan: Plan, options: UpstreamOptions): Promise<Running> {
  // In a file: a security object of ten thousand names is longer than an argument may be.
  const folder = mkdtempSync(join(tmpdir(), 'couchgate-upstream-'));
  plan.atEnd(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'options.json');
  writeFileSync(file, JSON.stringify(options));
  const upstream = await startServer('trivial-upstream', [file]);
  plan.atEnd(upstream.stop);
  return upstream;
}

/** A node that holds Couchgate's store and the databases. */
export async function openBackend(plan: Plan, nodes: 1 | 3 = 1): Promise<Backend> {
  const backend = await startBackend({ nodes });
  plan.atEnd(() => backend.close());
  return backend;
}
