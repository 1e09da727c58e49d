// Bounds the memory that request bodies take together while they are read. Which bodies, and how large one may be, is their readers' business.
import { type ServerResponse } from 'node:http';
import { Unavailable } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';

/** Counts bytes that are held for one exchange; answers with Unavailable when all exchanges together, or all of one caller, would hold too many. */
export type HoldBytes = (bytes: number) => Unavailable | undefined;

/** What one exchange of a caller (`callerOf`) holds is counted until its answer is over. */
export type BodyBudget = (res: ServerResponse, caller: string) => HoldBytes;

/** What one caller may take. */
const SHARE = 1 / 2;

/**
 * One limit on one body is no limit on memory: a key that may write could send many at once. Past `totalBytes` further bodies are
 * refused with 503, which clients take for a reason to try again. A body whose last byte does not come holds its place for minutes, so one
 * caller gets no more than half (H15). Pinned by test/hostile/h15-large-bodies.test.ts.
 */
export function createBodyBudget(totalBytes: number): BodyBudget {
  const shares = new Quota(totalBytes, SHARE);
  let held = 0;
  return (res, caller) => {
    let own = 0;
    let isOver = false;
    res.once('close', () => {
      isOver = true;
      held -= own;
      shares.remove(caller, own);
    });
    return (bytes) => {
      // What is still inflated for a client that has left would be counted for good.
      if (isOver || held + bytes > totalBytes || !shares.hasRoom(caller, bytes)) {
        return new Unavailable('Too many request bodies are being read at once.', { retryAfterSeconds: 1 });
      }
      held += bytes;
      own += bytes;
      shares.add(caller, bytes);
      return undefined;
    };
  };
}
