// Starts the embedded CouchDB-compatible node, which is for evaluation and tests, not for production.
// Other folders of src/ import this file only.
// `import type` is erased. An import with an inline `type` would load the module at run time.
import type { Owner } from './authenticate.ts';
import type { JwtKeys } from './jwt.ts';
import type { Log } from './server.ts';

export interface EmbeddedNodeOptions {
  /** Folder of the databases; undefined = in memory, lost when the process ends. */
  readonly folder: string | undefined;
  /** The server admin. */
  readonly owner: Owner;
  /** Secrets of HS256 tokens by their `kid`. */
  readonly jwtKeys: JwtKeys;
  /** 0 or undefined = any free port. */
  readonly port?: number;
  /** Receives errors inside the node; the fields contain no credentials and no documents. */
  readonly log?: Log;
}

export interface RunningEmbeddedNode {
  /** `http://127.0.0.1:{port}`; the node listens on loopback only. */
  readonly url: string;
  /** Cancels replications, closes connections and the databases. Databases in memory are lost. */
  close(): Promise<void>;
}

/** Starts a node. Rejects with one plain error if the folder cannot be used or the port is in use. */
export async function startEmbeddedNode(options: EmbeddedNodeOptions): Promise<RunningEmbeddedNode> {
  // Import on demand: a process with a real CouchDB never loads PouchDB and QuickJS.
  const { start } = await import('./start.ts');
  return start(options);
}
