// What the trivial upstream is told by the process that starts it.

/** What servers/trivial-upstream.ts answers by itself. */
export interface UpstreamOptions {
  /** Size of the document's answer. */
  readonly bytes: number;
  /** Address of the node behind, if there is one. */
  readonly node?: string;
  /** The `cloudant` map of every database whose name begins with `many-`: they exist there alone. */
  readonly cloudant?: Readonly<Record<string, readonly string[]>>;
  /** Changes a second on every continuous feed of such a database. */
  readonly changesPerSecond?: number;
}
