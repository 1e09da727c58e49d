// Runs a forwarding front in a separate process, so that its memory is measured without the test's.
// Argument: the upstream's address.
import { type PoolKind } from '../../src/catalogue/endpoint.ts';
import { startForwarding } from './forwarding.ts';

const [url = '', transport = 'pooled'] = process.argv.slice(2);
const front = await startForwarding({
  upstreams: [{ url }],
  judge: () => ({ transport: transport as PoolKind }),
  nodes: { feeds: 10_000 },
});
process.on('message', () => {
  globalThis.gc?.();
  const { rss } = process.memoryUsage();
  process.send?.({ rss, mostRss: process.resourceUsage().maxRSS * 1024, nodes: front.nodes.report() });
});
process.on('disconnect', () => process.exit());
process.send?.({ url: front.url });
