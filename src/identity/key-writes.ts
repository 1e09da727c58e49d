// Makes, changes and ends API keys in the store so that no crash, conflict or lost answer leaves a half-made key that opens anything.
// Who may ask for it is authorize's business.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { type KeyOrder, type KeyStore } from './api-key.ts';
import { type KeyCopies } from './key-copies.ts';
import { formatTime, KEY, type KeyRecord, parseKey, REVOKED, writeKey } from './key-document.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { digestPassword, isKeyShaped, makeKeyName, makePassword } from './secret.ts';
import { type Store } from '../couch/store.ts';

export interface KeyWritesOptions {
  readonly couch: Couch;
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'publish'>;
  readonly now: () => number;
}

/** Passwords of one key that are good at once; the oldest gives way. */
const MOST_PASSWORDS = 4;
const MOST_TRIES = 5;

/** The part of the key store that writes. Every function returns when the news of its change has been acted on here. */
export class KeyWrites {
  readonly #options: KeyWritesOptions;
  readonly #copies: KeyCopies;

  constructor(options: KeyWritesOptions, copies: KeyCopies) {
    this.#options = options;
    this.#copies = copies;
  }

  async create(order: KeyOrder): ReturnType<KeyStore['create']> {
    const { store, now } = this.#options;
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const name = makeKeyName();
      if (await this.#isUser(name)) continue;
      const password = makePassword();
      const record: KeyRecord = {
        name,
        rev: '',
        digests: [digestPassword(password)],
        until: order.expiresAt === null ? Infinity : Date.parse(order.expiresAt),
        label: order.label,
        createdBy: order.by,
        createdAt: new Date(now()).toISOString(),
      };
      const written = await store.write(writeKey(record));
      if (written.outcome === 'conflict') continue;
      if (!written.quorum) {
        await store.write({ _id: KEY + name, _rev: written.rev, _deleted: true }).catch(() => undefined);
        throw tooFewNodes();
      }
      this.#copies.wrote({ ...record, rev: written.rev });
      await this.#tell(name);
      return { key: name, password };
    }
    throw new Unavailable('No unused name was found for the key.');
  }

  async change(name: string, fields: Parameters<KeyStore['change']>[1]): Promise<KeyRecord | undefined> {
    const { label, expiresAt } = fields;
    const changed = await this.#update(name, (record) => ({
      ...record,
      ...(label === undefined ? {} : { label }),
      ...(expiresAt === undefined ? {} : { until: expiresAt === null ? Infinity : Date.parse(expiresAt) }),
    }));
    if (changed === undefined) return undefined;
    await this.#tell(name);
    return changed.after;
  }

  /** True when the key is revoked, now or before: a caller whose answer was lost may ask again. */
  async revoke(name: string, by: string): Promise<boolean> {
    const { store, now } = this.#options;
    if (!isKeyShaped(name) || (await store.read(KEY + name)) === undefined) return false;
    // A conflict is somebody else's revocation, which serves as well; and what fewer nodes have than should, these nodes pass on.
    await store.write({ _id: REVOKED + name, revoked_by: by, revoked_at: new Date(now()).toISOString() });
    this.#copies.wroteRevocation(name);
    await this.#tell(name);
    // The revocation stands without it: this only keeps no digest for longer than it serves.
    await this.#update(name, (record) => ({ ...record, digests: [] }), { revokedToo: true }).catch(
      () => undefined,
    );
    return true;
  }

  async rotate(name: string, overlapSeconds: number): ReturnType<KeyStore['rotate']> {
    const now = this.#options.now();
    const password = makePassword();
    const fresh = digestPassword(password);
    const oldUntil = now + overlapSeconds * 1000;
    const changed = await this.#update(name, (record) => {
      const old = record.digests.map((digest) => ({ ...digest, until: Math.min(digest.until, oldUntil) }));
      return {
        ...record,
        digests: [fresh, ...old.filter(({ until }) => until > now)].slice(0, MOST_PASSWORDS),
      };
    });
    if (changed === undefined) return undefined;
    if (!changed.quorum) {
      // A password that may yet be lost is not handed out, so the old one must not end either.
      await this.#update(name, (record) => ({ ...record, digests: changed.before.digests })).catch(
        () => undefined,
      );
      throw tooFewNodes();
    }
    await this.#tell(name);
    return { password, oldValidUntil: formatTime(oldUntil) ?? '' };
  }

  async #update(
    name: string,
    edit: (record: KeyRecord) => KeyRecord,
    { revokedToo = false } = {},
  ): Promise<{ before: KeyRecord; after: KeyRecord; quorum: boolean } | undefined> {
    const { store } = this.#options;
    if (!isKeyShaped(name)) return undefined;
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const [document, revocation] = await Promise.all([store.read(KEY + name), store.read(REVOKED + name)]);
      if (document === undefined || (revocation !== undefined && !revokedToo)) return undefined;
      const before = parseKey(document);
      const edited = edit(before);
      const written = await store.write(writeKey(edited));
      if (written.outcome === 'conflict') continue;
      const after = { ...edited, rev: written.rev };
      this.#copies.wrote(after);
      return { before, after, quorum: written.quorum };
    }
    throw new Unavailable('The key is being changed by others at present.');
  }

  /** Our own copy is the newest there is, so the news makes only the others' stale. */
  async #tell(name: string): Promise<void> {
    const told = this.#options.bus.publish({ kind: 'key', name });
    this.#copies.markFresh(name);
    await told;
  }

  /** A key must not take over what `_users` has given to a name (H13). */
  async #isUser(name: string): Promise<boolean> {
    const { status } = await this.#options.couch.ask({
      method: 'HEAD',
      path: `/_users/${encodeURIComponent(`org.couchdb.user:${name}`)}`,
    });
    if (status === 200) return true;
    if (status === 404) return false;
    throw new Unavailable('The users cannot be read at present.', { detail: `_users answered ${status}` });
  }
}

function tooFewNodes(): Unavailable {
  return new Unavailable('Too few CouchDB nodes could store the change; nothing was changed.');
}
