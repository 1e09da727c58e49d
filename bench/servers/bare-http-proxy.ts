// http-proxy as its README shows it, with a keep-alive agent: what a user would write who wants forwarding alone. Argument: the upstream's address.
import http from 'node:http';
import httpProxy from 'http-proxy';
import { announce } from './announce.ts';

const proxy = httpProxy.createProxyServer({
  target: process.argv[2] ?? '',
  // Without a limit: http-proxy keeps the upstream connection of a client that left in the middle of an answer (M3), until none is left.
  agent: new http.Agent({ keepAlive: true }),
});
proxy.on('error', (_error, _req, res) => res.destroy());
announce(http.createServer((req, res) => proxy.web(req, res)));
