// Keeps records and security objects alike: makes missing records, and repairs drift, in the background.
import { setTimeout as delay } from 'node:timers/promises';
import { type Couch } from '../couch/couch.ts';
import { describeError, type WriteLog } from '../couch/outage.ts';
import { allDatabases } from './all-databases.ts';
import { checkDatabase, type Drift, DRIFTS, REPAIRED_ALONE, repairDatabase } from './record-check.ts';
import { type Seen } from './seen.ts';
import { type PermissionStore } from './permission-store.ts';

export interface RecordMaintenanceOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly permissions: PermissionStore;
  /** False for the store, and for databases where grants have no effect. */
  readonly isKept: (database: string) => boolean;
  readonly nodeUrls: readonly string[];
  readonly report: WriteLog;
  /** Time before the first sweep, and before a database is checked that a read found to differ. */
  readonly delayMs?: number;
  readonly sweepMs?: number;
}

/** Long enough for every shard copy to have a change. */
const DELAY_MS = 5000;
const SWEEP_MS = 3_600_000;
/** Pause between two databases of a sweep, so that it does not slow requests down. */
const PAUSE_MS = 20;
const MAX_WAITING = 1000;

export class RecordMaintenance {
  readonly #options: RecordMaintenanceOptions;
  readonly #stop = new AbortController();
  /** Databases that a read found to differ. */
  readonly #waiting = new Set<string>();
  readonly #drift = new Map<string, Drift>();
  readonly #repaired = new Map<Drift, number>();
  #isRunning = false;

  constructor(options: RecordMaintenanceOptions) {
    this.#options = options;
    options.permissions.onRead((seen) => this.#consider(seen));
  }

  /** Starts the sweeps; call it once the index is loaded. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  close(): void {
    this.#stop.abort();
  }

  /** Number of databases by what differs and was not repaired. */
  get drift(): ReadonlyMap<Drift, number> {
    const counts = new Map<Drift, number>(DRIFTS.map((drift) => [drift, 0]));
    for (const drift of this.#drift.values()) counts.set(drift, (counts.get(drift) ?? 0) + 1);
    return counts;
  }

  /** Number of repairs by what differed. */
  get repaired(): ReadonlyMap<Drift, number> {
    return this.#repaired;
  }

  /** Checks one database, and repairs what nobody has chosen. */
  async inspect(database: string): Promise<void> {
    const { couch, nodeUrls, permissions, report } = this.#options;
    const deps = { couch, nodeUrls, records: permissions.records };
    try {
      const finding = await checkDatabase(deps, database);
      if (finding === undefined) {
        this.#drift.delete(database);
        return;
      }
      if (!REPAIRED_ALONE.has(finding.drift)) {
        if (this.#drift.get(database) !== finding.drift)
          report('permissions in CouchDB differ from their record', { ...finding });
        this.#drift.set(database, finding.drift);
        return;
      }
      const finished = await permissions.runExclusive(database, () => repairDatabase(deps, finding));
      this.#drift.delete(database);
      this.#repaired.set(finding.drift, (this.#repaired.get(finding.drift) ?? 0) + 1);
      // Every database gets its record once; that is no event.
      if (finding.drift !== 'no record') report('permissions were repaired', { ...finding });
      if (finished !== undefined) await permissions.announce(database, finished);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      report('permissions could not be checked', { database, detail: describeError(error) });
    }
  }

  /** Checks the databases without a record, or all of them. Rejects with `Unavailable`. */
  async sweep(which: 'no record' | 'all'): Promise<void> {
    const { couch, permissions, isKept } = this.#options;
    for await (const database of allDatabases(couch, isKept)) {
      if (this.#stop.signal.aborted) return;
      if (which === 'no record' && (permissions.index.recordOf(database)?.start ?? null) !== null) continue;
      await this.inspect(database);
      await this.#pause(PAUSE_MS);
    }
  }

  async #run(): Promise<void> {
    const { delayMs = DELAY_MS, sweepMs = SWEEP_MS } = this.#options;
    // Random, so that several replicas do not check the same database at the same time.
    await this.#pause(delayMs * (1 + Math.random()));
    let sweptAt = performance.now() - Math.random() * sweepMs * 0.5;
    await this.sweep('no record').catch((error: unknown) => this.#reportSweep(error));
    while (!this.#stop.signal.aborted) {
      await this.#pause(delayMs);
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const database of waiting) await this.inspect(database);
      if (performance.now() - sweptAt < sweepMs) continue;
      sweptAt = performance.now();
      await this.sweep('all').catch((error: unknown) => this.#reportSweep(error));
    }
  }

  /** The databases could not be listed; the next sweep follows in an hour. */
  #reportSweep(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#options.report('the check of all permissions ended early', { detail: describeError(error) });
  }

  /** A read for a decision saw that record and object differ. */
  #consider({ database, agreement, record, object }: Seen): void {
    const isFine = agreement === 'same' || agreement === 'unmirrored' || agreement === 'gone';
    const isForeign = record === undefined && object['couchgate'] === undefined;
    if (isFine || isForeign || this.#waiting.size >= MAX_WAITING) return;
    this.#waiting.add(database);
  }

  async #pause(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined);
  }
}
