// Limits the heartbeats that clients ask CouchDB to send on feeds (H15).
import { type ServerResponse } from 'node:http';
import { parametersOf } from '../body/query-parameters.ts';
import { onClosed } from '../closed-response.ts';
import { BadRequest, TooManyRequests } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';

/** Heartbeats per second that one caller may ask for. Couchgate needs a tenth of a core for them. */
const PER_CALLER = 1000;
/** Heartbeats per second that all callers may ask for at intervals below SLOW_MS. */
const FAST_OF_ALL = 4 * PER_CALLER;
/** Clients choose 10 seconds by default. The number of feeds limits how many such heartbeats there are. */
const SLOW_MS = 10_000;
/** Heartbeats are counted as integers in this time, so that nothing is left of a sum. */
const UNIT_SECONDS = 1000;
/** The interval of `heartbeat=true` (chttpd_db.erl and global_changes_httpd.erl). */
const DEFAULT_MS = 60_000;
const RETRY_AFTER_SECONDS = 10;

const ALL = 'all';
/**
 * `_db_updates` accepts it, unlike `_changes`: the node then looks for changes without a pause, and one feed
 * takes a core (global_changes_httpd.erl, fabric_db_update_listener.erl).
 */
const ZERO = /^[+-]?0+$/;
const MAY_NAME_IT = /heartbeat|%/i;

/** The heartbeats of the open feeds of this process. */
export class Heartbeats {
  readonly #ofCaller = new Quota(PER_CALLER * UNIT_SECONDS, 1);
  readonly #fast = new Quota(FAST_OF_ALL * UNIT_SECONDS, 1);

  /**
   * Counts the heartbeats that `query` asks for until the answer ends. Throws 429 when they are too many, and
   * 400 for an interval of zero. Feeds with slow heartbeats are not refused because of other callers.
   */
  admit(query: string, caller: string, res: ServerResponse): void {
    const intervalMs = shortestInterval(query);
    if (intervalMs === undefined) return;
    const amount = Math.max(1, Math.ceil((UNIT_SECONDS * 1000) / intervalMs));
    const isFast = intervalMs < SLOW_MS;
    if (!this.#ofCaller.hasRoom(caller, amount))
      throw new TooManyRequests(
        `The feeds of one caller may have ${PER_CALLER} heartbeats per second. Use a longer \`heartbeat\`.`,
        RETRY_AFTER_SECONDS,
      );
    if (isFast && !this.#fast.hasRoom(ALL, amount))
      throw new TooManyRequests(
        `Too many feeds have a \`heartbeat\` of less than ${SLOW_MS} ms. Use a longer one.`,
        RETRY_AFTER_SECONDS,
      );
    this.#ofCaller.add(caller, amount);
    if (isFast) this.#fast.add(ALL, amount);
    onClosed(res, () => {
      this.#ofCaller.remove(caller, amount);
      if (isFast) this.#fast.remove(ALL, amount);
    });
  }
}

/**
 * The shortest interval in milliseconds that the query names; undefined = none. CouchDB ignores the case of
 * the name, and uses the last of several values.
 */
function shortestInterval(query: string): number | undefined {
  if (!MAY_NAME_IT.test(query)) return undefined;
  let shortest: number | undefined;
  for (const [name, value] of parametersOf(query))
    if (name.toLowerCase() === 'heartbeat') shortest = Math.min(shortest ?? Infinity, intervalOf(value));
  return shortest;
}

/** A value that CouchDB may not accept counts as the shortest interval. Throws BadRequest for zero. */
function intervalOf(value: string): number {
  if (ZERO.test(value))
    throw new BadRequest('The heartbeat value should be a positive integer (in milliseconds).');
  if (value === 'true') return DEFAULT_MS;
  // None, on _db_updates (global_changes_httpd.erl); _changes answers 400.
  if (value === 'false') return Infinity;
  return /^\+?\d+$/.test(value) ? Math.max(1, Number(value)) : 1;
}
