// Joins the small chunks of a request body that arrive together.
import { IncomingMessage } from 'node:http';
import { JoinedPieces } from '../limits/joined-pieces.ts';

/** A larger chunk is passed on at once. */
const SMALL_BYTES = 4096;

/** A request whose last chunks are not in its stream yet. */
export interface JoiningRequest extends IncomingMessage {
  joined: JoinedPieces | undefined;
}

/**
 * Replaces `push`, with which Node's parser adds a chunk. The limit of a stream is in bytes, but Node makes a
 * Buffer of several hundred bytes for each chunk: with chunks of one byte, a request that waits for its turn
 * would take megabytes, and every reader of bodies would work byte by byte (H15).
 */
export function pushJoined(this: JoiningRequest, chunk: Buffer | null): boolean {
  const isChunked = this.headers['transfer-encoding'] !== undefined;
  if (chunk === null || !isChunked || chunk.length >= SMALL_BYTES) {
    addJoined(this);
    return IncomingMessage.prototype.push.call(this, chunk);
  }
  if (this.joined === undefined) {
    this.joined = new JoinedPieces();
    // Node runs the next tick after each chunk, but immediates after the whole read of the socket.
    setImmediate(addJoined, this);
  }
  this.joined.add(chunk);
  return this.readableLength + this.joined.size < this.readableHighWaterMark;
}

function addJoined(req: JoiningRequest): void {
  const { joined } = req;
  if (joined === undefined) return;
  req.joined = undefined;
  IncomingMessage.prototype.push.call(req, joined.join());
}
