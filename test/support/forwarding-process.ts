// A front in a process of its own, so that its memory can be measured apart from that of the test. Argument: the upstream's address.
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
