// http-proxy as in its README, with a keep-alive agent: forwarding without checks. Argument: the URL of the
// upstream.
import http from 'node:http';
import httpProxy from 'http-proxy';
import { announce } from './announce.ts';

const proxy = httpProxy.createProxyServer({
  target: process.argv[2] ?? '',
  // No socket limit: http-proxy never releases the upstream connection of a client that left mid-response
  // (M3).
  agent: new http.Agent({ keepAlive: true }),
});
proxy.on('error', (_error, _req, res) => res.destroy());
announce(http.createServer((req, res) => proxy.web(req, res)));
