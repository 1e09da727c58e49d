// What the trivial upstream is told by the process that starts it.

/** What servers/trivial-upstream.ts answers by itself. */
export interface UpstreamOptions {
  /** Size of the document's answer. */
  readonly bytes: number;
  /** Address of the node behind, if there is one. */
  readonly node?: string;
  /** Databases that exist there alone, by the first word of their name (`many-7`), and what they all have as their `cloudant` map. */
  readonly databases?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Changes a second on every continuous feed of such a database. */
  readonly changesPerSecond?: number;
}
