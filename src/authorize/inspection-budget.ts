// Bounds the memory that bodies under inspection take together. What is inspected, and how large one body may be, is inspect.ts's business.
import { type ServerResponse } from 'node:http';
import { Unavailable } from '../http-errors.ts';

/** Counts bytes that are held for one exchange; answers with Unavailable when all exchanges together would hold too many. */
export type HoldBytes = (bytes: number) => Unavailable | undefined;

/**
 * One limit on one body is no limit on memory: a key that may write could send many at once. Past `totalBytes` further bodies are
 * refused with 503, which clients take for a reason to try again. What an exchange holds is given back when its answer is over.
 */
export function createInspectionBudget(totalBytes: number): (res: ServerResponse) => HoldBytes {
  let held = 0;
  return (res) => {
    let own = 0;
    res.once('close', () => {
      held -= own;
      own = 0;
    });
    return (bytes) => {
      if (held + bytes > totalBytes) {
        return new Unavailable('Too many request bodies are being read at once.', { retryAfterSeconds: 1 });
      }
      held += bytes;
      own += bytes;
      return undefined;
    };
  };
}
