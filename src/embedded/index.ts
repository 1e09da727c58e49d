// Starts the embedded, CouchDB-compatible node: for a first look and for tests, not for production. The one door of this folder.
// `import type`, not an inline type: that would load the module at run time.
import type { Owner } from './authenticate.ts';
import type { JwtKeys } from './jwt.ts';
import type { Log } from './server.ts';

export interface EmbeddedNodeOptions {
  /** Folder of the databases; undefined = in memory, gone with the process. */
  readonly folder: string | undefined;
  /** The server admin. */
  readonly owner: Owner;
  /** Secrets of HS256 tokens by their `kid`. */
  readonly jwtKeys: JwtKeys;
  /** 0 or nothing = any free port. */
  readonly port?: number;
  /** Told of failures inside the node; never of credentials or documents. */
  readonly log?: Log;
}

export interface RunningEmbeddedNode {
  /** `http://127.0.0.1:{port}`; the node listens on loopback alone. */
  readonly url: string;
  close(): Promise<void>;
}

/** Starts a node. Rejects with one plain error when the folder cannot be used or the port is taken. */
export async function startEmbeddedNode(options: EmbeddedNodeOptions): Promise<RunningEmbeddedNode> {
  // Loaded when it is wanted: in front of a CouchDB neither PouchDB nor QuickJS costs anything.
  const { start } = await import('./start.ts');
  return start(options);
}
