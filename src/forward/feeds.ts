// Tracks the open feeds, and ends all of them during a drain.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { onClosed } from '../closed-response.ts';
import { contextOf, type CutReason, known } from '../context.ts';

/** An open feed. */
export interface Feed {
  /** Called after data was sent to the client. */
  sent(chunk: Buffer): void;
}

interface OpenFeed {
  readonly end: (reason: CutReason, abort: boolean) => void;
  /** Each line is complete by itself, so a client that gets no more lines has lost nothing. */
  readonly isLineBased: boolean;
  /** True if the data sent so far ends with a line, so that the feed may be ended here. */
  isAtLineEnd: boolean;
}

const NEWLINE = 0x0a;

/** The open feeds of this process. */
export class Feeds {
  readonly #open = new Set<OpenFeed>();
  #ending = false;

  get count(): number {
    return this.#open.size;
  }

  /**
   * Tracks a feed until its response closes. `end` ends it; its arguments are the reason for the access log
   * and `abort`.
   */
  add(req: IncomingMessage, res: ServerResponse, end: (reason: CutReason, abort: boolean) => void): Feed {
    const context = contextOf(req);
    const { query } = known(context.target, 'target');
    const isLineBased = query.includes('feed=continuous') || query.includes('feed=eventsource');
    const feed: OpenFeed = { end, isLineBased, isAtLineEnd: true };
    this.#open.add(feed);
    onClosed(res, () => this.#open.delete(feed));
    if (this.#ending) this.#end(feed);
    return {
      sent: (chunk) => {
        feed.isAtLineEnd = chunk[chunk.length - 1] === NEWLINE;
        if (this.#ending && feed.isAtLineEnd && this.#open.has(feed)) this.#end(feed);
      },
    };
  }

  /**
   * Ends every open and every new feed at its next line end. Feeds in the middle of a line stay open until
   * the drain timeout.
   */
  endAll(): void {
    this.#ending = true;
    for (const feed of this.#open) if (feed.isAtLineEnd) this.#end(feed);
  }

  #end(feed: OpenFeed): void {
    this.#open.delete(feed);
    feed.end('draining', !feed.isLineBased);
  }
}
