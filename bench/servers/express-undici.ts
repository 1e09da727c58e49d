// Express with its prototypes, and undici's Pool: forwarding without checks, with the libraries of Couchgate.
// Answers are kept until they are complete, so that each is one write. Argument: the URL of the upstream.
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import express from 'express';
import { type Dispatcher, Pool } from 'undici';
import { announce } from './announce.ts';
import { expressPrototypes } from './express-prototypes.ts';

const pool = new Pool(process.argv[2] ?? '', { headersTimeout: 0, bodyTimeout: 0 });
const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.use((req, res) => forward(req, res));

function forward(req: IncomingMessage, res: ServerResponse): void {
  const { method = 'GET', url: path = '/', headers } = req;
  const body = headers['content-length'] === undefined ? null : req;
  pool.dispatch({ method, path, headers, body }, new Answer(res));
}

class Answer implements Dispatcher.DispatchHandler {
  readonly #res: ServerResponse;
  #body = '';

  constructor(res: ServerResponse) {
    this.#res = res;
  }

  onRequestStart(): void {
    // Nothing is cancelled.
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const head = (controller.rawHeaders as readonly Buffer[]).map((part) => part.toString('latin1'));
    this.#res.writeHead(status, head);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
  }

  onResponseEnd(): void {
    this.#res.end(this.#body, 'latin1');
  }

  onResponseError(): void {
    this.#res.destroy();
  }
}

announce(http.createServer(expressPrototypes(app), app as http.RequestListener));
