// What the rest of the project knows of API keys: how one is checked, made, changed and ended. How they are kept is key-store.ts's business.

/** What a name and a password are to the key store. A name is a key's or is not: a wrong password for a key is never tried as a user's (H13). */
export type KeyVerdict =
  /** `version` names the password that was right; a session is bound to it. `until` = milliseconds since the epoch, Infinity without end. */
  | { readonly outcome: 'accepted'; readonly version: string; readonly until: number }
  /** A key's name with another password, or a revoked key. */
  | { readonly outcome: 'wrong' }
  /** The right password of a key whose time is over. */
  | { readonly outcome: 'expired' }
  | { readonly outcome: 'notAKey' };

/** A key as its owner may see it; times in ISO 8601. */
export interface KeySummary {
  readonly key: string;
  readonly label: string | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  /** To the hour. */
  readonly last_used: string | null;
}

export interface KeyOrder {
  readonly label: string | null;
  /** ISO 8601. */
  readonly expiresAt: string | null;
  /** Name of the owner who asks. */
  readonly by: string;
}

/** Answers that are not promises come from memory; a promise means that CouchDB is asked, and throws `Unavailable` when it cannot be. */
export interface KeyStore {
  /** Checks a password; takes the same time for a name that is no key. */
  verify(name: string, password: string): KeyVerdict | Promise<KeyVerdict>;
  /** True while the password named by `version` is good: what a session of the key lives by. */
  holds(name: string, version: string): boolean | Promise<boolean>;
  /** True for every name that is or ever was a key's: nobody else may take it (H13). */
  isKeyName(name: string): boolean | Promise<boolean>;
  /** Resolves when a quorum of the cluster holds the key; until then the password has left this function for nobody. */
  create(order: KeyOrder): Promise<{ readonly key: string; readonly password: string }>;
  list(): Promise<readonly KeySummary[]>;
  describe(name: string): Promise<KeySummary | undefined>;
  /** Absent fields stay as they are. `undefined` = no such key. */
  change(
    name: string,
    fields: { readonly label?: string | null; readonly expiresAt?: string | null },
  ): Promise<KeySummary | undefined>;
  /** Ends the key for good; its name stays taken. False = no such key. */
  revoke(name: string, by: string): Promise<boolean>;
  /** A second password; the ones before it stay good for the overlap. `undefined` = no such key. */
  rotate(
    name: string,
    overlapSeconds: number,
  ): Promise<{ readonly password: string; readonly oldValidUntil: string } | undefined>;
}
