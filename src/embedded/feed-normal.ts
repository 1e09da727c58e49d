// Sends the normal and the longpoll feed: one JSON object, immediately or after the first change.
import { type ServerResponse } from 'node:http';
import { pendingAfter, readChanges, formatChange } from './change-reader.ts';
import { type ChangesRequest } from './changes.ts';
import { type DatabaseExchange } from './exchange.ts';
import { ChangeWaiter, writeWithBackPressure } from './feed-wait.ts';
import { formatSeq } from './sequence.ts';

const HEAD = { 'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate' };

interface Sent {
  readonly count: number;
  /** Last sequence that was read. */
  readonly last: number;
}

/** Sends all changes after `since`. */
export async function sendNormal(
  { res, database }: DatabaseExchange,
  request: ChangesRequest,
): Promise<void> {
  const rows = new RowList(res, request);
  const { last } = await rows.sendAll(database, request.since);
  await rows.end(last, await pendingAfter(database, last));
}

/**
 * Sends the changes after `since`. If there are none, waits for one; after the timeout, the list is empty.
 */
export async function sendLongpoll(
  { res, database }: DatabaseExchange,
  request: ChangesRequest,
): Promise<void> {
  const rows = new RowList(res, request);
  const waiter = new ChangeWaiter(database, res, 0, '');
  try {
    let sent = await rows.sendAll(database, request.since);
    if (sent.count === 0 && request.limit > 0) {
      await rows.open();
      const heartbeat = new ChangeWaiter(database, res, request.heartbeatMs, '\n');
      try {
        while (sent.count === 0 && !waiter.isOver && (await waiter.waitForChange(request.timeoutMs)))
          sent = await rows.sendAll(database, sent.last);
      } finally {
        heartbeat.end();
      }
    }
    await rows.end(sent.last, waiter.isOver ? 0 : await pendingAfter(database, sent.last));
  } finally {
    waiter.end();
  }
}

/**
 * Streams `{"results":[…]}`. Sends the head with the first row, so that an earlier error keeps its status.
 */
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
    await writeWithBackPressure(this.#res, '{"results":[\n');
  }

  /** Sends the changes after `since`, up to the limit. */
  async sendAll(database: DatabaseExchange['database'], since: number): Promise<Sent> {
    if (this.#request.limit === 0) return { count: 0, last: since };
    const changes = readChanges(database, this.#request, since);
    for (;;) {
      const next = await changes.next();
      if (next.done === true) return { count: this.#count, last: next.value };
      await this.open();
      const separator = this.#count > 0 ? ',\n' : '';
      await writeWithBackPressure(this.#res, separator + formatChange(next.value, this.#request));
      this.#count += 1;
      if (this.#count >= this.#request.limit || this.#res.destroyed)
        return { count: this.#count, last: next.value.seq };
    }
  }

  async end(last: number, pending: number): Promise<void> {
    await this.open();
    this.#res.end(`\n],\n"last_seq":"${formatSeq(last)}","pending":${pending}}\n`);
  }
}
