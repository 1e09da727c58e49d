// Follows the `_changes` of a database for good, over silence, failures and nodes, without losing a change. What a change means is the caller's business.
// The feed is read with undici and not through nano, whose stream leaves the error of a broken connection unhandled: it ends the process
// (docs/decisions/2026-11-22-couch-client.md).
import { setTimeout as delay } from 'node:timers/promises';
import { type Agent } from 'undici';
import { Unavailable } from '../http-errors.ts';
import { type ChangeRow, type Couch } from './couch.ts';
import { codeOf } from './failure.ts';

export interface FollowOptions {
  readonly ask: Couch['ask'];
  readonly agent: Agent;
  readonly pickNode: (tried: ReadonlySet<string>) => { readonly url: string } | undefined;
  readonly authorization: () => string;
  readonly nodeFailed: (url: string, reason: string) => void;
  readonly feedFailed?: (database: string, reason: string) => void;
  readonly silenceMs: number;
}

interface Listener {
  readonly change: (row: ChangeRow) => void;
  readonly state: (up: boolean) => void;
}

/** Rows read at once when catching up. */
const PAGE = 1000;
/** A feed that was up for less than this is tried again only after a pause, which doubles up to it. */
const LONGEST_PAUSE_MS = 1000;

/**
 * Follows a database from now on. The place in the feed outlives connections: after a gap, the changes of the gap come first and only
 * then is the feed up again. Source: docs.couchdb.org/en/stable/api/database/changes.html
 */
export function follow(
  options: FollowOptions,
  database: string,
  on: Listener,
): { readonly close: () => void } {
  const stop = new AbortController();
  void new Feed(options, database, on, stop.signal).run();
  return { close: () => stop.abort() };
}

class Feed {
  readonly #options: FollowOptions;
  readonly #database: string;
  readonly #path: string;
  readonly #on: Listener;
  readonly #stop: AbortSignal;
  /** Nodes on which the feed failed since it was last up. */
  readonly #tried = new Set<string>();
  #seq: string | undefined = undefined;
  #upSince: number | undefined = undefined;
  /** What was last reported, so that a long outage is one line. */
  #reported = '';

  constructor(options: FollowOptions, database: string, on: Listener, stop: AbortSignal) {
    this.#options = options;
    this.#database = database;
    this.#path = `/${encodeURIComponent(database)}/_changes`;
    this.#on = on;
    this.#stop = stop;
  }

  async run(): Promise<void> {
    for (let pauseMs = 0; !this.#stop.aborted;) {
      try {
        await this.#catchUp();
        await this.#listen();
      } catch (error) {
        // Whatever it was, the feed is down and this loop brings it up again; the listener is told, and caches live briefly.
        this.#report(error);
      }
      const lasted = this.#upSince !== undefined && performance.now() - this.#upSince > LONGEST_PAUSE_MS;
      this.#setUp(false);
      pauseMs = lasted ? 0 : Math.min(LONGEST_PAUSE_MS, 2 * pauseMs + 50);
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal: this.#stop }).catch(() => undefined);
    }
  }

  #setUp(up: boolean): void {
    if (up === (this.#upSince !== undefined)) return;
    this.#upSince = up ? performance.now() : undefined;
    if (up) {
      this.#tried.clear();
      this.#reported = '';
    }
    // A feed that was closed says nothing more.
    if (!this.#stop.aborted) this.#on.state(up);
  }

  /** Named fields only, as everywhere here (M5). */
  #report(error: unknown): void {
    const reason = error instanceof Unavailable ? (error.detail ?? error.reason) : codeOf(error);
    if (reason === this.#reported || this.#stop.aborted) return;
    this.#reported = reason;
    this.#options.feedFailed?.(this.#database, reason);
  }

  /** Hands out what was missed, page by page; at first, takes the present as the place to go on from. */
  async #catchUp(): Promise<void> {
    for (let rows = PAGE; rows === PAGE;) {
      const from =
        this.#seq === undefined
          ? 'since=now&limit=0'
          : `since=${encodeURIComponent(this.#seq)}&limit=${PAGE}&include_docs=true`;
      const { status, body } = await this.#options.ask({ method: 'GET', path: `${this.#path}?${from}` });
      // A sequence that CouchDB does not know any more: everything is news then.
      if (status === 400 && this.#seq !== undefined) this.#seq = '0';
      const page = body as { readonly results?: unknown; readonly last_seq?: unknown };
      if (status !== 200 || !Array.isArray(page.results))
        throw new Unavailable(`_changes answered ${status}`);
      for (const row of page.results) this.#deliver(row as RawRow);
      this.#seq = String(page.last_seq);
      rows = page.results.length;
    }
  }

  /** Reads the continuous feed of one node until it ends or falls silent. */
  async #listen(): Promise<void> {
    const { pickNode, nodeFailed, silenceMs } = this.#options;
    const node = pickNode(this.#tried) ?? pickNode(new Set());
    if (node === undefined) throw new Unavailable('no CouchDB node is fit for use');
    this.#tried.add(node.url);
    const end = new AbortController();
    const leave = (): void => end.abort();
    this.#stop.addEventListener('abort', leave);
    const silence = setTimeout(() => {
      end.abort();
      nodeFailed(node.url, 'silent _changes feed');
    }, silenceMs);
    try {
      await this.#readLines(await this.#open(node.url, end.signal), silence);
    } finally {
      clearTimeout(silence);
      this.#stop.removeEventListener('abort', leave);
      end.abort();
    }
  }

  async #open(origin: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const { agent, authorization, nodeFailed, silenceMs } = this.#options;
    const since = encodeURIComponent(this.#seq ?? 'now');
    const query = `feed=continuous&include_docs=true&heartbeat=${Math.ceil(silenceMs / 3)}&since=${since}`;
    const headers = { authorization: authorization(), accept: 'application/json' };
    const path = `${this.#path}?${query}`;
    const answer = await agent
      .request({ origin, path, method: 'GET', headers, signal })
      .catch((error: unknown) => {
        if (!signal.aborted) nodeFailed(origin, codeOf(error));
        throw error;
      });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      throw new Unavailable(`_changes answered ${answer.statusCode}`);
    }
    return answer.body;
  }

  async #readLines(body: AsyncIterable<Buffer>, silence: NodeJS.Timeout): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of body) {
      silence.refresh();
      rest += decoder.decode(chunk, { stream: true });
      for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        if (line !== '') this.#deliver(JSON.parse(line) as RawRow);
      }
      // CouchDB's first sign of life is the newline behind the changes that were waiting.
      this.#setUp(true);
    }
  }

  #deliver(row: RawRow): void {
    // The last line of a feed that CouchDB ends by itself is `{"last_seq":…}`.
    if (typeof row.id !== 'string') return;
    this.#on.change({ id: row.id, deleted: row.deleted === true, doc: row.doc ?? undefined });
    this.#seq = String(row.seq);
  }
}

interface RawRow {
  readonly id?: string;
  readonly seq?: string | number;
  readonly deleted?: boolean;
  readonly doc?: Readonly<Record<string, unknown>> | null;
}
