// Creates the parts of an embedded node, connects them and listens on loopback.
import { once } from 'node:events';
import { type AddressInfo } from 'node:net';
import { Authenticator } from './authenticate.ts';
import { Databases } from './databases.ts';
import { type EmbeddedNode } from './exchange.ts';
import { type EmbeddedNodeOptions, type RunningEmbeddedNode } from './index.ts';
import { Replications } from './replication-scheduler.ts';
import { createEmbeddedServer } from './server.ts';

/** Starts a node and resumes its replications. Rejects if the folder cannot be used or the port is in use. */
export async function start(options: EmbeddedNodeOptions): Promise<RunningEmbeddedNode> {
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
