// Restarts CouchDB nodes and reads which authentication handlers they run with.
import { setTimeout as wait } from 'node:timers/promises';
import { fieldsOf } from './admin.ts';
import { type SetupNode } from './node.ts';

const POLL_MS = 250;
const RESTART_TIMEOUT_MS = 120_000;

/**
 * Restarts one node and waits until it is up. The Erlang VM stays in the same OS process (init:restart), so a
 * supervisor or container does not notice. Rejects if the node is not up after RESTART_TIMEOUT_MS.
 * docs.couchdb.org/en/stable/api/server/common.html#node-node-name-restart
 */
export async function restartNode(node: SetupNode): Promise<void> {
  const startedAt = performance.now();
  // The restart may interrupt the response.
  const answer = await node.admin.ask('POST', `${nodePath(node)}/_restart`, {}).catch(() => undefined);
  if (answer !== undefined && answer.status >= 400)
    throw new Error(`${node.name} rejected the restart (status ${answer.status})`);
  for (;;) {
    const elapsedMs = performance.now() - startedAt;
    const uptimeSeconds = await uptimeOf(node);
    // CouchDB reports whole seconds. An uptime shorter than the time since the request belongs to the new
    // start.
    if (uptimeSeconds !== undefined && uptimeSeconds * 1000 < elapsedMs && (await isUp(node))) return;
    if (elapsedMs > RESTART_TIMEOUT_MS) throw new Error(`${node.name} did not come up after the restart`);
    await wait(POLL_MS);
  }
}

/**
 * Returns the authentication handlers that a node runs with. They differ from its settings until it restarts.
 */
export async function runningHandlers(node: SetupNode): Promise<readonly string[]> {
  const info = fieldsOf(fieldsOf((await node.admin.ask('GET', '/_session')).body)['info']);
  const handlers = info['authentication_handlers'];
  return Array.isArray(handlers) ? handlers.map(String) : [];
}

/** True if signed tokens come first, and the proxy handler, which trusts every client, is not there. */
export function runsOurHandlers(handlers: readonly string[]): boolean {
  return handlers[0] === 'jwt' && !handlers.includes('proxy');
}

async function uptimeOf(node: SetupNode): Promise<number | undefined> {
  const answer = await node.admin.ask('GET', `${nodePath(node)}/_system`).catch(() => undefined);
  const uptime = answer?.status === 200 ? fieldsOf(answer.body)['uptime'] : undefined;
  return typeof uptime === 'number' ? uptime : undefined;
}

/**
 * `/_up` answers for the node that receives the request. For an indirect node, `_system` is the only
 * evidence.
 */
async function isUp(node: SetupNode): Promise<boolean> {
  if (!node.isDirect) return true;
  return (await node.admin.ask('GET', '/_up').catch(() => undefined))?.status === 200;
}

function nodePath(node: SetupNode): string {
  return `/_node/${encodeURIComponent(node.segment)}`;
}
