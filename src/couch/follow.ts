// Follows the `_changes` feed of a database across failures and nodes, without losing a change.
// Uses node:http: the stream of nano leaves connection errors unhandled, which ends the process
// (docs/decisions/2026-11-22-couch-client.md), and undici's does if CouchDB closes while it waits (H39).
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '../http-errors.ts';
import { type ChangeRow, type Couch, type CouchAnswer } from './couch.ts';
import { databasePath } from './document-path.ts';
import { AnswerTooLarge, codeOf } from './failure.ts';
import { FeedSilence } from './feed-silence.ts';
import { type HttpPool } from './http-exchange.ts';

export interface FollowOptions {
  readonly ask: Couch['ask'];
  /** Its connections are used once. */
  readonly pool: HttpPool;
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

/** Rows per page while catching up. */
const PAGE = 1000;
/** Milliseconds. A feed that was up for less is retried after a pause, which doubles up to this value. */
const MAX_PAUSE_MS = 1000;

/**
 * Follows a database from now on. The sequence survives reconnects: the missed changes are delivered before
 * the feed is up again. Source: docs.couchdb.org/en/stable/api/database/changes.html
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
  /** Last reported reason, so that a long outage is one log line. */
  #reported = '';

  constructor(options: FollowOptions, database: string, on: Listener, stop: AbortSignal) {
    this.#options = options;
    this.#database = database;
    this.#path = `${databasePath(database)}/_changes`;
    this.#on = on;
    this.#stop = stop;
  }

  async run(): Promise<void> {
    for (let pauseMs = 0; !this.#stop.aborted;) {
      try {
        await this.#catchUp();
        await this.#listen();
      } catch (error) {
        // Every error means that the feed is down. The listener is notified, and the loop reconnects.
        this.#report(error);
      }
      const lasted = this.#upSince !== undefined && performance.now() - this.#upSince > MAX_PAUSE_MS;
      this.#setUp(false);
      pauseMs = lasted ? 0 : Math.min(MAX_PAUSE_MS, 2 * pauseMs + 50);
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
    // After close, the listener gets no more events.
    if (!this.#stop.aborted) this.#on.state(up);
  }

  /** Named fields only (M5). */
  #report(error: unknown): void {
    const reason = error instanceof Unavailable ? (error.detail ?? error.reason) : codeOf(error);
    if (reason === this.#reported || this.#stop.aborted) return;
    this.#reported = reason;
    this.#options.feedFailed?.(this.#database, reason);
  }

  /** Delivers missed changes page by page. The first call only stores the current sequence. */
  async #catchUp(): Promise<void> {
    let limit = PAGE;
    for (let rows = limit; rows === limit;) {
      const from =
        this.#seq === undefined
          ? 'since=now&limit=0'
          : `since=${encodeURIComponent(this.#seq)}&limit=${limit}&include_docs=true&conflicts=true`;
      const answer = await this.#page(from);
      if (answer === undefined && limit > 1) {
        rows = limit = Math.ceil(limit / 8);
        continue;
      }
      const { status, body } = answer ?? { status: 413, body: {} };
      // CouchDB does not know the sequence any more: read the feed from its start.
      if (status === 400 && this.#seq !== undefined) this.#seq = '0';
      const page = body as { readonly results?: unknown; readonly last_seq?: unknown };
      if (status !== 200 || !Array.isArray(page.results))
        throw new Unavailable(`_changes answered ${status}`);
      for (const row of page.results) this.#deliver(row as RawRow);
      this.#seq = String(page.last_seq);
      rows = page.results.length;
    }
  }

  /** One page of changes; undefined if it is too large. */
  async #page(query: string): Promise<CouchAnswer | undefined> {
    try {
      return await this.#options.ask({ method: 'GET', path: `${this.#path}?${query}` });
    } catch (error) {
      if (error instanceof AnswerTooLarge) return undefined;
      throw error;
    }
  }

  /** Reads the continuous feed of one node until it ends or is silent for too long. */
  async #listen(): Promise<void> {
    const { pickNode, nodeFailed, silenceMs } = this.#options;
    const node = pickNode(this.#tried) ?? pickNode(new Set());
    if (node === undefined) throw new Unavailable('no CouchDB node is available');
    this.#tried.add(node.url);
    const end = new AbortController();
    const leave = (): void => end.abort();
    this.#stop.addEventListener('abort', leave);
    const silence = new FeedSilence(silenceMs, {
      suspect: () => this.#setUp(false),
      recovered: () => this.#setUp(true),
      silent: (isNodeSilent) => {
        end.abort();
        if (isNodeSilent) nodeFailed(node.url, 'silent _changes feed');
      },
    });
    try {
      await this.#readLines(await this.#open(node.url, end.signal), silence);
    } finally {
      silence.cancel();
      this.#stop.removeEventListener('abort', leave);
      end.abort();
    }
  }

  async #open(origin: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const { pool, authorization, nodeFailed, silenceMs } = this.#options;
    const since = encodeURIComponent(this.#seq ?? 'now');
    const query = `feed=continuous&include_docs=true&conflicts=true&heartbeat=${Math.ceil(silenceMs / 3)}&since=${since}`;
    const headers = { authorization: authorization(), accept: 'application/json' };
    const path = `${this.#path}?${query}`;
    const answer = await pool
      // The feed has its own limit of silence, which is shorter.
      .send({ origin, path, method: 'GET', headers, signal, silenceMs: 2 * silenceMs })
      .catch((error: unknown) => {
        if (!signal.aborted) nodeFailed(origin, codeOf(error));
        throw error;
      });
    if (answer.statusCode !== 200) {
      answer.destroy();
      throw new Unavailable(`_changes answered ${answer.statusCode ?? 0}`);
    }
    return answer;
  }

  async #readLines(body: AsyncIterable<Buffer>, silence: FeedSilence): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of body) {
      silence.heard();
      rest += decoder.decode(chunk, { stream: true });
      for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        if (line !== '') this.#deliver(JSON.parse(line) as RawRow);
      }
      // The first heartbeat follows the pending changes, so the feed has caught up.
      if (!silence.isSuspect) this.#setUp(true);
    }
  }

  #deliver(row: RawRow): void {
    // If CouchDB ends the feed, its last line is `{"last_seq":…}`.
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
