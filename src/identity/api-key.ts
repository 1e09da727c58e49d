// Interface of the API-key store.

/**
 * Result of checking a name and a password against the key store. If the name is a key's, a wrong password is
 * never checked against the users of CouchDB (H13).
 */
export type KeyVerdict =
  /**
   * `version` identifies the password that matched; a session is bound to it. `until` = end of validity in
   * milliseconds since the epoch, or Infinity.
   */
  | { readonly outcome: 'accepted'; readonly version: string; readonly until: number }
  /** The name of a key with a wrong password, or a revoked key. */
  | { readonly outcome: 'wrong' }
  /** The correct password of an expired key. */
  | { readonly outcome: 'expired' }
  | { readonly outcome: 'notAKey' };

/** Properties of a key that the owner may see; times in ISO 8601. */
export interface KeySummary {
  readonly key: string;
  readonly label: string | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  /** Rounded down to the hour. */
  readonly last_used: string | null;
}

/** A part of the list of keys. */
export interface KeyPage {
  /** In the order of their names. */
  readonly keys: readonly KeySummary[];
  /** The name after which the next part starts; undefined = this is the last part. */
  readonly next: string | undefined;
}

/** Properties of a new key. */
export interface NewKey {
  readonly label: string | null;
  /** ISO 8601. */
  readonly expiresAt: string | null;
  /** Name of the owner that creates the key. */
  readonly by: string;
}

/** Throws if the request behind a change has ended. Called immediately before the change is written (H19). */
export type RefuseEnded = () => void;

/**
 * The store of API keys. A result that is not a promise comes from memory. A promise means a read from
 * CouchDB; it rejects with `Unavailable` if CouchDB cannot be reached.
 */
export interface KeyStore {
  /**
   * Checks a password. Costs the same for a name that is not a key's (H12). `caller` = whose quota a read of
   * the store uses, for example the client address.
   */
  verify(name: string, password: string, caller?: string): KeyVerdict | Promise<KeyVerdict>;
  /**
   * True while the password with this `version` is valid. Sessions and feeds of the key end when it becomes
   * false.
   */
  holds(name: string, version: string): boolean | Promise<boolean>;
  /** True if the name is a key's or was a revoked key's: no user may have it (H13). */
  isKeyName(name: string): boolean | Promise<boolean>;
  /** What the memory holds about a name, without a read. It may be outdated, so it decides nothing. */
  recall(name: string): 'valid' | 'revoked' | undefined;
  /** Creates a key. Resolves once a quorum of the cluster holds it; the password is not returned before. */
  create(
    properties: NewKey,
    refuseEnded?: RefuseEnded,
  ): Promise<{ readonly key: string; readonly password: string }>;
  /**
   * Reads the keys that are not revoked among at most `limit` names after `after`, in the order of their
   * names. A change of the last moment may be missing.
   */
  page(after: string, limit: number): Promise<KeyPage>;
  /** True if there may be a key that is not revoked. */
  hasAny(): Promise<boolean>;
  /**
   * Looks many names up at once. Names that are no key's are missing. For lists: a change of the last moment
   * may be missing, so it decides nothing.
   */
  named(names: readonly string[]): Promise<ReadonlyMap<string, KeySummary | 'revoked'>>;
  /** `undefined` = no such key, or a revoked one. */
  describe(name: string): Promise<KeySummary | undefined>;
  /** Changes the given fields. `undefined` = no such key. */
  change(
    name: string,
    fields: { readonly label?: string | null; readonly expiresAt?: string | null },
    refuseEnded?: RefuseEnded,
  ): Promise<KeySummary | undefined>;
  /** Revokes the key permanently; its name stays reserved. False = no such key. */
  revoke(name: string, by: string): Promise<boolean>;
  /** Adds a password. The older passwords stay valid for the overlap. `undefined` = no such key. */
  rotate(
    name: string,
    overlapSeconds: number,
    refuseEnded?: RefuseEnded,
  ): Promise<{ readonly password: string; readonly oldValidUntil: string } | undefined>;
}
