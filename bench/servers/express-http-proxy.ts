// http-proxy behind Express. `plain`: default Express. `prototypes`: the server creates messages with the
// prototypes of Express, which makes its Object.setPrototypeOf per request a no-op.
// Arguments: the URL of the upstream, and the variant.
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import express from 'express';
import httpProxy from 'http-proxy';
import { announce } from './announce.ts';

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

function AppRequest(this: IncomingMessage, socket: Socket): void {
  http.IncomingMessage.call(this, socket);
}
function AppResponse(this: ServerResponse, ...args: ConstructorParameters<typeof ServerResponse>): void {
  (http.ServerResponse as unknown as (...parameters: unknown[]) => void).call(this, ...args);
}
AppRequest.prototype = app.request;
AppResponse.prototype = app.response;
// V8 sizes an object by its constructor and the inherited ones.
Object.setPrototypeOf(AppRequest, http.IncomingMessage);
Object.setPrototypeOf(AppResponse, http.ServerResponse);

announce(
  shape === 'prototypes'
    ? http.createServer(
        {
          IncomingMessage: AppRequest as unknown as typeof http.IncomingMessage,
          ServerResponse: AppResponse as unknown as typeof http.ServerResponse,
        },
        app as http.RequestListener,
      )
    : http.createServer(app as http.RequestListener),
);
