// Converts PouchDB's numeric update sequence to an opaque string like CouchDB's, and back.
import { BadRequest } from '../http-errors.ts';

/** Part of every sequence, so that the sequence of another server is recognized and refused. */
const SUFFIX = 'embedded';

/** The opaque sequence that clients receive. */
export function formatSeq(seq: number): string {
  return `${seq}-${SUFFIX}`;
}

/** The sequence of `since`; `now` means `latest()`. Rejects with CouchDB's 400 for a foreign sequence. */
export function readSeq(since: string | null | undefined, latest: () => Promise<number>): Promise<number> {
  const text = since ?? '0';
  if (text === 'now') return latest();
  if (text === '0' || text === '') return Promise.resolve(0);
  const match = /^"?(\d{1,15})-embedded"?$/.exec(text);
  if (match === null)
    return Promise.reject(new BadRequest("Malformed sequence supplied in 'since' parameter."));
  return Promise.resolve(Number(match[1]));
}
