// Upstream with minimal cost: answers GET of `/…/doc` with constant bytes without parsing the request, and PUT
// of it as soon as its body is complete.
// Forwards every other exchange to a CouchDB-compatible node, so that Couchgate finds all it needs at one
// URL.
// Argument: a JSON file with UpstreamOptions.
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { markersOf } from '../../src/principal/marker.ts';
import { monotonicMs } from '../load/feeds.ts';
import { type UpstreamOptions } from './upstream-options.ts';
import { announce } from './announce.ts';

const {
  bytes,
  node,
  databases = {},
  changesPerSecond = 0,
} = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as UpstreamOptions;
const GET = Buffer.from('GET /');
const PUT = Buffer.from('PUT /');
const LENGTH = /\r\ncontent-length: (\d+)\r\n/i;
const HEAD_END = Buffer.from('\r\n\r\n');
const DOCUMENT = Buffer.from('/doc');
const SECURITY = Buffer.from('/_security');
const FEED = Buffer.from('/_changes?feed=continuous');
const REQUEST_ID = Buffer.from('x-couch-request-id: ');
const NO_ID = Buffer.from('0123456789');
const LINE_END = Buffer.from('\r\n');
const SPACE = 32;

function answer(body: string): Buffer {
  return Buffer.from(
    'HTTP/1.1 200 OK\r\nCache-Control: must-revalidate\r\nContent-Type: application/json\r\n' +
      'Date: Sun, 01 Jan 2023 00:00:00 GMT\r\nETag: "1-0"\r\nServer: CouchDB/3.5.0 (Erlang OTP/25)\r\n' +
      'X-Couch-Request-ID: 0123456789\r\nX-CouchDB-Body-Time: 0\r\n' +
      `Content-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`,
  );
}

const document = { _id: 'doc', _rev: '1-0', value: '' };
const filler = 'x'.repeat(Math.max(0, bytes - JSON.stringify(document).length - 1));
const ANSWER = answer(`${JSON.stringify({ ...document, value: filler })}\n`);

const WRITTEN = answer('{"ok":true,"id":"doc","rev":"1-0"}\n');

/** Number of bytes after this chunk that belong to the same PUT of the document; undefined = another request. */
function restOfPut(chunk: Buffer): number | undefined {
  if (!startsWith(chunk, PUT) || !endsWith(chunk, DOCUMENT, chunk.indexOf(SPACE, PUT.length)))
    return undefined;
  const headEnd = chunk.indexOf(HEAD_END) + HEAD_END.length;
  const length = Number(LENGTH.exec(chunk.toString('latin1', 0, headEnd))?.[1] ?? '0');
  return headEnd + length - chunk.length;
}

/** Returns the security object, with markers as Couchgate writes them. */
function securityOf(database: string): Buffer | undefined {
  const cloudant = databases[database.slice(0, database.indexOf('-'))];
  if (cloudant === undefined) return undefined;
  const { member, dbadmin } = markersOf(database);
  return answer(
    `${JSON.stringify({
      admins: { names: [], roles: [dbadmin] },
      members: { names: [], roles: [member] },
      cloudant,
    })}\n`,
  );
}

/**
 * Inserts the request id into the response, as CouchDB does: Couchgate does not reuse a connection without
 * it. Requests without an id get a constant.
 */
function withRequestId(known: Buffer, chunk: Buffer): Buffer {
  const start = chunk.indexOf(REQUEST_ID);
  if (start === -1) return known;
  const from = start + REQUEST_ID.length;
  const id = chunk.subarray(from, chunk.indexOf(LINE_END, from));
  const place = known.indexOf(NO_ID);
  return Buffer.concat([known.subarray(0, place), id, known.subarray(place + NO_ID.length)]);
}

/** Returns the constant response, or undefined if the request must be forwarded. */
function known(chunk: Buffer): Buffer | undefined {
  if (!startsWith(chunk, GET)) return undefined;
  const end = chunk.indexOf(SPACE, GET.length);
  if (endsWith(chunk, DOCUMENT, end)) return ANSWER;
  if (!endsWith(chunk, SECURITY, end)) return undefined;
  return securityOf(chunk.toString('latin1', GET.length, end - SECURITY.length));
}

function startsWith(chunk: Buffer, start: Buffer): boolean {
  return chunk.compare(start, 0, start.length, 0, start.length) === 0;
}

function endsWith(chunk: Buffer, text: Buffer, end: number): boolean {
  return end >= text.length && chunk.compare(text, 0, text.length, end - text.length, end) === 0;
}

announce(
  net.createServer({ noDelay: true }, (socket) => {
    let other: net.Socket | undefined;
    socket.on('error', () => other?.destroy());
    socket.on('close', () => other?.destroy());
    let head: Buffer | undefined;
    let rest = 0;
    const endPut = (chunk: Buffer): void => {
      socket.write(withRequestId(WRITTEN, chunk));
      head = undefined;
    };
    socket.on('data', (chunk) => {
      if (head !== undefined) {
        rest -= chunk.length;
        if (rest <= 0) endPut(head);
        return;
      }
      // Every client here sends one request at a time per connection, with its head in one chunk.
      if (changesPerSecond > 0 && endsWith(chunk, FEED, chunk.indexOf(SPACE, GET.length))) {
        openFeed(socket);
        return;
      }
      const left = restOfPut(chunk);
      if (left !== undefined) {
        head = chunk;
        rest = left;
        if (left <= 0) endPut(chunk);
        return;
      }
      const bytesKnown = known(chunk);
      if (bytesKnown !== undefined) {
        socket.write(withRequestId(bytesKnown, chunk));
        return;
      }
      other ??= connect(socket);
      other.write(chunk);
    });
  }),
);

const feeds = new Set<net.Socket>();

function openFeed(socket: net.Socket): void {
  socket.write(
    'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: CouchDB/3.5.0 (Erlang OTP/25)\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  feeds.add(socket);
  socket.on('close', () => feeds.delete(socket));
}

/** Sends one change on all feeds, with the monotonic clock of the machine in its id. */
function sendChange(): void {
  const row = `{"seq":"1-x","id":"at-${monotonicMs().toFixed(3)}","changes":[{"rev":"1-967a00dff5e02add41819138abb3284d"}]}\n`;
  const piece = `${row.length.toString(16)}\r\n${row}\r\n`;
  for (const feed of feeds) feed.write(piece);
}

if (changesPerSecond > 0) setInterval(sendChange, 1000 / changesPerSecond);

function connect(socket: net.Socket): net.Socket {
  if (node === undefined) throw new Error('the request must be forwarded, but no node is configured');
  const { hostname, port } = new URL(node);
  const onward = net.connect(Number(port), hostname);
  onward.setNoDelay(true);
  onward.on('data', (chunk) => socket.write(chunk));
  onward.on('error', () => socket.destroy());
  onward.on('close', () => socket.destroy());
  return onward;
}
