// Sends the continuous and the eventsource feed: a line or an event for every change, until the limit, the timeout or the client ends it.
import { readChanges, shownChange } from './change-reader.ts';
import { type ChangesRequest } from './changes.ts';
import { type DatabaseExchange } from './exchange.ts';
import { FeedWait, write } from './feed-wait.ts';
import { type ChangeRow } from './pouch.ts';
import { shownSeq } from './sequence.ts';

interface Form {
  readonly contentType: string;
  readonly beat: string;
  readonly row: (row: ChangeRow, request: ChangesRequest) => string;
  readonly end: (last: number) => string;
}

const LINES: Form = {
  contentType: 'application/json',
  beat: '\n',
  row: (row, request) => `${shownChange(row, request)}\n`,
  end: (last) => `{"last_seq":"${shownSeq(last)}","pending":0}\n`,
};

const EVENTS: Form = {
  contentType: 'text/event-stream',
  beat: 'event: heartbeat\ndata: \n\n',
  row: (row, request) => `data: ${shownChange(row, request)}\nid: ${shownSeq(row.seq)}\n\n`,
  end: () => '',
};

export const sendContinuous = (exchange: DatabaseExchange, request: ChangesRequest) =>
  send(exchange, request, LINES);
export const sendEventSource = (exchange: DatabaseExchange, request: ChangesRequest) =>
  send(exchange, request, EVENTS);

async function send({ res, database }: DatabaseExchange, request: ChangesRequest, form: Form): Promise<void> {
  res.writeHead(200, {
    'Content-Type': form.contentType,
    'Cache-Control': form === EVENTS ? 'no-cache' : 'must-revalidate',
  });
  res.flushHeaders();
  const wait = new FeedWait(database, res, request.heartbeatMs, form.beat);
  let last = request.since;
  let left = request.limit;
  try {
    do {
      const changes = readChanges(database, request, last);
      for (;;) {
        const next = await changes.next();
        last = next.done === true ? next.value : next.value.seq;
        if (next.done === true || left === 0 || wait.isOver) break;
        await write(res, form.row(next.value, request));
        left -= 1;
      }
    } while (left > 0 && !wait.isOver && (await wait.forChange(request.timeoutMs)));
    res.end(form.end(last));
  } finally {
    wait.end();
  }
}
