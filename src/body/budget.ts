// Limits the memory that request bodies use together while they are read.
import { type ServerResponse } from 'node:http';
import { Unavailable } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';

/**
 * Reserves bytes for one exchange. Returns Unavailable if all exchanges together, or all of one caller, would
 * hold too many.
 */
export type ReserveBytes = (bytes: number) => Unavailable | undefined;

/**
 * Opens a reservation for one exchange of a caller (`quotaKeyOf`). It is released when the response closes.
 */
export type BodyBudget = (res: ServerResponse, caller: string) => ReserveBytes;

/** Part of the budget that one caller may use. */
const SHARE = 1 / 2;

/**
 * Creates a budget of `totalBytes`. A limit per body does not limit memory: one key could send many bodies at
 * once. Beyond the budget, further bodies are refused with 503, which clients retry. A body whose last byte
 * does not arrive keeps its bytes for minutes, so one caller gets at most half (H15). Pinned by
 * test/hostile/h15-large-bodies.test.ts.
 */
export function createBodyBudget(totalBytes: number): BodyBudget {
  const quota = new Quota(totalBytes, SHARE);
  let reservedBytes = 0;
  return (res, caller) => {
    let exchangeBytes = 0;
    let isReleased = false;
    res.once('close', () => {
      isReleased = true;
      reservedBytes -= exchangeBytes;
      quota.remove(caller, exchangeBytes);
    });
    return (bytes) => {
      // After the release, bytes that are still being decoded would be counted forever.
      if (isReleased || reservedBytes + bytes > totalBytes || !quota.hasRoom(caller, bytes)) {
        return new Unavailable('Too many request bodies are being read at once.', { retryAfterSeconds: 1 });
      }
      reservedBytes += bytes;
      exchangeBytes += bytes;
      quota.add(caller, bytes);
      return undefined;
    };
  };
}
