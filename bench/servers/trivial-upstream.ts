// The cheapest upstream that can be had in Node: answers GET of the measured document with the same bytes without parsing the request,
// and hands every other exchange to a CouchDB-compatible node, so that Couchgate finds all it needs behind the same address.
// Arguments: the path of the measured document, the size of its answer in bytes, and the address of the node, if there is one.
import net from 'node:net';
import { announce } from './announce.ts';

const [path = '/bench/doc', size = '500', node] = process.argv.slice(2);
const START = Buffer.from(`GET ${path} `, 'latin1');
const BODY = `${JSON.stringify({ _id: 'doc', _rev: '1-0', value: 'x'.repeat(Number(size)) }).slice(0, Number(size) - 3)}"}\n`;
const ANSWER = Buffer.from(
  'HTTP/1.1 200 OK\r\nCache-Control: must-revalidate\r\nContent-Type: application/json\r\n' +
    'Date: Sun, 01 Jan 2023 00:00:00 GMT\r\nETag: "1-0"\r\nServer: CouchDB/3.5.0 (Erlang OTP/25)\r\n' +
    'X-Couch-Request-ID: 0123456789\r\nX-CouchDB-Body-Time: 0\r\n' +
    `Content-Length: ${String(Buffer.byteLength(BODY))}\r\n\r\n${BODY}`,
);

announce(
  net.createServer({ noDelay: true }, (socket) => {
    let other: net.Socket | undefined;
    socket.on('error', () => other?.destroy());
    socket.on('close', () => other?.destroy());
    socket.on('data', (chunk) => {
      // One request is in flight on a connection and its head comes in one piece: true of every client measured here.
      if (chunk.subarray(0, START.length).equals(START)) {
        socket.write(ANSWER);
        return;
      }
      other ??= connect(socket);
      other.write(chunk);
    });
  }),
);

function connect(socket: net.Socket): net.Socket {
  if (node === undefined)
    throw new Error('asked for more than the measured document, and there is no node behind');
  const { hostname, port } = new URL(node);
  const onward = net.connect(Number(port), hostname);
  onward.setNoDelay(true);
  onward.on('data', (chunk) => socket.write(chunk));
  onward.on('error', () => socket.destroy());
  onward.on('close', () => socket.destroy());
  return onward;
}
