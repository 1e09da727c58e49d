// Starts couch-auth-proxy (github.com/PeterBaker0/couch-auth-proxy), built in a folder of its own: the proxy for
// CouchDB that a user could take in place of Couchgate. Arguments: the folder, the URL of the upstream, name and
// password of an admin, and the databases, comma separated.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { freePort } from '../../test/support/free-port.ts';

const [folder = '', upstream = '', name = '', password = '', databases = ''] = process.argv.slice(2);
const port = await freePort();
const url = `http://127.0.0.1:${String(port)}`;
Object.assign(process.env, {
  NODE_ENV: 'production',
  HOST: '127.0.0.1',
  PORT: String(port),
  COUCH_URL: upstream,
  COUCH_ADMIN_USER: name,
  COUCH_ADMIN_PASSWORD: password,
  COUCH_PRELOAD_DBS: databases,
  RATE_LIMIT_ENABLED: 'false',
});
await import(pathToFileURL(join(folder, 'dist', 'index.js')).href);
process.once('disconnect', () => process.exit(0));
await untilItIsReady();
process.send?.(url);

async function untilItIsReady(): Promise<void> {
  for (;;) {
    const isReady = await fetch(`${url}/_couch-auth-proxy/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
