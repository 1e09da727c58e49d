// Counts wrong passwords and says when too many came, for a name from an address and from an address altogether (H12). What a wrong
// password is, credential-check.ts decides.
import { createHash } from 'node:crypto';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { TooManyRequests } from '../http-errors.ts';
import { networkOf } from '../principal/caller.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';

export interface LoginLimitOptions {
  readonly loginFailures: number;
  readonly loginFailuresPerAddress: number;
  readonly loginFailureWindowSeconds: number;
}

export interface LoginLimit {
  /**
   * Lets a try begin; what is returned must be called when it is over and, if it was wrong, counted. Waits while as many run as may still be wrong.
   * Throws a 429 with Retry-After while further tries are refused; asking is not counted.
   */
  enter(name: string, ip: string): Promise<() => void>;
  count(name: string, ip: string): Promise<void>;
}

/** CouchDB's own sentence. Its status would be 403; 429 is what clients know to wait on. */
export const LOCKED = 'Account is temporarily locked due to multiple authentication failures';

/**
 * Workers of one process count together, replicas on their own. The address is the client's, an IPv6 one by its /64, which is what one subscriber gets.
 * Nothing of this touches a session or a password that was checked before: a stranger behind the same address locks nobody out.
 */
export function createLoginLimit(
  options: LoginLimitOptions,
  bus: Pick<InvalidationBus, 'onInvalidation' | 'publish'>,
): LoginLimit {
  const duration = options.loginFailureWindowSeconds;
  const byName = new RateLimiterMemory({ points: options.loginFailures, duration });
  const byAddress = new RateLimiterMemory({ points: options.loginFailuresPerAddress, duration });
  bus.onInvalidation((item) => {
    if (item.kind !== 'wrongPassword') return;
    void byName.penalty(item.slot);
    void byAddress.penalty(item.network);
  });
  const running = new RunningTries();
  return {
    async enter(name, ip) {
      const network = networkOf(ip);
      const slots = [slot(name, network), network] as const;
      for (;;) {
        const [ofName, ofAddress] = await Promise.all([byName.get(slots[0]), byAddress.get(slots[1])]);
        refuseIfSpent(ofName);
        refuseIfSpent(ofAddress);
        const left = [
          ofName?.remainingPoints ?? options.loginFailures,
          ofAddress?.remainingPoints ?? options.loginFailuresPerAddress,
        ];
        // No pause between this look and the entry: nobody else comes in between.
        const full = slots.find((one, index) => running.count(one) >= (left[index] ?? 0));
        if (full === undefined) return running.enter(slots);
        await running.oneLess(full);
      }
    },
    async count(name, ip) {
      const network = networkOf(ip);
      // Counted here in any case; a sibling that cannot be told is one that is being replaced.
      await bus.publish({ kind: 'wrongPassword', network, slot: slot(name, network) }).catch(() => undefined);
    },
  };
}

function refuseIfSpent(count: RateLimiterRes | null): void {
  if (count === null || count.remainingPoints > 0) return;
  throw new TooManyRequests(LOCKED, Math.max(1, Math.ceil(count.msBeforeNext / 1000)));
}

/**
 * Tries that are neither right nor wrong yet. A thousand that are sent at once would else all be let in before the first of them is counted.
 * Pinned by test/hostile/h12-login-limit.test.ts.
 */
class RunningTries {
  readonly #running = new Map<string, number>();
  /** Those who wait for one try less, in the order of their coming. */
  readonly #waiting = new Map<string, (() => void)[]>();

  count(slot: string): number {
    return this.#running.get(slot) ?? 0;
  }

  enter(slots: readonly string[]): () => void {
    for (const slot of slots) this.#running.set(slot, this.count(slot) + 1);
    return () => slots.forEach((slot) => this.#leave(slot));
  }

  oneLess(slot: string): Promise<void> {
    const line = this.#waiting.get(slot) ?? [];
    this.#waiting.set(slot, line);
    return new Promise((resolve) => line.push(resolve));
  }

  #leave(slot: string): void {
    const left = this.count(slot) - 1;
    if (left === 0) this.#running.delete(slot);
    else this.#running.set(slot, left);
    // All look again: the try may have used up what the others wait for.
    const line = this.#waiting.get(slot) ?? [];
    this.#waiting.delete(slot);
    for (const look of line) look();
  }
}

/** Of one length, however long a name is sent. */
function slot(name: string, network: string): string {
  return `${network} ${createHash('sha256').update(name).digest('base64url')}`;
}
