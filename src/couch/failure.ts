// Names why an exchange with CouchDB failed, in words that are safe to log. What follows from it is client.ts's business.

/** How far an exchange came: `unsent` = no byte of the request left, so any node may be asked again; `sent` = CouchDB may have acted on it. */
export type Reached = 'unsent' | 'sent';

/**
 * A failed exchange as named fields. nano's and fetch's own errors stay behind: they hold the request with its body and headers,
 * credentials among them (M5; pinned by test/hostile/m5-client-errors.test.ts).
 */
export interface CouchFailure {
  /** `host:port` of the node. */
  readonly node: string;
  readonly method: string;
  readonly reached: Reached;
  /** A code such as `ECONNREFUSED`, `timeout`, `cut short`, or `status 500 no_majority`; never text from the request. */
  readonly reason: string;
}

/** `host:port` of a node's address: its credentials, should it have some, are not part of it. */
export function nodeName(url: string): string {
  return new URL(url).host;
}

/** The code of a network error, looked for where fetch and undici put it; an error's message is never used. */
export function codeOf(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) {
    const code: unknown = (at as NodeJS.ErrnoException).code;
    if (typeof code === 'string') return code;
    if (at.name === 'TimeoutError') return 'timeout';
  }
  return 'connection failed';
}

/** One line for the log. The path is left out: it can name a user. */
export function describeFailure(failure: CouchFailure): string {
  return `${failure.method} to ${failure.node} failed (${failure.reached}): ${failure.reason}`;
}
