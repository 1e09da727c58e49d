// Keeps the place of a read whose client has left until the node has done its work (H15).
import { type ClientRequest } from 'node:http';
import { type ConcurrencyLimiter } from '../limits/concurrency-limiter.ts';

/** CouchDB collects documents for at most 60 s (fabric_util.erl, request_timeout), and then encodes them. */
const LONGEST_WORK_MS = 300_000;

/**
 * Takes over a request that was sent completely and is not answered. Releases the slot of `caller` when the
 * answer begins, which is dropped, when the connection is closed, or after `longestMs`.
 *
 * Closing the connection would not end the work. The request process of CouchDB reads nothing from it until
 * it has answered, and sees that it is closed when it writes. `_bulk_get`, `open_revs` and `attachments`
 * collect everything before they write the first byte (chttpd_db.erl; fabric_open_revs.erl,
 * fabric_doc_open_revs.erl, fabric_doc_open.erl). Only for rows and feeds, another process looks every 30 to
 * 45 s whether the client is there (fabric_streams.erl, fabric_db_update_listener.erl); they too have many
 * documents in memory before the first row. After the first byte, the next write fails and ends the work.
 */
export function abandonRead(
  upstream: ClientRequest,
  limiter: ConcurrencyLimiter,
  caller: string,
  longestMs = LONGEST_WORK_MS,
): void {
  // Its listeners hold the exchange, and with it the body of the request: up to 16 MiB.
  upstream.removeAllListeners();
  const end = (): void => void upstream.destroy();
  const timer = setTimeout(end, longestMs).unref();
  upstream
    .once('response', end)
    .on('error', () => undefined)
    .once('close', () => {
      clearTimeout(timer);
      limiter.release(caller);
    });
}
