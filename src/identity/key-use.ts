// Records the hour in which each API key was last used, and writes it to the store once a minute. If the
// process dies, the records of the last minute are lost.
import { HOUR_MS, USED, usedHourIn } from './key-document.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface KeyUseOptions {
  readonly store: Store;
  readonly writeEveryMs?: number;
}

const BATCH = 500;
/** Uses in memory. While CouchDB is unreachable, the uses of further keys are lost. */
const MAX_UNWRITTEN = 200_000;

/** Collects last uses and writes them in batches. */
export class KeyUse {
  readonly #store: Store;
  /** Hours since 1970. */
  readonly #unwritten = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor({ store, writeEveryMs = 60_000 }: KeyUseOptions) {
    this.#store = store;
    this.#timer = setInterval(() => void this.write(), writeEveryMs).unref();
  }

  /** Records a use of the key in this hour (since 1970). */
  note(name: string, hour: number): void {
    if (this.#unwritten.size < MAX_UNWRITTEN || this.#unwritten.has(name)) this.#unwritten.set(name, hour);
  }

  async write(): Promise<void> {
    const uses = [...this.#unwritten];
    this.#unwritten.clear();
    for (let from = 0; from < uses.length; from += BATCH) {
      try {
        await this.#writeBatch(uses.slice(from, from + BATCH));
      } catch {
        // CouchDB is unreachable; the next interval retries.
        for (const [name, hour] of uses.slice(from)) {
          if (!this.#unwritten.has(name)) this.note(name, hour);
        }
        return;
      }
    }
  }

  async #writeBatch(uses: readonly (readonly [name: string, hour: number])[]): Promise<void> {
    const stored = await this.#store.readMany(uses.map(([name]) => USED + name));
    const documents = uses.flatMap(([name, hour]): StoredDocument[] => {
      const held = stored.get(USED + name);
      // Another worker or replica, or this one before a restart, has already written it.
      if ((usedHourIn(held) ?? -1) >= hour) return [];
      const last_used = new Date(hour * HOUR_MS).toISOString();
      return [{ _id: USED + name, ...(held === undefined ? {} : { _rev: held._rev ?? '' }), last_used }];
    });
    if (documents.length > 0) await this.#store.writeAll(documents);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.write();
  }
}
