// Limits what the request bodies of all callers together may take: bytes of Couchgate, or values in CouchDB.
import { type ServerResponse } from 'node:http';
import { onClosed } from '../closed-response.ts';
import { Unavailable } from '../http-errors.ts';
import { Quota } from '../limits/quota.ts';

/**
 * Reserves an amount for one exchange. Returns Unavailable if all exchanges together, or all of one caller,
 * would hold too much.
 */
export type Reserve = (amount: number) => Unavailable | undefined;

/**
 * Opens a reservation for one exchange of a caller (a key of principal/caller.ts). It is released when the
 * response closes.
 */
export type BodyBudget = (res: ServerResponse, caller: string) => Reserve;

export interface BudgetOptions {
  /** The amount of all exchanges together. */
  readonly total: number;
  /** The refusal beyond the budget. */
  readonly busy: { readonly reason: string; readonly retryAfterSeconds: number };
  /** How long the reservation is kept after a client has disconnected, in ms; by default not at all. */
  readonly disconnectedMs?: number;
  /** Part of the budget that one caller may use; by default half. */
  readonly share?: number;
}

/**
 * Creates a budget of `totalBytes`. A limit per body does not limit memory: one key could send many bodies at
 * once. Beyond the budget, further bodies are refused with 503, which clients retry. A body whose last byte
 * does not arrive keeps its bytes for minutes, so one caller gets at most half (H15). Pinned by
 * test/hostile/h15-large-bodies.test.ts.
 */
export function createBodyBudget(totalBytes: number): BodyBudget {
  return createBudget({
    total: totalBytes,
    busy: { reason: 'Too many request bodies are being read at once.', retryAfterSeconds: 1 },
  });
}

/** Creates a budget of any amount. */
export function createBudget({ total, busy, disconnectedMs = 0, share = 1 / 2 }: BudgetOptions): BodyBudget {
  const quota = new Quota(total, share);
  let reserved = 0;
  /** Sees nothing of the exchange: its body must not stay in memory until the delayed release. */
  const reservationOf = (caller: string) => {
    let held = 0;
    let isReleased = false;
    return {
      reserve: (amount: number): Unavailable | undefined => {
        // After the release, what is still being decoded would be counted forever.
        if (isReleased || reserved + amount > total || !quota.hasRoom(caller, amount))
          return new Unavailable(busy.reason, { retryAfterSeconds: busy.retryAfterSeconds });
        reserved += amount;
        held += amount;
        quota.add(caller, amount);
        return undefined;
      },
      release: (): void => {
        isReleased = true;
        reserved -= held;
        quota.remove(caller, held);
      },
    };
  };
  return (res, caller) => {
    const { reserve, release } = reservationOf(caller);
    onClosed(res, () => {
      if (disconnectedMs === 0 || res.writableFinished) release();
      else setTimeout(release, disconnectedMs).unref();
    });
    return reserve;
  };
}
