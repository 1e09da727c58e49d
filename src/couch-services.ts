// Builds the two connections to CouchDB: the nodes for forwarded requests, and the client for internal
// requests.
import { type OperationalLog } from './config/operational-log.ts';
import { type Settings } from './config/settings.ts';
import { createCouch, type CouchClient } from './couch/client.ts';
import { checkNode } from './couch/node-check.ts';
import { type TokenMinter } from './identity/token-minter.ts';
import { Nodes } from './forward/nodes.ts';

interface CouchInputs {
  readonly settings: Settings;
  readonly log: OperationalLog;
}

/**
 * Builds the pool of nodes. `check` replaces the health check in tests; `ca` = PEM of the CA of https nodes.
 */
export function openNodes(
  { settings, nodeUrls, log }: CouchInputs & { readonly nodeUrls: readonly string[] },
  tokens: TokenMinter,
  ca: string | undefined,
  check: ((url: string) => Promise<void>) | undefined,
): Nodes {
  const limits = {
    connectTimeoutMs: settings.couchdbConnectTimeoutMs,
    idleTimeoutMs: settings.couchdbIdleTimeoutMs,
    keepAliveMs: settings.couchdbKeepaliveMs,
    maxIdle: settings.couchdbConnections,
    ca,
  };
  return new Nodes({
    urls: nodeUrls,
    limits: {
      ...limits,
      connections: settings.couchdbConnections,
      queue: settings.couchdbQueue,
      feeds: settings.couchdbFeeds,
      share: settings.couchdbCallerShare / 100,
      // Long enough for a busy node and for several health checks; short enough for clients that wait for a
      // node that is gone.
      vanishedMs: Math.max(60_000, 3 * settings.healthIntervalMs),
    },
    intervalMs: settings.healthIntervalMs,
    authorization: () => `Bearer ${tokens.tokenForSelf()}`,
    check:
      check ??
      (async (url) => {
        const notice = await checkNode(url, tokens.tokenForSelf(), ca === undefined ? {} : { ca });
        if (notice !== undefined) log.warn({ notice }, 'CouchDB node has a setting that restricts clients');
      }),
    onState: (node, state, reason) => {
      const fields = { node: node.host, state, reason };
      if (state === 'up') log.info(fields, 'CouchDB node is up');
      else log.warn(fields, 'CouchDB node changed state');
    },
  });
}

/** Builds the client of internal requests. */
export function openCouch(
  { settings, log }: CouchInputs,
  tokens: TokenMinter,
  nodes: Nodes,
  ca: string | undefined,
): CouchClient {
  return createCouch({
    pickNode: (tried, inOrder) => nodes.pickForSelf(tried, inOrder),
    authorization: () => `Bearer ${tokens.tokenForSelf()}`,
    nodeFailed: (url) => nodes.markSuspectUrl(url),
    feedFailed: (database, reason) => log.warn({ database, reason }, 'change feed of a database failed'),
    connectTimeoutMs: settings.couchdbConnectTimeoutMs,
    keepAliveMs: settings.couchdbKeepaliveMs,
    reads: { share: settings.couchdbCallerShare / 100 },
    ...(ca === undefined ? {} : { ca }),
  });
}
