// Shows PouchDB's update sequence as an opaque string, like CouchDB's, and reads it back.
import { BadRequest } from '../http-errors.ts';

const MARK = 'embedded';

/** The sequence as clients see it; they must not read anything out of it. */
export function shownSeq(seq: number): string {
  return `${seq}-${MARK}`;
}

/** The sequence of a `since`; `now` is `latest`. Throws CouchDB's 400 for what this node never gave. */
export function readSeq(since: string | null | undefined, latest: () => Promise<number>): Promise<number> {
  const text = since ?? '0';
  if (text === 'now') return latest();
  if (text === '0' || text === '') return Promise.resolve(0);
  const match = /^"?(\d{1,15})-embedded"?$/.exec(text);
  if (match === null)
    return Promise.reject(new BadRequest("Malformed sequence supplied in 'since' parameter."));
  return Promise.resolve(Number(match[1]));
}
