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

/** Of `setup`: `advice` = worth a look. */
export interface SettingCheck {
  readonly check: string;
  readonly result: 'passed' | 'failed' | 'advice';
  readonly why: string;
  readonly remedy: string | null;
}

export interface CheckedNode {
  readonly node: string;
  readonly state: 'checked' | 'away' | 'refused' | 'no settings';
  readonly reason: string | null;
  readonly checks: readonly SettingCheck[];
}

/** What `couchgate setup` would say. */
export interface InstallationReport {
  readonly checked_at: string;
  readonly passed: boolean;
  readonly nodes: readonly CheckedNode[];
  readonly folders: readonly {
    readonly folder: string;
    readonly encryption: 'encrypted' | 'plain' | 'unseen';
    readonly reason?: string;
  }[];
}

export interface Cluster {
  /** Of Couchgate. */
  readonly version: string;
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

/** Runs the check; it takes some seconds if a node is slow. */
export async function checkCluster(signal: AbortSignal): Promise<InstallationReport> {
  return (await call<InstallationReport>({ path: '_api/v2/cluster/check', signal })).body;
}
