// Sends the continuous and the eventsource feed: one line or event per change until it ends.
import { readChanges, formatChange } from './change-reader.ts';
import { type ChangesRequest } from './changes.ts';
import { type DatabaseExchange } from './exchange.ts';
import { ChangeWaiter, writeWithBackPressure } from './feed-wait.ts';
import { type ChangeRow } from './pouch.ts';
import { formatSeq } from './sequence.ts';

interface FeedFormat {
  readonly contentType: string;
  readonly heartbeat: string;
  readonly row: (row: ChangeRow, request: ChangesRequest) => string;
  readonly end: (last: number) => string;
}

const LINES: FeedFormat = {
  contentType: 'application/json',
  heartbeat: '\n',
  row: (row, request) => `${formatChange(row, request)}\n`,
  end: (last) => `{"last_seq":"${formatSeq(last)}","pending":0}\n`,
};

const EVENTS: FeedFormat = {
  contentType: 'text/event-stream',
  heartbeat: 'event: heartbeat\ndata: \n\n',
  row: (row, request) => `data: ${formatChange(row, request)}\nid: ${formatSeq(row.seq)}\n\n`,
  end: () => '',
};

/** Sends `feed=continuous`; resolves when the feed ends. */
export const sendContinuous = (exchange: DatabaseExchange, request: ChangesRequest) =>
  send(exchange, request, LINES);
/** Sends `feed=eventsource`; resolves when the feed ends. */
export const sendEventSource = (exchange: DatabaseExchange, request: ChangesRequest) =>
  send(exchange, request, EVENTS);

async function send(
  { res, database }: DatabaseExchange,
  request: ChangesRequest,
  format: FeedFormat,
): Promise<void> {
  res.writeHead(200, {
    'Content-Type': format.contentType,
    'Cache-Control': format === EVENTS ? 'no-cache' : 'must-revalidate',
  });
  res.flushHeaders();
  const waiter = new ChangeWaiter(database, res, request.heartbeatMs, format.heartbeat);
  let last = request.since;
  let remaining = request.limit;
  try {
    do {
      const changes = readChanges(database, request, last);
      for (;;) {
        const next = await changes.next();
        last = next.done === true ? next.value : next.value.seq;
        if (next.done === true || remaining === 0 || waiter.isOver) break;
        await writeWithBackPressure(res, format.row(next.value, request));
        remaining -= 1;
      }
    } while (remaining > 0 && !waiter.isOver && (await waiter.waitForChange(request.timeoutMs)));
    res.end(format.end(last));
  } finally {
    waiter.end();
  }
}
