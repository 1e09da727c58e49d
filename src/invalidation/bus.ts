// What one Couchgate must tell the others: whose permissions or credentials are no longer what they were.
// How it travels (worker messages, the store's _changes) is news-feed.ts's business.

export type Invalidation =
  | { readonly kind: 'permissions'; readonly database: string }
  | { readonly kind: 'key'; readonly name: string }
  | { readonly kind: 'user'; readonly name: string }
  /** `expiresAt` in milliseconds since the epoch: until then the session's token has to be refused. */
  | { readonly kind: 'session'; readonly id: string; readonly expiresAt: number }
  /** For the sibling workers alone: they count together (login-limit.ts). */
  | { readonly kind: 'wrongPassword'; readonly network: string; readonly slot: string };

export interface InvalidationBus {
  /** Tells every listener here and in the sibling workers, then every other replica. Resolves when this replica, all its workers included, has acted on it. */
  publish(invalidation: Invalidation): Promise<void>;
  onInvalidation(listener: (invalidation: Invalidation) => void): void;
  /** True while news from other replicas is known to arrive; caches keep things only briefly otherwise. */
  readonly up: boolean;
  /** When they ceased to arrive: Infinity while they do, -Infinity before they first did. */
  readonly upUntil: number;
}

/**
 * Until when what was read at `readAt` is known to hold: for `newsSeconds` as long as news would say otherwise, and without them for
 * `fallbackSeconds`. From then on, not from its reading, the time of an outage is counted: what news kept true is no worse for its age.
 */
export function holdsUntil(
  { upUntil }: Pick<InvalidationBus, 'upUntil'>,
  readAt: number,
  invalidationSeconds: number,
  fallbackSeconds: number,
): number {
  return readAt + Math.min(invalidationSeconds * 1000, Math.max(fallbackSeconds * 1000, upUntil - readAt));
}
