// Starts nginx as a forwarding proxy with keep-alive: the cost of a proxy in C without checks.
// Arguments: the URL of the upstream, and the path of nginx.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/free-port.ts';

const [upstream = '', program = 'nginx'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'couchgate-nginx-'));
const port = await freePort();
const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  .map((name) => `${name}_temp_path ${folder}/${name};`)
  .join(' ');
const config = join(folder, 'nginx.conf');
writeFileSync(
  config,
  `daemon off; master_process off; worker_processes 1; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; ${temporary}
  upstream node { server ${new URL(upstream).host}; keepalive 256; }
  server { listen 127.0.0.1:${String(port)};
    location / { proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }
`,
);
const nginx = spawn(program, ['-p', folder, '-c', config], { stdio: ['ignore', 'ignore', 'inherit'] });
nginx.once('exit', () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
const stop = (): void => void nginx.kill('SIGTERM');
process.once('SIGTERM', stop);
process.once('disconnect', stop);
await untilItListens();
process.send?.(`http://127.0.0.1:${String(port)}`);

async function untilItListens(): Promise<void> {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
