// Restarts nodes one after the other, so that the cluster goes on serving. Whether that is wanted is index.ts's business.
import { setTimeout as wait } from 'node:timers/promises';
import { fieldsOf } from './admin.ts';
import { type SetupNode } from './node.ts';

const POLL_MS = 250;
const RESTART_TIMEOUT_MS = 120_000;

/**
 * Restarts one node and waits until it serves again. The Erlang VM stays the same process (init:restart), so a supervisor or container
 * notices nothing. Rejects when the node does not come back.
 * docs.couchdb.org/en/stable/api/server/common.html#node-node-name-restart
 */
export async function restartNode(node: SetupNode): Promise<void> {
  const startedAt = performance.now();
  // The answer may be cut off by the restart itself.
  const answer = await node.admin.ask('POST', `${nodePath(node)}/_restart`, {}).catch(() => undefined);
  if (answer !== undefined && answer.status >= 400)
    throw new Error(`${node.name} refuses to restart (status ${answer.status})`);
  for (;;) {
    const elapsedMs = performance.now() - startedAt;
    const uptimeSeconds = await uptimeOf(node);
    // CouchDB counts whole seconds: an uptime that is shorter than the time since we asked is one that began since.
    if (uptimeSeconds !== undefined && uptimeSeconds * 1000 < elapsedMs && (await isUp(node))) return;
    if (elapsedMs > RESTART_TIMEOUT_MS) throw new Error(`${node.name} did not come back after its restart`);
    await wait(POLL_MS);
  }
}

/** Names of the authentication handlers that a node runs with, which are not those of its settings until it restarts. */
export async function runningHandlers(node: SetupNode): Promise<readonly string[]> {
  const info = fieldsOf(fieldsOf((await node.admin.ask('GET', '/_session')).body)['info']);
  const handlers = info['authentication_handlers'];
  return Array.isArray(handlers) ? handlers.map(String) : [];
}

async function uptimeOf(node: SetupNode): Promise<number | undefined> {
  const answer = await node.admin.ask('GET', `${nodePath(node)}/_system`).catch(() => undefined);
  const uptime = answer?.status === 200 ? fieldsOf(answer.body)['uptime'] : undefined;
  return typeof uptime === 'number' ? uptime : undefined;
}

/** `/_up` is the node's own; of one that is reached through another its statistics are all there is. */
async function isUp(node: SetupNode): Promise<boolean> {
  if (!node.isDirect) return true;
  return (await node.admin.ask('GET', '/_up').catch(() => undefined))?.status === 200;
}

function nodePath(node: SetupNode): string {
  return `/_node/${encodeURIComponent(node.segment)}`;
}
