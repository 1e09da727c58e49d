// The numbers that the services keep, as Prometheus shall see them. Counting requests is audit's business.
import { type MetricSource } from './audit/metrics.ts';
import { type LiveSettings } from './config/reload.ts';
import { type Forwarding } from './forward/index.ts';
import { type NodeState } from './forward/node.ts';
import { type Nodes } from './forward/nodes.ts';
import { type Services } from './services.ts';

const STATES: readonly NodeState[] = ['unknown', 'up', 'half-open', 'draining', 'down'];

export function serviceMetrics(
  services: Services,
  forwarding: Forwarding,
  live: LiveSettings,
): readonly MetricSource[] {
  return [
    ...nodeMetrics(services.nodes),
    ...feedMetrics(services, forwarding),
    ...cacheMetrics(services),
    ...fileMetrics(services, live),
  ];
}

const hostOf = (url: string): string => new URL(url).host;

function nodeMetrics(nodes: Nodes): readonly MetricSource[] {
  return [
    {
      name: 'node_state',
      help: 'Whether a CouchDB node is in that state: 1 or 0.',
      type: 'gauge',
      aggregator: 'min',
      read: () =>
        nodes.report().flatMap(({ url, state }) =>
          STATES.map((each) => ({
            labels: { node: hostOf(url), state: each },
            value: each === state ? 1 : 0,
          })),
        ),
    },
    {
      name: 'node_requests',
      help: 'Requests that run at a CouchDB node, or wait for a connection to it.',
      type: 'gauge',
      read: () =>
        nodes.report().flatMap(({ url, running, waiting, feeds }) =>
          Object.entries({ running, waiting, feed: feeds }).map(([state, value]) => ({
            labels: { node: hostOf(url), state },
            value,
          })),
        ),
    },
  ];
}

function feedMetrics({ bus, revocationWatch }: Services, forwarding: Forwarding): readonly MetricSource[] {
  return [
    {
      name: 'open_feeds',
      help: 'Feeds that are open.',
      type: 'gauge',
      read: () => forwarding.openFeeds(),
    },
    {
      name: 'watched_feeds',
      help: 'Feeds, and bodies on their way, that a revocation would end.',
      type: 'gauge',
      read: () => revocationWatch.count,
    },
    {
      name: 'news_up',
      help: 'Whether changes made through other replicas are known to arrive; caches keep things only briefly otherwise.',
      type: 'gauge',
      aggregator: 'min',
      read: () => (bus.up ? 1 : 0),
    },
  ];
}

function cacheMetrics({ bus, security }: Services): readonly MetricSource[] {
  return [
    {
      name: 'cache_age_seconds',
      help: 'Since when what is cached may miss the changes made through other replicas, to within one reading of the metrics; 0 = it misses none.',
      type: 'gauge',
      aggregator: 'max',
      read: cacheAge(bus),
    },
    {
      name: 'security_cache_hits_total',
      help: 'Permissions found in the cache.',
      type: 'counter',
      read: () => security.stats.hits,
    },
    {
      name: 'security_cache_misses_total',
      help: 'Permissions that CouchDB was asked for.',
      type: 'counter',
      read: () => security.stats.misses,
    },
  ];
}

function fileMetrics({ accessLog }: Services, live: LiveSettings): readonly MetricSource[] {
  return [
    {
      name: 'access_log_dropped_lines_total',
      help: 'Lines of the access log that were lost.',
      type: 'counter',
      read: () => accessLog.dropped,
    },
    {
      name: 'reloads_total',
      help: 'Configurations that came into force since the start.',
      type: 'counter',
      aggregator: 'max',
      read: () => live.reloads,
    },
    {
      name: 'reload_failures_total',
      help: 'Configurations that were refused since the start.',
      type: 'counter',
      aggregator: 'max',
      read: () => live.failures,
    },
  ];
}

/** Seconds since a reading of the metrics last found the news up. */
function cacheAge(bus: Services['bus']): () => number {
  let freshAt = performance.now();
  return () => {
    if (bus.up) freshAt = performance.now();
    return bus.up ? 0 : (performance.now() - freshAt) / 1000;
  };
}
