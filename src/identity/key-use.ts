// Notes when keys were last used, to the hour, and writes it down now and then, off the way of requests. What is lost when the process dies
// is at most the notes of the last minute.
import { HOUR_MS, USED } from './key-document.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';

export interface KeyUseOptions {
  readonly store: Store;
  /** What the store holds of a key's last use. */
  readonly lastUse: (name: string) => { readonly hour: number; readonly rev: string } | undefined;
  readonly now: () => number;
  readonly writeEveryMs?: number;
}

const BATCH = 500;

export class KeyUse {
  readonly #options: KeyUseOptions;
  /** The hour for which a key has been noted; a request costs one look at it. */
  readonly #noted = new Map<string, number>();
  readonly #unwritten = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: KeyUseOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.write(), options.writeEveryMs ?? 60_000).unref();
  }

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
        // Another replica or an earlier life of this one has written it.
        if (held !== undefined && held.hour >= hour) return [];
        const last_used = new Date(hour * HOUR_MS).toISOString();
        return [{ _id: USED + name, ...(held === undefined ? {} : { _rev: held.rev }), last_used }];
      });
      try {
        if (batch.length > 0) await store.writeAll(batch);
      } catch {
        // CouchDB is away: the next round tries again.
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
