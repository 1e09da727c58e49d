// Records the hour in which each API key was last used, and writes it to the store once a minute. If the
// process dies, the records of the last minute are lost.
import { HOUR_MS, USED } from './key-document.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface KeyUseOptions {
  readonly store: Store;
  /** Last use of a key according to the store. */
  readonly lastUse: (name: string) => { readonly hour: number; readonly rev: string } | undefined;
  readonly now: () => number;
  readonly writeEveryMs?: number;
}

const BATCH = 500;

/** Collects last uses and writes them in batches. */
export class KeyUse {
  readonly #options: KeyUseOptions;
  /** Hour in which a use of each key was recorded. A request costs one lookup. */
  readonly #noted = new Map<string, number>();
  readonly #unwritten = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: KeyUseOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.write(), options.writeEveryMs ?? 60_000).unref();
  }

  /** Records a use of the key now. */
  note(name: string): void {
    const hour = Math.floor(this.#options.now() / HOUR_MS);
    if (this.#noted.get(name) === hour) return;
    this.#noted.set(name, hour);
    this.#unwritten.set(name, hour);
  }

  async write(): Promise<void> {
    const { store, lastUse } = this.#options;
    const names = [...this.#unwritten];
    this.#unwritten.clear();
    for (let from = 0; from < names.length; from += BATCH) {
      const batch = names.slice(from, from + BATCH).flatMap(([name, hour]): StoredDocument[] => {
        const held = lastUse(name);
        // Another replica, or this one before a restart, has already written it.
        if (held !== undefined && held.hour >= hour) return [];
        const last_used = new Date(hour * HOUR_MS).toISOString();
        return [{ _id: USED + name, ...(held === undefined ? {} : { _rev: held.rev }), last_used }];
      });
      try {
        if (batch.length > 0) await store.writeAll(batch);
      } catch {
        // CouchDB is unreachable; the next interval retries.
        for (const [name, hour] of names.slice(from)) {
          if (!this.#unwritten.has(name)) this.#unwritten.set(name, hour);
        }
        return;
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.write();
  }
}
