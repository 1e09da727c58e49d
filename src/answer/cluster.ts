// Answers GET /_api/v2/cluster: the state of the nodes, the feeds, the caches and the readiness checks.
import { isJsonObject } from '../json/object.ts';
import { VERSION } from '../config/version.ts';
import { type Couch } from '../couch/couch.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

/** The state and the load of a node, as forwarding reports it. Times in milliseconds since 1970. */
export interface ReportedNode {
  readonly url: string;
  readonly state: string;
  readonly reason: string;
  readonly changedAt: number;
  readonly lastProbe: { readonly at: number; readonly latencyMs: number | undefined } | undefined;
  readonly running: number;
  readonly waiting: number;
  readonly feeds: number;
}

export interface ClusterDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly nodes: { report(): readonly ReportedNode[] };
  readonly readiness: () => { readonly ready: boolean; readonly checks: object };
  readonly openFeeds: () => number;
  readonly revocationWatch: { readonly count: number };
  readonly bus: { readonly up: boolean };
  readonly permissions: {
    readonly stats: { readonly hits: number; readonly misses: number };
    readonly index: { readonly size: number };
  };
  readonly accessLog: { readonly enabled: boolean; readonly accepting: boolean; readonly dropped: number };
  readonly live: { readonly reloads: number; readonly failures: number };
}

/** A node that takes longer has no version in the answer. */
const VERSION_TIMEOUT_MS = 2000;

/**
 * Creates the handler. Counters are those of the process that answers; each node is asked for its version.
 * The host and port of a node are shown, never the credentials that a URL could hold.
 */
export function clusterHandlers(deps: ClusterDeps): Pick<Answers, 'api-cluster'> {
  const { readiness, openFeeds, revocationWatch, bus, permissions, accessLog, live } = deps;
  return {
    async 'api-cluster'(_req, res) {
      const nodes = await Promise.all(deps.nodes.report().map((node) => describeNode(deps.couch, node)));
      const { ready, checks } = readiness();
      sendJson(res, 200, {
        version: VERSION,
        ready,
        checks,
        nodes,
        feeds: { open: openFeeds(), watched: revocationWatch.count },
        caches: {
          invalidation_feed_up: bus.up,
          permission_records: permissions.index.size,
          permission_hits: permissions.stats.hits,
          permission_misses: permissions.stats.misses,
        },
        access_log: {
          enabled: accessLog.enabled,
          accepting: accessLog.accepting,
          dropped_lines: accessLog.dropped,
        },
        configuration: { reloads: live.reloads, failed_reloads: live.failures },
        process: { pid: process.pid, uptime_seconds: Math.floor(process.uptime()), node: process.version },
      });
    },
  };
}

async function describeNode(couch: Pick<Couch, 'ask'>, node: ReportedNode): Promise<object> {
  const { url, state, reason, changedAt, lastProbe, running, waiting, feeds } = node;
  return {
    node: new URL(url).host,
    state,
    reason: reason === '' ? null : reason,
    since: new Date(changedAt).toISOString(),
    probed_at: lastProbe === undefined ? null : new Date(lastProbe.at).toISOString(),
    latency_ms: lastProbe?.latencyMs === undefined ? null : Math.round(lastProbe.latencyMs * 10) / 10,
    version: state === 'up' || state === 'half-open' ? await versionOf(couch, url) : null,
    running,
    waiting,
    feeds,
  };
}

/** The version that the node names at `/`; null if it does not answer in time. */
async function versionOf(couch: Pick<Couch, 'ask'>, node: string): Promise<string | null> {
  try {
    const { body } = await couch.ask({ method: 'GET', path: '/', node, timeoutMs: VERSION_TIMEOUT_MS });
    const version = isJsonObject(body) ? body['version'] : undefined;
    return typeof version === 'string' ? version : null;
  } catch {
    return null;
  }
}
