// http-proxy behind Express. `plain`: default Express. `prototypes`: the server creates messages with the
// prototypes of Express, which makes its Object.setPrototypeOf per request a no-op.
// Arguments: the URL of the upstream, and the variant.
import http from 'node:http';
import express from 'express';
import httpProxy from 'http-proxy';
import { announce } from './announce.ts';
import { expressPrototypes } from './express-prototypes.ts';

const [target = '', shape = 'plain'] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({
  target,
  agent: new http.Agent({ keepAlive: true, maxSockets: 256 }),
});
proxy.on('error', (_error, _req, res) => res.destroy());
const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.use((req, res) => proxy.web(req, res));

announce(
  http.createServer(shape === 'prototypes' ? expressPrototypes(app) : {}, app as http.RequestListener),
);
