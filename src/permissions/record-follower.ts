// Follows the records in the feed of the store: fills the index, and finishes what dead writers left.
import { setTimeout as delay } from 'node:timers/promises';
import { type ChangeRow } from '../couch/couch.ts';
import { describeError, OutageReport, type WriteLog } from '../couch/outage.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';
import { type RunningInvalidationBus } from '../invalidation/store-bus.ts';
import { RECORD } from './record-document.ts';
import { leafIn } from './record-leaves.ts';
import { patienceMs } from './record-protocol.ts';
import { type PermissionStore } from './permission-store.ts';

export interface RecordFollowerOptions {
  readonly store: Store;
  readonly bus: Pick<RunningInvalidationBus, 'deliver'>;
  readonly permissions: PermissionStore;
  readonly report: WriteLog;
  /** Called once all records were read for the first time. */
  readonly onLoaded: () => void;
}

export class RecordFollower {
  readonly #options: RecordFollowerOptions;
  /** Databases whose record is not at rest, with the timer that finishes it. */
  readonly #unfinished = new Map<string, NodeJS.Timeout>();
  readonly #outage: OutageReport;
  readonly #stop = new AbortController();
  #isLoading = false;
  #conflicts = 0;
  #healed = 0;

  constructor(options: RecordFollowerOptions) {
    this.#options = options;
    this.#outage = new OutageReport('permission records cannot be read from the store yet', options.report);
    options.store.onRow((row) => this.#readRow(row));
    options.store.onState((up) => {
      if (up) void this.#load();
    });
  }

  close(): void {
    this.#stop.abort();
    for (const timer of this.#unfinished.values()) clearTimeout(timer);
    this.#unfinished.clear();
  }

  /** Times that a record had several leaves. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** Changes of other writers that this process finished. */
  get healed(): number {
    return this.#healed;
  }

  /** Number of records that are not at rest. */
  get unfinished(): number {
    return this.#unfinished.size;
  }

  /** Reads all records; rows of the feed that arrive meanwhile win. */
  async #load(): Promise<void> {
    const { store, permissions, onLoaded } = this.#options;
    if (this.#isLoading || permissions.index.isLoaded) return;
    this.#isLoading = true;
    while (store.up && !this.#stop.signal.aborted) {
      try {
        await store.each(RECORD, (document) => this.#take(document));
        permissions.index.markRead();
        onLoaded();
        this.#outage.succeeded();
        break;
      } catch (error) {
        this.#outage.failed(error);
        await delay(500, undefined, { ref: false });
      }
    }
    this.#isLoading = false;
  }

  #readRow({ id, deleted, doc }: ChangeRow): void {
    if (!id.startsWith(RECORD)) return;
    const { bus, permissions } = this.#options;
    const database = id.slice(RECORD.length);
    if (deleted || doc === undefined) {
      permissions.index.remove(database);
      this.#watch(database);
      bus.deliver({ kind: 'permissions', database });
      return;
    }
    const document = doc as StoredDocument;
    const hasConflicts = this.#take(document);
    if (hasConflicts || !permissions.isOwn(database, document._rev ?? ''))
      bus.deliver({ kind: 'permissions', database });
  }

  /** Returns true if the record has several leaves. */
  #take(document: StoredDocument): boolean {
    const { index } = this.#options.permissions;
    const database = document._id.slice(RECORD.length);
    const hasConflicts = Array.isArray(document['_conflicts']) && document['_conflicts'].length > 0;
    index.take(database, leafIn(document), hasConflicts);
    if (hasConflicts) this.#conflicts += 1;
    if (index.recordOf(database)?.isAtRest === false) this.#watch(database);
    return hasConflicts;
  }

  /** Looks at the record again after the time in which its writer would have finished. */
  #watch(database: string): void {
    if (this.#unfinished.has(database) || this.#stop.signal.aborted) return;
    const before = this.#options.permissions.index.recordOf(database)?.rev;
    const timer = setTimeout(() => void this.#lookAgain(database, before), patienceMs()).unref();
    this.#unfinished.set(database, timer);
  }

  async #lookAgain(database: string, before: string | undefined): Promise<void> {
    this.#unfinished.delete(database);
    const record = this.#options.permissions.index.recordOf(database);
    if (record?.isAtRest === true) return;
    if (record?.rev === before) await this.#heal(database);
    if (this.#options.permissions.index.recordOf(database)?.isAtRest === false) this.#watch(database);
  }

  async #heal(database: string): Promise<void> {
    const { permissions, report } = this.#options;
    try {
      // After a change of this process, which may still be under way.
      const finished = await permissions.runExclusive(database, () =>
        permissions.records.finisher.heal(database),
      );
      if (finished === undefined) return;
      this.#healed += 1;
      const { revision, by, via } = finished.state;
      report('a change of permissions was finished for a writer that did not', {
        database,
        revision,
        by,
        via,
      });
      await permissions.announce(database, finished);
    } catch (error) {
      report('a change of permissions cannot be finished yet', { database, detail: describeError(error) });
    }
  }
}
