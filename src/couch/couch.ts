// Interface of Couchgate's own requests to CouchDB.

export interface CouchRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Encoded path with query, for example `/db%2Fx/_security`. */
  readonly path: string;
  readonly body?: unknown;
  /**
   * Replaces Couchgate's own identity, for example by the Basic credentials of the caller; no token is sent
   * then.
   */
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** True for a POST that only reads: like a GET, it is sent again if its connection breaks. */
  readonly repeatable?: boolean;
  /** True: no number of the answer changes its value when it is written again. */
  readonly exact?: boolean;
  /**
   * Caller whose quota of internal reads the request uses (limits/internal-read-limiter.ts). Without one, the
   * request skips that queue.
   */
  readonly caller?: string;
  /** Largest answer in bytes, instead of that of all requests. A larger one is `AnswerTooLarge`. */
  readonly maxBytes?: number;
  /** Tries the nodes in the order of `couchdb_nodes`, so that `_local` is the same node every time. */
  readonly inOrder?: boolean;
  /** URL of the only node to ask, whatever its state. Without it, any node that is up. */
  readonly node?: string;
}

export interface CouchAnswer {
  readonly status: number;
  readonly body: unknown;
  /** Length of the answer in bytes. */
  readonly bytes?: number;
}

/**
 * True if the answer says that a document is not there. A 404 with another reason says that its database is
 * not there, for example on a node that was installed again: whether the document exists is then unknown.
 */
export function isMissing({ status, body }: CouchAnswer): boolean {
  const { reason } = (body ?? {}) as { readonly reason?: unknown };
  return status === 404 && (reason === 'missing' || reason === 'deleted');
}

/**
 * Sends requests as Couchgate itself (`_admin`), on connections that never carry client traffic (H3).
 * Resolves with every response below 500. Throws `Unavailable` if no node gives one, `TooBusy` if a caller
 * has too many reads, `AnswerTooLarge` for an answer that is longer than the request permits.
 */
export interface Couch {
  ask(request: CouchRequest): Promise<CouchAnswer>;
  /**
   * Follows `_changes` of a database until closed. Calls `change` for every change; `state(true)` once the
   * feed is up and has caught up; `state(false)` as soon as it is down. Reconnects by itself, if necessary to
   * another node.
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
