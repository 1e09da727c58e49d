// Says in HAProxy's two letters how an exchange ended, as Cloudant's log does.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Context } from '../context.ts';

/**
 * Who ended it: C client, S CouchDB, P Couchgate, K killed by Couchgate while it ran, or -; and in what phase: R request, H waiting for the head,
 * D data, or -. Source: HAProxy configuration manual, "Session state at disconnection"; the cookie letters are always `--`.
 */
export function terminationState(context: Context, req: IncomingMessage, res: ServerResponse): string {
  const { decision, overruled, upstream, ended } = context;
  if (res.writableFinished) {
    if (ended !== undefined) return `${party(ended)}D--`;
    if (decision?.allow === true && overruled === undefined)
      return upstream.sentAt !== undefined && res.statusCode >= 502 ? 'SH--' : '----';
    return res.statusCode < 400 ? '----' : 'PR--';
  }
  const phase = !req.complete && upstream.answeredAt === undefined ? 'R' : res.headersSent ? 'D' : 'H';
  return `${party(ended)}${phase}--`;
}

function party(ended: string | undefined): string {
  if (ended === undefined || ended.startsWith('client')) return 'C';
  return ended.startsWith('upstream') ? 'S' : 'K';
}
