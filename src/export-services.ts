// Builds the connection of an export: a node with a free feed slot, and the token of the caller.
import { type ExportConnection, NoFeedSlot } from './answer/export.ts';
import { readCouchdbCa } from './config/couchdb-ca.ts';
import { callerOf, type Context, known, permitted } from './context.ts';
import { createTransfer } from './couch/transfer.ts';
import { ConcurrencyLimiter } from './limits/concurrency-limiter.ts';
import { sharedKeyOf } from './principal/caller.ts';
import { type Services } from './services.ts';

/** An export is repeated by its client, so it does not wait long for a node. */
const PATIENCE_MS = 10_000;
const CONNECTIONS = 2;
/** Of a worker. Each holds a page of documents, up to 8 MiB of JSON, while its client does not read (H33). */
const EXPORTS_AT_ONCE = 8;
/** Of a caller; nobody is one caller. */
const EXPORTS_PER_CALLER = 2;

/** Returns the function that takes a slot and opens a connection. It throws `NoFeedSlot`. */
export function exportConnections({
  nodes,
  tokens,
  settings,
}: Pick<Services, 'nodes' | 'tokens' | 'settings'>): (context: Context) => ExportConnection {
  const ca = readCouchdbCa(settings);
  const exports = new ConcurrencyLimiter({
    limit: EXPORTS_AT_ONCE,
    queueLimit: 0,
    share: EXPORTS_PER_CALLER / EXPORTS_AT_ONCE,
  });
  return (context) => {
    const { principal } = known(context.identified, 'identified');
    const { database } = known(context.operation, 'operation');
    const decision = permitted(context);
    const caller = sharedKeyOf(callerOf(context));
    if (!exports.hasFreeSlot(caller)) throw new NoFeedSlot();
    const node = nodes.pick('feed', caller);
    const limiter = node?.limiter('feed');
    if (node === undefined || limiter?.takeFreeSlot(caller) !== true) throw new NoFeedSlot();
    exports.takeFreeSlot(caller);
    const couch = createTransfer({
      pickNode: (tried) => (tried.has(node.url) ? nodes.pickForSelf(tried) : { url: node.url }),
      authorization() {
        const token = tokens.tokenFor(principal, decision, database);
        return token === undefined ? undefined : `Bearer ${token}`;
      },
      nodeFailed: (url) => nodes.markSuspectUrl(url),
      connectTimeoutMs: settings.couchdbConnectTimeoutMs,
      patienceMs: PATIENCE_MS,
      connections: CONNECTIONS,
      ...(ca === undefined ? {} : { ca }),
    });
    return {
      couch,
      async close() {
        exports.release(caller);
        limiter.release(caller);
        await couch.close();
      },
    };
  };
}
