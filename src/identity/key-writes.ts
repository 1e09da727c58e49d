// Creates, changes, rotates and revokes API keys in the store. No crash, conflict or lost response leaves a
// partly created key that grants access.
import { type Couch } from '../couch/couch.ts';
import { TOO_FEW_CONFIRMED, Unavailable, UnknownOutcome } from '../http-errors.ts';
import { type NewKey, type KeyStore, type RefuseEnded } from './api-key.ts';
import { type KeyCache } from './key-cache.ts';
import { formatTime, KEY, type KeyRecord, REVOKED, writeKey } from './key-document.ts';
import { readKey } from './key-leaves.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { digestPassword, isKeyShaped, makeKeyName, makePassword } from './secret.ts';
import { type Store } from '../couch/store.ts';
import { userPath } from '../couch/user-id.ts';

export interface KeyWritesOptions {
  readonly couch: Couch;
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'publish'>;
  readonly now: () => number;
}

/** Maximum number of valid passwords per key; the oldest is removed first. */
const MAX_PASSWORDS = 4;
const MAX_ATTEMPTS = 5;
/** For writes that do not depend on a request, such as a revocation, which only takes access away. */
const NEVER_ENDS: RefuseEnded = () => undefined;

/**
 * Writes of the key store. Every method resolves after all workers of this replica have applied the
 * invalidation.
 */
export class KeyWrites {
  readonly #options: KeyWritesOptions;
  readonly #cache: KeyCache;

  constructor(options: KeyWritesOptions, cache: KeyCache) {
    this.#options = options;
    this.#cache = cache;
  }

  /**
   * Creates a key with a name that neither a key nor a user has. Throws `Unavailable`, also if too few nodes
   * stored it.
   */
  async create(properties: NewKey, refuseEnded: RefuseEnded = NEVER_ENDS): ReturnType<KeyStore['create']> {
    const { store, now } = this.#options;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const name = makeKeyName();
      if (await this.#isUser(name)) continue;
      const password = makePassword();
      const record: KeyRecord = {
        name,
        rev: '',
        digests: [digestPassword(password)],
        rotations: 0,
        until: properties.expiresAt === null ? Infinity : Date.parse(properties.expiresAt),
        label: properties.label,
        createdBy: properties.by,
        createdAt: new Date(now()).toISOString(),
      };
      refuseEnded();
      const written = await store.write(writeKey(record));
      if (written.outcome === 'conflict') continue;
      if (!written.quorum) {
        await store.write({ _id: KEY + name, _rev: written.rev, _deleted: true }).catch(() => undefined);
        throw noQuorum();
      }
      this.#cache.created({ ...record, rev: written.rev });
      await this.#publish(name);
      return { key: name, password };
    }
    throw new Unavailable('No unused name for the API key was found; try again.');
  }

  async change(
    name: string,
    fields: Parameters<KeyStore['change']>[1],
    refuseEnded: RefuseEnded = NEVER_ENDS,
  ): Promise<KeyRecord | undefined> {
    const { label, expiresAt } = fields;
    const edit = (record: KeyRecord): KeyRecord => ({
      ...record,
      ...(label === undefined ? {} : { label }),
      ...(expiresAt === undefined ? {} : { until: expiresAt === null ? Infinity : Date.parse(expiresAt) }),
    });
    const changed = await this.#update(name, edit, { refuseEnded });
    if (changed === undefined) return undefined;
    await this.#publish(name);
    return changed.after;
  }

  /**
   * True if the key is revoked, by this call or before. A client that lost the response may therefore repeat
   * the request.
   */
  async revoke(name: string, by: string): Promise<boolean> {
    const { store, now } = this.#options;
    if (!isKeyShaped(name) || (await store.read(KEY + name)) === undefined) return false;
    // A conflict means that another request revoked the key. Without a quorum the write still counts: CouchDB
    // replicates it to the other nodes.
    await store.write({ _id: REVOKED + name, revoked_by: by, revoked_at: new Date(now()).toISOString() });
    this.#cache.wroteRevocation(name);
    await this.#publish(name);
    // Removes the digests: a revoked key does not need them. The revocation is valid even if this fails.
    await this.#update(name, (record) => ({ ...record, digests: [] }), { revokedToo: true }).catch(
      () => undefined,
    );
    return true;
  }

  /**
   * Adds a password; the older ones end after the overlap. Throws `Unavailable`, also if too few nodes stored
   * it.
   */
  async rotate(
    name: string,
    overlapSeconds: number,
    refuseEnded: RefuseEnded = NEVER_ENDS,
  ): ReturnType<KeyStore['rotate']> {
    const now = this.#options.now();
    const password = makePassword();
    const added = digestPassword(password);
    const oldUntil = now + overlapSeconds * 1000;
    const edit = (record: KeyRecord): KeyRecord => {
      const old = record.digests.map((digest) => ({ ...digest, until: Math.min(digest.until, oldUntil) }));
      return {
        ...record,
        digests: [added, ...old.filter(({ until }) => until > now)].slice(0, MAX_PASSWORDS),
        rotations: record.rotations + 1,
      };
    };
    const changed = await this.#update(name, edit, { refuseEnded });
    if (changed === undefined) return undefined;
    if (!changed.quorum) {
      await this.#takeBack(changed).catch(() => {
        throw new UnknownOutcome(TOO_FEW_CONFIRMED);
      });
      throw noQuorum();
    }
    await this.#publish(name);
    return { password, oldValidUntil: formatTime(oldUntil) ?? '' };
  }

  /**
   * Undoes a rotation that too few nodes stored: its password may be lost, so the old one must stay valid. It
   * writes on its own leaf, with the former number of rotations: another rotation at the same time, which was
   * acknowledged, stays the last one (H21).
   */
  async #takeBack({ before, after }: Record<'before' | 'after', KeyRecord>): Promise<void> {
    const { digests, rotations } = before;
    try {
      await this.#options.store.write(writeKey({ ...after, digests, rotations }));
    } finally {
      this.#cache.forget(after.name);
    }
  }

  /**
   * Edits a `key:` document, and retries after a conflict. Other leaves are in what is written, so they are
   * removed. Undefined = no such key, or a revoked one.
   */
  async #update(
    name: string,
    edit: (record: KeyRecord) => KeyRecord,
    { revokedToo = false, refuseEnded = NEVER_ENDS } = {},
  ): Promise<{ before: KeyRecord; after: KeyRecord; quorum: boolean } | undefined> {
    const { store } = this.#options;
    if (!isKeyShaped(name)) return undefined;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const [read, revocation] = await Promise.all([readKey(store, name), store.read(REVOKED + name)]);
      if (read === undefined || (revocation !== undefined && !revokedToo)) return undefined;
      const { record: before, losers } = read;
      const edited = edit(before);
      refuseEnded();
      const written = await store.write(writeKey(edited));
      if (written.outcome === 'conflict') continue;
      const after = { ...edited, rev: written.rev };
      this.#cache.wrote(after);
      const removed = losers.map((rev) => ({ _id: KEY + name, _rev: rev, _deleted: true }));
      // Without a quorum, the write may be lost. A leaf that stays does no harm.
      if (written.quorum && removed.length > 0) await store.writeAll(removed).catch(() => undefined);
      return { before, after, quorum: written.quorum };
    }
    throw new Unavailable('Other requests change this API key at present; try again.');
  }

  /**
   * Publishes the change. The memory of this process is current, so only the other processes must read the
   * key again.
   */
  #publish(name: string): Promise<void> {
    return this.#cache.announce(name, () => this.#options.bus.publish({ kind: 'key', name }));
  }

  /** True if `_users` has the name: a key must not take the name of a user (H13). */
  async #isUser(name: string): Promise<boolean> {
    const { status } = await this.#options.couch.ask({
      method: 'HEAD',
      path: userPath(name),
    });
    if (status === 200) return true;
    if (status === 404) return false;
    throw new Unavailable('CouchDB users cannot be read at present.', {
      detail: `_users answered ${status}`,
    });
  }
}

function noQuorum(): Unavailable {
  return new Unavailable('Too few CouchDB nodes could store the change; nothing was changed.');
}
