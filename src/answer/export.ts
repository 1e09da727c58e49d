// Answers GET /_api/v2/db/{db}/_export: the documents of a database as JSON, JSON lines or CSV.
import { type Response } from 'express';
import { onClosed } from '../closed-response.ts';
import { type Context, type CutReason, databaseOf, known, permitted } from '../context.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { documentPages } from '../export/document-pages.ts';
import { exportText, type ExportSummary } from '../export/export-text.ts';
import { parseExportOptions, type ExportFormat } from '../export/options.ts';
import { HttpError } from '../http-errors.ts';
import { abortAnswer, drained } from '../respond.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { watchedBy } from '../revocation/watched-exchange.ts';
import { type Answers } from './index.ts';

/** A connection to CouchDB with the rights of the caller, and the feed slot that it holds. */
export interface ExportConnection {
  readonly couch: CouchTransfer;
  close(): Promise<void>;
}

export interface ExportDeps {
  /** Takes a feed slot and one of the few slots of exports. Throws 503 if there is none for this caller. */
  readonly connect: (context: Context) => ExportConnection;
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
}

const TYPES: Readonly<Record<ExportFormat, string>> = {
  json: 'application/json',
  jsonl: 'application/x-ndjson',
  csv: 'text/csv; charset=utf-8; header=present',
};

/** Names of fields that have no column, percent-encoded, separated by commas. */
export const LEFT_OUT_TRAILER = 'X-Couchgate-Fields-Left-Out';

/**
 * Creates the handler. The documents are read with the token of the caller, while it holds the permission: a
 * revocation cuts the answer, so that the client sees it as incomplete (H33).
 */
export function exportHandlers(deps: ExportDeps): Pick<Answers, 'db-export'> {
  return { 'db-export': (_req, res, context) => sendExport(deps, res, context) };
}

async function sendExport(
  { connect, revocationWatch }: ExportDeps,
  res: Response,
  context: Context,
): Promise<void> {
  const options = parseExportOptions(known(context.target, 'target').query);
  const database = databaseOf(context);
  const connection = connect(context);
  const stop = new AbortController();
  const cut = (reason: CutReason): void => {
    context.outcome.cut(reason);
    stop.abort();
    abortAnswer(res);
  };
  const left = (): void => stop.abort();
  onClosed(res, left);
  const unwatch = revocationWatch.register(watchedBy(context, permitted(context), cut), { checkNow: true });
  const summary: ExportSummary = { documents: 0, leftOut: [] };
  try {
    const { couch } = connection;
    const pages = documentPages({ couch, database, signal: stop.signal }, options);
    for await (const piece of exportText(pages, options, summary)) {
      if (isGone(stop, res)) return;
      if (!res.headersSent) writeHead(res, database, options.format);
      if (piece !== '' && !res.write(piece)) await drained(res);
    }
    if (isGone(stop, res)) return;
    if (summary.leftOut.length > 0 && mayHaveTrailers(res))
      res.addTrailers({ [LEFT_OUT_TRAILER]: summary.leftOut.map(encodeURIComponent).join(',') });
    res.end();
  } catch (error) {
    if (stop.signal.aborted) return;
    if (res.headersSent) context.outcome.cut('upstream truncated');
    throw error;
  } finally {
    unwatch();
    res.removeListener('close', left);
    await connection.close();
  }
}

function isGone(stop: AbortController, res: Response): boolean {
  return stop.signal.aborted || res.destroyed;
}

function writeHead(res: Response, database: string, format: ExportFormat): void {
  // A name of a database has no quote and no control character; a slash would be a folder.
  const name = `${database.replaceAll('/', '_')}.${format}`;
  res.writeHead(200, {
    'Content-Type': TYPES[format],
    'Content-Disposition': `attachment; filename="${name}"`,
    'Cache-Control': 'no-store',
    ...(mayHaveTrailers(res) ? { Trailer: LEFT_OUT_TRAILER } : {}),
  });
}

/** Trailers need chunks, which HTTP/1.0 does not have: the end of the connection ends the answer. */
function mayHaveTrailers({ req }: Response): boolean {
  return req.httpVersionMinor > 0;
}

/** The refusal of a caller who has no slot left. */
export class NoFeedSlot extends HttpError {
  constructor() {
    super(503, 'service_unavailable', 'Too many feeds and exports are open.', {
      headers: { 'Retry-After': '5' },
    });
  }
}
