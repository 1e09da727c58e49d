// Defines the invalidation bus: its messages make caches on all workers and replicas drop old data. The
// workers of one process also count attempts over it.
import { type StoredDocument } from '../couch/store.ts';
import { type AttemptChannel } from '../limits/attempt-limit.ts';

export type BusMessage =
  /** `isInFeed`: the changed record itself reaches other replicas, by the feed of the store. */
  | { readonly kind: 'permissions'; readonly database: string; readonly isInFeed?: true }
  | { readonly kind: 'key'; readonly name: string }
  /** A prefix grant or a server grant. Other replicas get the document by the feed of the store. */
  | { readonly kind: 'grant'; readonly document: StoredDocument }
  | { readonly kind: 'user'; readonly name: string }
  /** The session was ended. `expiresAt`: milliseconds since 1970; until then its token must be refused. */
  | { readonly kind: 'session'; readonly id: string; readonly expiresAt: number }
  /** Only for the workers of this process, which count failed logins together (limits/attempt-limit.ts). */
  | { readonly kind: 'wrongPassword'; readonly network: string; readonly slot: string }
  /** As `wrongPassword`, for sign-ups. */
  | { readonly kind: 'signUp'; readonly network: string; readonly slot: string };

export interface InvalidationBus {
  /**
   * Delivers a message to the listeners of this process at once, then to the other workers and
   * replicas. Resolves when all workers of this replica have handled it. Rejects with `Unavailable` if the
   * end of a session could not be stored: it might be lost on a restart.
   */
  publish(message: BusMessage): Promise<void>;
  /**
   * Listeners are called synchronously, so all of them have a message before the next microtask. None may
   * read what another one keeps before that: their order has no meaning.
   */
  onMessage(listener: (message: BusMessage) => void): void;
  /**
   * True while invalidations of other replicas are known to arrive. If false, caches keep data only briefly.
   */
  readonly up: boolean;
  /**
   * When the bus went down, in milliseconds since 1970. Infinity while it is up; -Infinity before its first
   * up.
   */
  readonly upUntil: number;
}

/**
 * Returns until when (milliseconds since 1970) data is valid that was read at `readAt`. With the bus up, that
 * is `invalidationSeconds` after the read; with the bus down, `fallbackSeconds`. Time during which the bus
 * was up after the read counts as valid, so an outage is measured from its start and not from the read.
 */
export function holdsUntil(
  { upUntil }: Pick<InvalidationBus, 'upUntil'>,
  readAt: number,
  invalidationSeconds: number,
  fallbackSeconds: number,
): number {
  return readAt + Math.min(invalidationSeconds * 1000, Math.max(fallbackSeconds * 1000, upUntil - readAt));
}

type Bus = Pick<InvalidationBus, 'publish' | 'onMessage'>;

/** Lets the limits of all workers count wrong passwords together, over the bus. */
export function wrongPasswordChannel(bus: Bus): AttemptChannel {
  return countingChannel(bus, 'wrongPassword');
}

/** As `wrongPasswordChannel`, for the limit of sign-ups. */
export function signUpChannel(bus: Bus): AttemptChannel {
  return countingChannel(bus, 'signUp');
}

function countingChannel(bus: Bus, kind: 'wrongPassword' | 'signUp'): AttemptChannel {
  return {
    publish: ({ network, slot }) => bus.publish({ kind, network, slot }),
    onAttempt(listener) {
      bus.onMessage((item) => {
        if (item.kind === kind) listener(item);
      });
    },
  };
}
