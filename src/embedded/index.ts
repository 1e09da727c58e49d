// Starts the embedded, CouchDB-compatible node: for a first look and for tests, not for production. The one door of this folder.
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { Authenticator, type Owner } from './authenticate.ts';
import { Databases } from './databases.ts';
import { type EmbeddedNode } from './exchange.ts';
import { type JwtKeys } from './jwt.ts';
import { Replications } from './replication-scheduler.ts';
import { createEmbeddedServer, type Log } from './server.ts';

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
  const databases = await Databases.open(options.folder);
  const replications = new Replications();
  let url = '';
  const node: EmbeddedNode = {
    databases,
    replications,
    authenticator: new Authenticator(databases, options.owner, options.jwtKeys),
    url: () => url,
  };
  const server = createEmbeddedServer(node, options.log ?? (() => undefined));
  const close = async () => {
    replications.close();
    server.close();
    server.closeAllConnections();
    await databases.close();
  };
  try {
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    await databases.close();
    throw error;
  }
  await replications.resume(databases.get('_replicator'));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, close };
}
