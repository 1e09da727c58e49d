// Answers POST /_replicate: runs or cancels one replication between two databases.
import { randomBytes } from 'node:crypto';
import { BadRequest, HttpError } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { readJsonObject } from './body.ts';
import { type Exchange, type Methods } from './exchange.ts';
import { type Json } from './json.ts';
import { endpointOf, startReplication, type ReplicationResult } from './replication.ts';

/** The methods of `/_replicate`. */
export const replicateMethods: Methods<Exchange> = { allow: 'POST', POST: replicate };

/** docs.couchdb.org/en/stable/api/server/common.html#replicate */
async function replicate(exchange: Exchange): Promise<void> {
  const { node, req, res } = exchange;
  const body = await readJsonObject(req, 'required');
  if (body['cancel'] === true) {
    cancel(exchange, body);
    return;
  }
  const own = { url: node.url(), authorization: req.headers.authorization };
  const source = endpointOf(body['source'], own);
  const target = endpointOf(body['target'], own);
  if (source === undefined || target === undefined)
    throw new BadRequest('`source` and `target` are required', 'invalid_replication');
  const started = new Date();
  const running = startReplication(source, target, body);
  if (body['continuous'] === true) {
    const id = node.replications.addContinuous(running);
    sendJson(res, 202, { ok: true, _local_id: id });
    return;
  }
  const result = await running.done.catch((error: unknown) => {
    throw replicationError(error);
  });
  sendJson(res, 200, reportOf(result, started));
}

function cancel({ node, res }: Exchange, body: Json): void {
  const id = body['replication_id'];
  if (typeof id !== 'string' || !node.replications.cancel(id))
    throw new HttpError(404, 'not_found', 'not_found');
  sendJson(res, 200, { ok: true, _local_id: id });
}

function replicationError(error: unknown): HttpError {
  const { status, message, reason } = error as { status?: number; message?: string; reason?: string };
  if (status === 404)
    return new HttpError(404, 'db_not_found', 'could not open the source or target database');
  if (status === 401 || status === 403)
    return new HttpError(status, status === 401 ? 'unauthorized' : 'forbidden', reason ?? message ?? '');
  return new HttpError(500, 'replication_error', reason ?? message ?? 'the replication failed');
}

/** CouchDB's report of a finished replication. PouchDB counts documents only, so some fields are equal. */
function reportOf(result: ReplicationResult, started: Date): object {
  const session = randomBytes(16).toString('hex');
  const last = String(result.last_seq);
  return {
    ok: true,
    ...(result.docs_written === 0 ? { no_changes: true } : {}),
    session_id: session,
    source_last_seq: last,
    replication_id_version: 4,
    history: [
      {
        session_id: session,
        start_time: started.toUTCString(),
        end_time: new Date().toUTCString(),
        start_last_seq: 0,
        end_last_seq: last,
        recorded_seq: last,
        missing_checked: result.docs_read,
        missing_found: result.docs_read,
        docs_read: result.docs_read,
        docs_written: result.docs_written,
        doc_write_failures: result.doc_write_failures,
        bulk_get_attempts: result.docs_read,
        bulk_get_docs: result.docs_read,
      },
    ],
  };
}
