// Records a request: assigns its id, then writes its access-log line and counts it when it ends.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type RequestHandler } from 'express';
import { onClosed } from '../closed-response.ts';
import { type Context, contextOf } from '../context.ts';
import { Unavailable } from '../http-errors.ts';
import { type AccessLog } from './access-log.ts';
import { connectionOf } from './connection.ts';
import { type LateLines } from './late-lines.ts';
import { accessLine, type LineParts, shortLine } from './line.ts';
import { terminationState } from './outcome.ts';
import { isRequestId, requestIdMaker } from './request-id.ts';
import { type RequestMetrics } from './request-metrics.ts';

export interface RecordParameters {
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly lateLines: LateLines;
  /** Called with what is thrown after the answer, for the operational log. */
  readonly report: (thrown: unknown, requestId: string) => void;
}

/**
 * The first step. Uses the client's X-Couch-Request-ID or creates one, and sends it with every answer. If the
 * log must be complete and cannot be written, answers 503: no request may run without a line.
 */
export function recordRequest({ accessLog, metrics, lateLines, report }: RecordParameters): RequestHandler {
  const makeId = requestIdMaker();

  /**
   * If the client has left while Couchgate made a change for it, the line waits for the change: it must not
   * miss in an audit.
   */
  function finishRecord(this: ServerResponse): void {
    const req: IncomingMessage = this.req;
    const context = contextOf(req);
    const endedAt = performance.now();
    if (!this.writableFinished) recordDeparture(context, this);
    const status = this.headersSent ? this.statusCode : 0;
    metrics.requestEnded(context, status, endedAt);
    if (!accessLog.enabled) return;
    const { socket } = req;
    const connection = connectionOf(socket);
    const { bytesRead: read, bytesWritten: written } = socket;
    const bytesRead = written - connection.lastBytesWritten;
    const bytesUploaded = read - connection.lastBytesRead;
    connection.lastBytesRead = read;
    connection.lastBytesWritten = written;
    const termination = terminationState(context, req, this);
    const parts = { context, req, status, termination, connection, bytesRead, bytesUploaded, endedAt };
    if (this.writableFinished || context.answering === undefined) writeLine(parts);
    else lateLines.add(context.answering, () => writeLine(parts));
  }

  /** A request whose line cannot be built has a short one: a request without a line would not be audited. */
  function writeLine(parts: LineParts): void {
    let line: string;
    try {
      line = accessLine(parts);
    } catch (thrown) {
      report(thrown, parts.context.id);
      line = shortLine(parts);
    }
    accessLog.write(line);
  }

  return function recordRequestStep(req, res, next) {
    const context = contextOf(req);
    const given = req.headers['x-couch-request-id'];
    context.id = isRequestId(given) ? given : makeId();
    context.answerHeaders.push('X-Couch-Request-ID', context.id);
    context.reportFault = report;
    connectionOf(req.socket);
    metrics.requestStarted();
    onClosed(res, finishRecord);
    if (accessLog.accepting) {
      next();
      return;
    }
    context.outcome.refuse('access-log');
    next(new Unavailable('The access log cannot be written. No request is served without it.'));
  };
}

/**
 * Nothing else ended the exchange, so the client did. Without a decision, no step runs any more. Whoever
 * leaves during the check of its password stays among the refused credentials: it may be guessing.
 */
function recordDeparture({ decision, identified, outcome }: Context, res: ServerResponse): void {
  const isCut = outcome.cutShort !== undefined;
  outcome.cut('client left');
  if (isCut || decision !== undefined || res.headersSent) return;
  const rule = identified === undefined ? 'credentials' : 'undecided';
  outcome.refuse(rule, 'The client left before the decision.');
}
