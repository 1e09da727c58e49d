// Limits the JSON values that CouchDB parses at the same time for all callers together (H20).
import { type ServerResponse } from 'node:http';
import { Unavailable } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';
import { type BodyBudget } from './budget.ts';

/** CouchDB needs up to 550 bytes of memory for each. */
const MOST_VALUES = 2_000_000;
/** Part of the budget that one caller may use. */
const SHARE = 1 / 2;
/** CouchDB processes a body completely, also if the client has disconnected: up to 40 µs for a value. */
const DISCONNECTED_MS = 60_000;

/**
 * Creates the budget of one process. A limit per body does not limit memory: one key could send many bodies
 * at once. A reservation is released when the response is complete, or DISCONNECTED_MS after the client has
 * disconnected.
 */
export function createValueBudget(total = MOST_VALUES): BodyBudget {
  const quota = new Quota(total, SHARE);
  let reserved = 0;
  return (res: ServerResponse, caller) => {
    let held = 0;
    let isReleased = false;
    const release = (): void => {
      isReleased = true;
      reserved -= held;
      quota.remove(caller, held);
    };
    res.once('close', () => {
      if (res.writableFinished) release();
      else setTimeout(release, DISCONNECTED_MS).unref();
    });
    return (values) => {
      if (isReleased || reserved + values > total || !quota.hasRoom(caller, values))
        return new Unavailable('Too many large request bodies are being written at once.', {
          retryAfterSeconds: 5,
        });
      reserved += values;
      held += values;
      quota.add(caller, values);
      return undefined;
    };
  };
}
