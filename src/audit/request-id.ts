// Chooses the id under which a request is known to the client, to CouchDB and to the log.
import { randomBytes } from 'node:crypto';

const LONGEST = 36;

/** The rule by which CouchDB itself accepts an X-Couch-Request-ID: 1 to 36 of `A-Z a-z 0-9 _ -` (chttpd.erl). */
export function isRequestId(text: string | readonly string[] | undefined): text is string {
  if (typeof text !== 'string' || text.length === 0 || text.length > LONGEST) return false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    const letter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
    if (!letter && !(code >= 48 && code <= 57) && code !== 45 && code !== 95) return false;
  }
  return true;
}

/** A maker of ids: unique among all processes by a random start, and cheap by counting. They are names, not secrets. */
export function requestIdMaker(): () => string {
  const start = randomBytes(5).toString('hex');
  let count = 0;
  return () => `${start}${(count += 1).toString(36)}`;
}
