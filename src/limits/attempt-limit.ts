// Limits attempts per client address, and per name from one client address: failed logins and sign-ups (H12).
import { createHash } from 'node:crypto';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { TooManyRequests } from '../http-errors.ts';
import { networkOf } from '../principal/caller.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import { Quota } from './quota.ts';

export interface AttemptLimitOptions {
  /** Counted attempts of one name from one address, within the window. */
  readonly attempts: number;
  readonly attemptsPerAddress: number;
  readonly windowSeconds: number;
}

export interface AttemptLimit {
  /**
   * Starts an attempt and returns the function that ends it; an attempt that counts must be counted before
   * that. Waits while the attempts that run could use up all that are left. Throws a 429 with Retry-After if
   * none is left. `enter` itself counts nothing.
   */
  enter(name: string, ip: string): Promise<() => void>;
  /** Counts an attempt, in all workers of this process. */
  count(name: string, ip: string): Promise<void>;
}

/** An attempt that counts, as the workers send it to each other. */
export interface CountedAttempt {
  /** From `networkOf`. */
  readonly network: string;
  /** The name and the network as one key. */
  readonly slot: string;
}

/** Delivers counted attempts to this worker and to the other workers. */
export interface AttemptChannel {
  publish(attempt: CountedAttempt): Promise<void>;
  onAttempt(listener: (attempt: CountedAttempt) => void): void;
}

/** CouchDB's own sentence. Its status would be 403; clients know 429 as the status to wait on. */
export const LOCKED = 'Account is temporarily locked due to multiple authentication failures';

/**
 * Creates the limit. The workers of one process count together; replicas count separately. An IPv6 client is
 * counted by its /64 network, which is what one subscriber gets. Sessions and passwords that were accepted
 * before are not limited, so other clients behind the same address cannot lock a user out. `reason` is that
 * of the 429.
 */
export function createAttemptLimit(
  options: AttemptLimitOptions,
  channel: AttemptChannel,
  reason = LOCKED,
): AttemptLimit {
  const duration = options.windowSeconds;
  const byName = new Attempts(options.attempts, duration);
  const byAddress = new Attempts(options.attemptsPerAddress, duration);
  channel.onAttempt(({ slot, network }) => {
    byName.count(slot);
    byAddress.count(network);
  });
  const queue = new KeyedMutex();
  const start = async (slot: string, network: string): Promise<() => void> => {
    for (;;) {
      const [ofName, ofAddress] = await Promise.all([byName.counted(slot), byAddress.counted(network)]);
      refuseIfSpent(ofName, reason);
      refuseIfSpent(ofAddress, reason);
      // If an attempt may start, no `await` comes before `start`: no other attempt can start in between.
      if (!byName.mayStart(slot, ofName)) await byName.nextEnd(slot);
      else if (!byAddress.mayStart(network, ofAddress)) await byAddress.nextEnd(network);
      else break;
    }
    byName.start(slot);
    byAddress.start(network);
    return () => {
      byName.end(slot);
      byAddress.end(network);
    };
  };
  return {
    enter(name, ip) {
      const network = networkOf(ip);
      const slot = slotOf(name, network);
      return queue.run(slot, () => start(slot, network));
    },
    async count(name, ip) {
      const network = networkOf(ip);
      // This worker counts in any case. A worker that cannot be reached is being replaced.
      await channel.publish({ network, slot: slotOf(name, network) }).catch(() => undefined);
    },
  };
}

interface End {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/**
 * Counted attempts per key within the window, and the attempts that run. A running attempt is counted in
 * advance: otherwise a thousand attempts sent at once would all start before the first one is counted. Pinned
 * by test/hostile/h12-login-limit.test.ts.
 */
class Attempts {
  readonly #counted: RateLimiterMemory;
  readonly #running: Quota;
  readonly #ends = new Map<string, End>();

  constructor(limit: number, windowSeconds: number) {
    this.#counted = new RateLimiterMemory({ points: limit, duration: windowSeconds });
    this.#running = new Quota(limit, 1);
  }

  count(key: string): void {
    void this.#counted.penalty(key);
  }

  /** Attempts counted in the present window; null = none. */
  counted(key: string): Promise<RateLimiterRes | null> {
    return this.#counted.get(key);
  }

  /** True if one more attempt would stay within the limit even if every running attempt counts. */
  mayStart(key: string, counted: RateLimiterRes | null): boolean {
    return this.#running.hasRoom(key, (counted?.consumedPoints ?? 0) + 1);
  }

  start(key: string): void {
    this.#running.add(key);
  }

  end(key: string): void {
    this.#running.remove(key);
    const end = this.#ends.get(key);
    this.#ends.delete(key);
    end?.resolve();
  }

  /** Resolves when the next attempt of this key ends. All waiters share one promise and then check again. */
  nextEnd(key: string): Promise<void> {
    let end = this.#ends.get(key);
    if (end === undefined) {
      let resolve = (): void => undefined;
      const promise = new Promise<void>((done) => (resolve = done));
      this.#ends.set(key, (end = { promise, resolve }));
    }
    return end.promise;
  }
}

function refuseIfSpent(counted: RateLimiterRes | null, reason: string): void {
  if (counted === null || counted.remainingPoints > 0) return;
  throw new TooManyRequests(reason, Math.max(1, Math.ceil(counted.msBeforeNext / 1000)));
}

/** The digest bounds the length of the key, whatever the length of the name. */
function slotOf(name: string, network: string): string {
  return `${network} ${createHash('sha256').update(name).digest('base64url')}`;
}
