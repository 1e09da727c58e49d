// Options of the trivial upstream.

/** Responses that servers/trivial-upstream.ts gives itself. */
export interface UpstreamOptions {
  /** Size of the response to GET of the document. */
  readonly bytes: number;
  /** URL of the node for all other requests. */
  readonly node?: string;
  /**
   * Databases that exist only in the upstream, by the first part of their name (`many-7`), each with its
   * `cloudant` map.
   */
  readonly databases?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Changes per second on every continuous feed of such a database. */
  readonly changesPerSecond?: number;
}
