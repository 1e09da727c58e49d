// Starts the program of github.com/PeterBaker0/couch-auth-proxy, built in the folder COUCH_AUTH_PROXY_HOME: the
// other proxy in TypeScript that guards CouchDB. It checks permissions by document.
// Arguments: the URL of the node, and the name and the password of a server admin.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { freePort } from '../../test/support/free-port.ts';
import { until } from '../../test/support/until.ts';

const [upstream = '', user = '', password = ''] = process.argv.slice(2);
const port = String(await freePort());
const program = join(process.env['COUCH_AUTH_PROXY_HOME'] ?? '', 'dist', 'index.js');
const proxy = spawn(process.execPath, [program], {
  // Its access log goes to stdout, as it would in a container.
  stdio: ['ignore', 'ignore', 'ignore'],
  env: {
    ...process.env,
    ...{ HOST: '127.0.0.1', PORT: port, NODE_ENV: 'production' },
    ...{ COUCH_URL: upstream, COUCH_ADMIN_USER: user, COUCH_ADMIN_PASSWORD: password },
    RATE_LIMIT_ENABLED: 'false',
  },
});
proxy.once('exit', () => process.exit(0));
const stop = (): void => void proxy.kill('SIGTERM');
process.once('SIGTERM', stop);
process.once('disconnect', stop);
const url = `http://127.0.0.1:${port}`;
await until(async () => {
  const answer = await fetch(`${url}/_couch-auth-proxy/health`).catch(() => undefined);
  return answer?.ok === true;
}, 'couch-auth-proxy');
process.send?.(url);
