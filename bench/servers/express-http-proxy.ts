// http-proxy behind Express, either as Express makes its requests (`plain`) or with Express's prototypes given to the server from the
// start (`prototypes`), which makes its Object.setPrototypeOf on every request a no-op. Arguments: the upstream's address, and which of both.
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
// V8 plans the room of an object by its constructor and those that it inherits from.
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
