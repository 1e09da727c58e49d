// Defines the metrics of the services.
import { type MetricSource } from './audit/metrics.ts';
import { type LiveSettings } from './config/reload.ts';
import { type Forwarding } from './forward/index.ts';
import { type NodeState } from './forward/node.ts';
import { type Nodes } from './forward/nodes.ts';
import { type Services } from './services.ts';

const STATES: readonly NodeState[] = ['unknown', 'up', 'half-open', 'draining', 'down'];

/** Metrics of nodes, feeds, caches and files, without the prefix `couchgate_`. */
export function serviceMetrics(
  services: Services,
  forwarding: Forwarding,
  live: LiveSettings,
): readonly MetricSource[] {
  return [
    ...nodeMetrics(services.nodes),
    ...feedMetrics(services, forwarding),
    ...cacheMetrics(services),
    ...recordMetrics(services),
    ...grantMetrics(services),
    ...fileMetrics(services, live),
    ...historyMetrics(services),
    ...backupMetrics(services),
  ];
}

const hostOf = (url: string): string => new URL(url).host;

function nodeMetrics(nodes: Nodes): readonly MetricSource[] {
  return [
    {
      name: 'node_state',
      help: '1 if the CouchDB node is in this state, else 0.',
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
      help: 'Requests at a CouchDB node: running, waiting for a connection, or feed.',
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
      help: 'Open feeds.',
      type: 'gauge',
      read: () => forwarding.openFeeds(),
    },
    {
      name: 'watched_feeds',
      help: 'Exchanges that a revocation would end: feeds, incomplete request bodies, waiting requests, long answers.',
      type: 'gauge',
      read: () => revocationWatch.count,
    },
    {
      name: 'news_up',
      help: '1 if the invalidation feed works; otherwise 0, and caches use their fallback times.',
      type: 'gauge',
      aggregator: 'min',
      read: () => (bus.up ? 1 : 0),
    },
  ];
}

function cacheMetrics({ bus, keys, permissions }: Services): readonly MetricSource[] {
  return [
    {
      name: 'cache_age_seconds',
      help: 'Seconds since the invalidation feed last worked, measured when metrics are read; 0 = it works.',
      type: 'gauge',
      aggregator: 'max',
      read: cacheAge(bus),
    },
    {
      name: 'keys_in_memory',
      help: 'API keys in memory.',
      type: 'gauge',
      read: () => keys.stats.entries,
    },
    {
      name: 'key_reads_total',
      help: 'Names read from the store because they were not in memory as API keys.',
      type: 'counter',
      read: () => keys.stats.reads,
    },
    {
      name: 'security_cache_hits_total',
      help: 'Reads of permissions answered from the cache.',
      type: 'counter',
      read: () => permissions.stats.hits,
    },
    {
      name: 'security_cache_misses_total',
      help: 'Reads of permissions sent to CouchDB.',
      type: 'counter',
      read: () => permissions.stats.misses,
    },
  ];
}

function recordMetrics({
  permissions,
  recordFollower,
  recordMaintenance,
  storeMajority,
}: Services): readonly MetricSource[] {
  return [
    {
      name: 'permission_records',
      help: 'Databases with a permission record, deleted ones included; 0 until the records are read.',
      type: 'gauge',
      aggregator: 'max',
      read: () => permissions.index.size,
    },
    {
      name: 'permission_records_unfinished',
      help: 'Permission records with a change that is not complete.',
      type: 'gauge',
      aggregator: 'max',
      read: () => recordFollower.unfinished,
    },
    {
      name: 'permission_conflicts_total',
      help: 'Times that a permission record had several states at once.',
      type: 'counter',
      aggregator: 'max',
      read: () => recordFollower.conflicts,
    },
    {
      name: 'permission_changes_finished_total',
      help: 'Changes of permissions that this process finished for a writer that did not.',
      type: 'counter',
      read: () => recordFollower.healed,
    },
    {
      name: 'permission_drift',
      help: 'Databases whose security object differs from the record and was not repaired, by what differs.',
      type: 'gauge',
      aggregator: 'max',
      read: () => [...recordMaintenance.drift].map(([drift, value]) => ({ labels: { drift }, value })),
    },
    {
      name: 'permission_repairs_total',
      help: 'Differences between security object and record that this process repaired, by what differed.',
      type: 'counter',
      read: () => [...recordMaintenance.repaired].map(([drift, value]) => ({ labels: { drift }, value })),
    },
    {
      name: 'store_majority_up',
      help: '1 if a majority of the copies of the store is up; otherwise 0, and permissions cannot be changed.',
      type: 'gauge',
      aggregator: 'min',
      read: () => (storeMajority.isUp ? 1 : 0),
    },
  ];
}

function grantMetrics({ prefixGrants, serverGrants }: Services): readonly MetricSource[] {
  return [
    {
      name: 'prefix_grants',
      help: 'Prefix grants in force.',
      type: 'gauge',
      aggregator: 'max',
      read: () => prefixGrants.all.length,
    },
    {
      name: 'server_grants',
      help: 'Server grants in force.',
      type: 'gauge',
      aggregator: 'max',
      read: () => serverGrants.all.length,
    },
    {
      name: 'grant_conflicts',
      help: 'Grants that are not in force because concurrent changes left several states.',
      type: 'gauge',
      aggregator: 'max',
      read: () => prefixGrants.documents.conflicts + serverGrants.documents.conflicts,
    },
  ];
}

function historyMetrics({ history }: Services): readonly MetricSource[] {
  return [
    {
      name: 'permission_history_lost_total',
      help: 'Changes of permissions that could not be stored in the history.',
      type: 'counter',
      read: () => history.lost,
    },
  ];
}

function backupMetrics({ backups: { metrics, scheduler } }: Services): readonly MetricSource[] {
  type Numbers = typeof metrics.databases extends ReadonlyMap<string, infer N> ? N : never;
  // Every process knows the same jobs, so their values are not added.
  const ofDatabases = (
    value: (numbers: Numbers) => number | undefined,
  ): Pick<MetricSource, 'type' | 'aggregator' | 'read'> => ({
    type: 'gauge',
    aggregator: 'max',
    read: () =>
      [...metrics.databases].flatMap(([database, numbers]) => {
        const found = value(numbers);
        return found === undefined ? [] : [{ labels: { database }, value: found }];
      }),
  });
  return [
    {
      name: 'backup_last_success_timestamp_seconds',
      help: 'Time of the last complete backup of a database, in seconds since 1970.',
      ...ofDatabases(({ lastSuccess }) => lastSuccess),
    },
    {
      name: 'backup_last_bytes',
      help: 'Bytes that the last complete backup of a database read.',
      ...ofDatabases(({ lastSuccess, lastBytes }) => (lastSuccess === undefined ? undefined : lastBytes)),
    },
    {
      name: 'backup_last_duration_seconds',
      help: 'Duration of the last complete backup of a database.',
      ...ofDatabases(({ lastSuccess, lastSeconds }) => (lastSuccess === undefined ? undefined : lastSeconds)),
    },
    {
      name: 'backup_failures',
      help: 'Backups of a database that failed or were incomplete since the start.',
      ...ofDatabases(({ failures }) => failures),
    },
    {
      name: 'backup_failed_jobs_total',
      help: 'Backup jobs that failed, were incomplete or interrupted since the start.',
      type: 'counter',
      aggregator: 'max',
      read: () => metrics.failedRuns,
    },
    {
      name: 'backup_missed_runs_total',
      help: 'Scheduled backups that passed without a run.',
      type: 'counter',
      aggregator: 'max',
      read: () => scheduler?.missed ?? 0,
    },
  ];
}

function fileMetrics({ accessLog }: Services, live: LiveSettings): readonly MetricSource[] {
  return [
    {
      name: 'access_log_dropped_lines_total',
      help: 'Lost lines of the access log.',
      type: 'counter',
      read: () => accessLog.dropped,
    },
    {
      name: 'reloads_total',
      help: 'Configuration reloads applied since the start.',
      type: 'counter',
      aggregator: 'max',
      read: () => live.reloads,
    },
    {
      name: 'reload_failures_total',
      help: 'Configuration reloads rejected since the start.',
      type: 'counter',
      aggregator: 'max',
      read: () => live.failures,
    },
  ];
}

/** Returns the seconds since a read of the metrics last found the feed up; 0 = it is up. */
function cacheAge(bus: Services['bus']): () => number {
  let freshAt = performance.now();
  return () => {
    if (bus.up) freshAt = performance.now();
    return bus.up ? 0 : (performance.now() - freshAt) / 1000;
  };
}
