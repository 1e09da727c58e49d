// Keeps the grants that the owner writes as documents of their own (prefix grants, server grants) in memory,
// and changes them. A revocation is a live document, so that no concurrent write can undo it.
import { type ChangeRow } from '../couch/couch.ts';
import { OutageReport, type WriteLog } from '../couch/outage.ts';
import { compareRevisions, losersIn } from '../couch/revision.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';
import { HttpError, TOO_FEW_CONFIRMED, UnknownOutcome } from '../http-errors.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { KeyedMutex } from '../limits/keyed-mutex.ts';
import { type Standing } from './change.ts';
import { randomPause } from './random-pause.ts';

export interface GrantDocumentsOptions {
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'onMessage' | 'publish' | 'deliver'>;
  /** Start of the ids in the store. Other replicas have it, so it must not change. */
  readonly prefix: string;
  readonly fallbackCacheSeconds: number;
  readonly outageCacheSeconds: number;
  /** Called after the memory has changed. */
  readonly onChange: () => void;
  /** Logs a warning: a constant message, and fields for what varies. */
  readonly report: WriteLog;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** A change that a quorum of the cluster has. */
export interface GrantDocumentChange {
  /** `undefined` = there was no such grant. */
  readonly before: StoredDocument | undefined;
  readonly after: StoredDocument;
}

/**
 * The state that a change needs: the revision of the document, or null = there is no such grant.
 * `undefined` = any state.
 */
export type GrantCondition = string | null | undefined;

export interface GrantChangeOptions {
  readonly condition?: GrantCondition;
  /** Of the request that changes. */
  readonly standing?: Standing | undefined;
}

interface Held {
  readonly document: StoredDocument;
  /** Concurrent writes left several leaves. None of them is in force until the owner writes again. */
  readonly hasConflicts: boolean;
}

/** All documents are read again after this time: a change that the feed has missed lasts no longer. */
const SWEEP_MS = 30_000;
const MIN_POLL_MS = 250;
const MAX_ATTEMPTS = 8;
const MOVED = 'The grant is not in the state that the request names.';

/**
 * CouchDB's clusters have no compare-and-swap: two writers of one document can leave two leaves, and CouchDB
 * chooses one of them. So a document with several leaves grants nothing, and only an answer 201 confirms a
 * change (docs/decisions/2026-11-28-permission-record.md).
 */
export class GrantDocuments {
  readonly #options: GrantDocumentsOptions;
  readonly #held = new Map<string, Held>();
  readonly #changes = new KeyedMutex();
  readonly #outage: OutageReport;
  #readAt = -Infinity;
  #isLoaded = false;
  #isReading = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: GrantDocumentsOptions) {
    this.#options = options;
    this.#outage = new OutageReport('grants cannot be read from the store yet', options.report);
    options.store.onRow((row) => this.#takeRow(row));
    options.store.onState((up) => {
      // The feed was up until now, so the memory is as current as a read of this moment.
      if (!up && this.#isLoaded) this.#readAt = options.now();
      this.#schedule(0);
    });
    options.bus.onMessage((item) => {
      if (item.kind === 'grant' && item.document._id.startsWith(options.prefix))
        this.#take(item.document, false);
    });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /**
   * False until the documents were read, and while they cannot be read. Then nobody knows what is granted.
   */
  get isKnown(): boolean {
    const { store, now, fallbackCacheSeconds, outageCacheSeconds } = this.#options;
    if (!this.#isLoaded) return false;
    if (store.up) return true;
    return now() - this.#readAt < (fallbackCacheSeconds + outageCacheSeconds) * 1000;
  }

  /** The documents that are in force, by id without the prefix. */
  *entries(): Generator<readonly [id: string, document: StoredDocument]> {
    const { length } = this.#options.prefix;
    for (const [id, { document, hasConflicts }] of this.#held)
      if (!hasConflicts && !isRevoked(document)) yield [id.slice(length), document];
  }

  /** Number of documents with several leaves. */
  get conflicts(): number {
    let count = 0;
    for (const { hasConflicts } of this.#held.values()) if (hasConflicts) count += 1;
    return count;
  }

  /**
   * Writes a grant. Resolves when a quorum of the cluster has it and all workers of this replica apply it.
   * Throws `Unavailable`; the change may or may not stand then. Throws 412 if the grant is in another state
   * than `condition` says, and what `standing` throws; nothing is changed then.
   */
  put(
    id: string,
    fields: Readonly<Record<string, unknown>>,
    options: GrantChangeOptions = {},
  ): Promise<GrantDocumentChange> {
    return this.#change(id, () => fields, options) as Promise<GrantDocumentChange>;
  }

  /** Revokes a grant, as `put` writes one. `undefined` = there is none. */
  revoke(
    id: string,
    fields: { readonly by: string; readonly at: string },
    options: GrantChangeOptions = {},
  ): Promise<GrantDocumentChange | undefined> {
    const next = (before: StoredDocument | undefined) =>
      before === undefined ? undefined : { revoked: true, ...fields };
    return this.#change(id, next, options);
  }

  #change(
    id: string,
    next: (before: StoredDocument | undefined) => Readonly<Record<string, unknown>> | undefined,
    { condition, standing }: GrantChangeOptions,
  ): Promise<GrantDocumentChange | undefined> {
    const { store, bus, prefix } = this.#options;
    const _id = prefix + id;
    return this.#changes.run(_id, async () => {
      let before: StoredDocument | undefined;
      let isUnconfirmed = false;
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
        if (attempt > 0) await randomPause(attempt);
        // Other changes ran first: the session or the account may be gone (H19). An own write that was not
        // confirmed is repeated all the same: it may stand.
        if (!isUnconfirmed) await standing?.requireStillAuthenticated();
        const read = await store.read(_id, { conflicts: true });
        const isGrant = read !== undefined && (!isRevoked(read) || losersIn(read).length > 0);
        if (condition !== undefined && condition !== (isGrant ? read._rev : null)) {
          // What is there now may be the own write that was not confirmed.
          if (isUnconfirmed) break;
          throw new HttpError(412, 'precondition_failed', MOVED);
        }
        if (attempt === 0 && isGrant) before = read;
        // An own write that was not confirmed is repeated, whatever is there now.
        const fields = next(attempt === 0 ? before : (before ?? read));
        if (fields === undefined) return undefined;
        if (!isUnconfirmed) standing?.refuseEnded();
        const rev = read?._rev;
        const document = { _id, ...(rev === undefined ? {} : { _rev: rev }), ...fields };
        const written = await store.write(document);
        if (written.outcome === 'conflict') continue;
        isUnconfirmed ||= !written.quorum;
        if (!written.quorum) continue;
        const losers = losersIn(read);
        if (losers.length > 0)
          await store.writeAll(losers.map((loser) => ({ _id, _rev: loser, _deleted: true })));
        const after = { ...document, _rev: written.rev };
        if (losers.length > 0) this.#held.delete(_id);
        await bus.publish({ kind: 'grant', document: after });
        return { before, after };
      }
      throw new UnknownOutcome(TOO_FEW_CONFIRMED);
    });
  }

  #takeRow({ id, deleted, doc }: ChangeRow): void {
    const { prefix, bus } = this.#options;
    if (!id.startsWith(prefix)) return;
    // Nothing of Couchgate deletes these documents.
    if (deleted || doc === undefined) {
      if (this.#held.delete(id)) bus.deliver({ kind: 'grant', document: { _id: id, revoked: true } });
      this.#options.onChange();
      return;
    }
    if (this.#take(doc as StoredDocument, true))
      bus.deliver({ kind: 'grant', document: doc as StoredDocument });
  }

  /** Returns true if it changed what is in force. `seesConflicts`: the document was read with its leaves. */
  #take(document: StoredDocument, seesConflicts: boolean): boolean {
    const { _id: id, _rev: rev } = document;
    const held = this.#held.get(id);
    if (rev === undefined) return this.#held.delete(id);
    const hasConflicts = seesConflicts ? losersIn(document).length > 0 : (held?.hasConflicts ?? false);
    if (held !== undefined) {
      const age = compareRevisions(rev, held.document._rev ?? '');
      if (age < 0 || (age === 0 && hasConflicts === held.hasConflicts)) return false;
    }
    if (hasConflicts && held?.hasConflicts !== true)
      this.#options.report('concurrent changes of a grant: it is not in force until it is written again', {
        grant: id,
      });
    this.#held.set(id, { document, hasConflicts });
    this.#options.onChange();
    return true;
  }

  /** Reads all documents; rows of the feed that arrive meanwhile win. */
  async #read(): Promise<void> {
    const { store, bus, prefix, now, fallbackCacheSeconds } = this.#options;
    if (this.#isReading) return;
    this.#isReading = true;
    let pauseMs = SWEEP_MS;
    try {
      const startedAt = now();
      const heldBefore = new Set(this.#held.keys());
      const changed: StoredDocument[] = [];
      await store.each(prefix, (document) => {
        heldBefore.delete(document._id);
        if (this.#take(document, true)) changed.push(document);
      });
      for (const id of heldBefore) {
        if ((await store.read(id)) !== undefined) continue;
        this.#held.delete(id);
        this.#options.onChange();
        changed.push({ _id: id, revoked: true });
      }
      const isFirst = !this.#isLoaded;
      this.#isLoaded = true;
      this.#readAt = startedAt;
      if (!isFirst) for (const document of changed) bus.deliver({ kind: 'grant', document });
      if (!store.up) pauseMs = Math.max(MIN_POLL_MS, (fallbackCacheSeconds * 1000) / 2);
      this.#outage.succeeded();
    } catch (error) {
      if (!this.#isClosed) this.#outage.failed(error, { grants: prefix });
      pauseMs = MIN_POLL_MS;
    } finally {
      this.#isReading = false;
      this.#schedule(pauseMs);
    }
  }

  #schedule(pauseMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#read(), pauseMs).unref();
  }
}

function isRevoked(document: StoredDocument): boolean {
  return document['revoked'] !== undefined;
}
