// Requests about the state of the cluster.
import { call } from './http.ts';

/** Times in ISO 8601. */
export interface ClusterNode {
  readonly node: string;
  readonly state: 'unknown' | 'up' | 'half-open' | 'draining' | 'down';
  readonly reason: string | null;
  readonly since: string;
  readonly probed_at: string | null;
  readonly latency_ms: number | null;
  readonly version: string | null;
  readonly running: number;
  readonly waiting: number;
  readonly feeds: number;
}

export interface Cluster {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, boolean | number | string>>;
  readonly nodes: readonly ClusterNode[];
  readonly feeds: { readonly open: number; readonly watched: number };
  readonly caches: {
    readonly invalidation_feed_up: boolean;
    readonly permission_records: number;
    readonly permission_hits: number;
    readonly permission_misses: number;
  };
  readonly access_log: {
    readonly enabled: boolean;
    readonly accepting: boolean;
    readonly dropped_lines: number;
  };
  readonly configuration: { readonly reloads: number; readonly failed_reloads: number };
  readonly process: { readonly pid: number; readonly uptime_seconds: number; readonly node: string };
}

export async function readCluster(signal: AbortSignal): Promise<Cluster> {
  return (await call<Cluster>({ path: '_api/v2/cluster', signal })).body;
}
