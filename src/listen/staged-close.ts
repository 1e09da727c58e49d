// Closes a connection whose request body is still arriving, so that the client can read the response.
import { type Server } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import { Socket } from 'node:net';
import { type ClientSocket } from './messages.ts';

const CHECK_MS = 500;
/** The client has read the response, or it is gone. */
const SILENT_CHECKS = 4;
const MAX_CHECKS = 60;
const MAX_BYTES = 67_108_864;

/**
 * If a socket is closed while data arrives, the client gets a reset, and loses a response that it has not
 * read yet. RFC 9112 section 9.6: end the response, read on for a while, then close. What is read is dropped:
 * never more than MAX_BYTES, nor after two seconds of silence, nor longer than thirty seconds.
 */
export function closeInStages(server: Server): void {
  server.on(server instanceof HttpsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.destroySoon = destroyInStages;
  });
}

/** Node calls this when a response with `Connection: close` is written. */
function destroyInStages(this: Socket & ClientSocket): void {
  const { exchange } = this;
  const isBodyArriving = exchange?.writableFinished === true && !exchange.req.complete;
  if (this.destroyed || this.isClosing === true || !isBodyArriving) {
    Socket.prototype.destroySoon.call(this);
    return;
  }
  this.end();
  exchange.req.once('end', () => this.destroy());
  exchange.req.resume();
  dropTheRest(this);
}

/** Reads on after `end`, within the limits, and destroys the socket. */
export function dropTheRest(socket: ClientSocket): void {
  socket.isClosing = true;
  const limit = socket.bytesRead + MAX_BYTES;
  let read = socket.bytesRead;
  let silent = 0;
  let checks = 0;
  const check = setInterval(() => {
    silent = socket.bytesRead === read ? silent + 1 : 0;
    read = socket.bytesRead;
    checks += 1;
    if (silent === SILENT_CHECKS || checks === MAX_CHECKS || read > limit) socket.destroy();
  }, CHECK_MS);
  check.unref();
  socket.once('end', () => socket.destroy());
  socket.once('close', () => clearInterval(check));
}
