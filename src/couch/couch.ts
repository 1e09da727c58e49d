// Couchgate's own conversation with CouchDB, as the rest of the project sees it. How it is held (nano, nodes, tokens) is client.ts's business.

export interface CouchRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Encoded path with its query, for example `/db%2Fx/_security`. */
  readonly path: string;
  readonly body?: unknown;
  /** Headers in place of Couchgate's own identity, for example the caller's Basic credentials; then no token is sent. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Whose share of the own reads it takes (own-reads.ts); without one it is Couchgate's own need, and waits for none of them. */
  readonly caller?: string;
}

export interface CouchAnswer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * Asks CouchDB as Couchgate itself (`_admin`), on connections that never carry client traffic (H3).
 * Resolves with every answer below 500, throws `Unavailable` when no node gives one, `TooBusy` when a caller has too many reads.
 */
export interface Couch {
  ask(request: CouchRequest): Promise<CouchAnswer>;
  /**
   * Follows `_changes` of a database for good: `onChange` for every change, `onState(true)` when the feed is up and has caught up with
   * `since=now`, `onState(false)` at once when it is not. Reconnects by itself, to another node if need be.
   */
  follow(
    database: string,
    on: { readonly change: (row: ChangeRow) => void; readonly state: (up: boolean) => void },
  ): { readonly close: () => void };
}

export interface ChangeRow {
  readonly id: string;
  readonly deleted: boolean;
  readonly doc: Readonly<Record<string, unknown>> | undefined;
}
