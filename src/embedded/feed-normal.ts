// Sends the normal and the longpoll feed: one JSON object, at once or after the first change.
import { type ServerResponse } from 'node:http';
import { pendingAfter, readChanges, shownChange } from './change-reader.ts';
import { type ChangesRequest } from './changes.ts';
import { type DatabaseExchange } from './exchange.ts';
import { FeedWait, write } from './feed-wait.ts';
import { shownSeq } from './sequence.ts';

const HEAD = { 'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate' };

interface Sent {
  readonly count: number;
  readonly last: number;
}

/** All changes after `since`, at once. */
export async function sendNormal(
  { res, database }: DatabaseExchange,
  request: ChangesRequest,
): Promise<void> {
  const rows = new RowList(res, request);
  const { last } = await rows.sendAll(database, request.since);
  await rows.end(last, await pendingAfter(database, last));
}

/** The changes after `since`; when there are none, the next one, or an empty list when the time is over. */
export async function sendLongpoll(
  { res, database }: DatabaseExchange,
  request: ChangesRequest,
): Promise<void> {
  const rows = new RowList(res, request);
  const wait = new FeedWait(database, res, 0, '');
  try {
    let sent = await rows.sendAll(database, request.since);
    if (sent.count === 0 && request.limit > 0) {
      await rows.open();
      const beats = new FeedWait(database, res, request.heartbeatMs, '\n');
      try {
        while (sent.count === 0 && !wait.isOver && (await wait.forChange(request.timeoutMs)))
          sent = await rows.sendAll(database, sent.last);
      } finally {
        beats.end();
      }
    }
    await rows.end(sent.last, wait.isOver ? 0 : await pendingAfter(database, sent.last));
  } finally {
    wait.end();
  }
}

/** The `{"results":[…]}` of both feeds. Its head leaves with the first row, so that an error before it still has a status of its own. */
class RowList {
  readonly #res: ServerResponse;
  readonly #request: ChangesRequest;
  #isOpen = false;
  #count = 0;

  constructor(res: ServerResponse, request: ChangesRequest) {
    this.#res = res;
    this.#request = request;
  }

  async open(): Promise<void> {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#res.writeHead(200, HEAD);
    await write(this.#res, '{"results":[\n');
  }

  /** Sends what there is after `since`, up to the limit. */
  async sendAll(database: DatabaseExchange['database'], since: number): Promise<Sent> {
    if (this.#request.limit === 0) return { count: 0, last: since };
    const changes = readChanges(database, this.#request, since);
    for (;;) {
      const next = await changes.next();
      if (next.done === true) return { count: this.#count, last: next.value };
      await this.open();
      await write(this.#res, (this.#count > 0 ? ',\n' : '') + shownChange(next.value, this.#request));
      this.#count += 1;
      if (this.#count >= this.#request.limit || this.#res.destroyed)
        return { count: this.#count, last: next.value.seq };
    }
  }

  async end(last: number, pending: number): Promise<void> {
    await this.open();
    this.#res.end(`\n],\n"last_seq":"${shownSeq(last)}","pending":${pending}}\n`);
  }
}
