// Validates and creates request ids (X-Couch-Request-ID).
import { randomFillSync } from 'node:crypto';

const MAX_LENGTH = 36;

/** CouchDB's own rule for an X-Couch-Request-ID: 1 to 36 of `A-Z a-z 0-9 _ -` (chttpd.erl). */
export function isRequestId(text: string | readonly string[] | undefined): text is string {
  if (typeof text !== 'string' || text.length === 0 || text.length > MAX_LENGTH) return false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    const letter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
    if (!letter && !(code >= 48 && code <= 57) && code !== 45 && code !== 95) return false;
  }
  return true;
}

const ID_BYTES = 10;
/** Random bytes are generated for many ids at once: the call costs more than the bytes. */
const POOL_BYTES = ID_BYTES * 400;

/**
 * Returns a generator of ids, 20 hexadecimal digits each. An id cannot be guessed before it is used. CouchDB
 * repeats it after its own headers, so stored data that ends the head of an answer early can be detected
 * (H3).
 */
export function requestIdMaker(): () => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return () => {
    if (used === POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    used += ID_BYTES;
    return pool.toString('hex', used - ID_BYTES, used);
  };
}
