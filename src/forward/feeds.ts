// Keeps the feeds that are open: registers them where revocation is watched, and ends them when Couchgate goes.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { contextOf, known } from '../context.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';

interface Feed {
  readonly end: (reason: string, visibly: boolean) => void;
  /** Lines that each stand for themselves, so that a client that gets no more of them lacks nothing of what it has. */
  readonly lines: boolean;
  /** True while what has been passed on ends with a line, after which a client may be left without harm. */
  betweenLines: boolean;
}

const NEWLINE = 0x0a;

export class Feeds {
  readonly #watch: Pick<RevocationWatch, 'register'>;
  readonly #open = new Set<Feed>();
  #ending = false;

  constructor(watch: Pick<RevocationWatch, 'register'>) {
    this.#watch = watch;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Keeps a feed until its response closes. */
  add(
    req: IncomingMessage,
    res: ServerResponse,
    answer: IncomingMessage,
    end: (reason: string, visibly: boolean) => void,
  ): void {
    const context = contextOf(req);
    const { principal, sessionId, keyVersion } = known(context.identified, 'identified');
    const { database } = known(context.operation, 'operation');
    const decision = known(context.decision, 'decision');
    if (!decision.allow) throw new Error('a refused request has a feed');
    const forget = this.#watch.register({
      principal,
      database,
      sessionId,
      keyVersion,
      endpoint: decision.endpoint,
      identity: decision.identity,
      cut: (reason) => end(reason, true),
    });
    const { query } = known(context.target, 'target');
    const lines = query.includes('feed=continuous') || query.includes('feed=eventsource');
    const feed: Feed = { end, lines, betweenLines: true };
    this.#open.add(feed);
    answer.on('data', (chunk: Buffer) => {
      feed.betweenLines = chunk[chunk.length - 1] === NEWLINE;
      if (this.#ending && feed.betweenLines) this.#end(feed);
    });
    res.on('close', () => {
      this.#open.delete(feed);
      forget();
    });
    if (this.#ending) this.#end(feed);
  }

  /** Ends every feed at the end of its line, the next ones as they come. Those in the middle of a line are left to the hard stop. */
  endAll(): void {
    this.#ending = true;
    for (const feed of this.#open) if (feed.betweenLines) this.#end(feed);
  }

  #end(feed: Feed): void {
    this.#open.delete(feed);
    feed.end('draining', !feed.lines);
  }
}
