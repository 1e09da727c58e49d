// Counts wrong passwords and says when too many came, for a name from an address and from an address altogether (H12). What a wrong
// password is, credential-check.ts decides.
import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { TooManyRequests } from '../http-errors.ts';
import { type NewsDesk } from './news.ts';

export interface LoginLimitOptions {
  readonly loginFailures: number;
  readonly loginFailuresPerAddress: number;
  readonly loginFailureWindowSeconds: number;
}

export interface LoginLimit {
  /** Throws a 429 with Retry-After while further tries are refused; asking is not counted. */
  refuseTooMany(name: string, ip: string): Promise<void>;
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
  news: Pick<NewsDesk, 'listen' | 'publish'>,
): LoginLimit {
  const duration = options.loginFailureWindowSeconds;
  const byName = new RateLimiterMemory({ points: options.loginFailures, duration });
  const byAddress = new RateLimiterMemory({ points: options.loginFailuresPerAddress, duration });
  news.listen((item) => {
    if (item.kind !== 'wrongPassword') return;
    void byName.penalty(item.slot);
    void byAddress.penalty(item.network);
  });
  return {
    async refuseTooMany(name, ip) {
      const network = networkOf(ip);
      const counts = await Promise.all([byName.get(slot(name, network)), byAddress.get(network)]);
      for (const count of counts) {
        if (count === null || count.remainingPoints > 0) continue;
        throw new TooManyRequests(LOCKED, Math.max(1, Math.ceil(count.msBeforeNext / 1000)));
      }
    },
    async count(name, ip) {
      const network = networkOf(ip);
      // Counted here in any case; a sibling that cannot be told is one that is being replaced.
      await news
        .publish({ kind: 'wrongPassword', network, slot: slot(name, network) })
        .catch(() => undefined);
    },
  };
}

/** Of one length, however long a name is sent. */
function slot(name: string, network: string): string {
  return `${network} ${createHash('sha256').update(name).digest('base64url')}`;
}

/** The first four groups of an IPv6 address; every other address as it is. */
export function networkOf(ip: string): string {
  const zone = ip.indexOf('%');
  const address = zone === -1 ? ip : ip.slice(0, zone);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    // An IPv4 tail stands for two groups.
    const width = rest.length + (rest.at(-1)?.includes('.') === true ? 1 : 0);
    groups.push(...Array<string>(Math.max(0, 8 - groups.length - width)).fill('0'), ...rest);
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
