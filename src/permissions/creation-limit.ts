// Limits how many databases a prefix grant creates, also if several replicas create at the same time.
import { isJsonObject } from '../json/object.ts';
import { type Couch, isMissing } from '../couch/couch.ts';
import { documentPath } from '../couch/document-path.ts';
import { compareRevisions } from '../couch/revision.ts';
import { type Store, type StoredDocument } from '../couch/store.ts';
import { Unavailable } from '../http-errors.ts';
import { type PrefixGrant } from './prefix-grant.ts';
import { randomPause } from './random-pause.ts';

/** `full` = as many databases with the prefix exist, or are being created, as the grant permits. */
export type Reservation = 'reserved' | 'full';

export interface CreationLimitOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly store: Pick<Store, 'write' | 'writeAll'>;
  readonly storeDatabase: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Start of the ids in the store. Other replicas have it, so it must not change. */
const RESERVATIONS = 'prefix_creations:';
/**
 * A reservation counts for this long: longer than the request that creates the database can take, and than
 * every node needs to list it.
 */
const COUNTS_FOR_MS = 120_000;
const MAX_ATTEMPTS = 12;

interface Read {
  readonly winner: string | undefined;
  readonly others: readonly string[];
  /** Milliseconds since 1970 by database. */
  readonly reserved: ReadonlyMap<string, number>;
}

/**
 * Counts the databases with the prefix that exist together with those that were reserved in the last two
 * minutes, in one document per grant. A reservation counts only if a quorum of the cluster has it as the
 * child of what was read, so two replicas never take the same place. The bound holds if the clocks of the
 * replicas differ by less than a minute. Databases that others create meanwhile count as soon as they exist.
 */
export class CreationLimit {
  readonly #options: CreationLimitOptions;

  constructor(options: CreationLimitOptions) {
    this.#options = options;
  }

  /** Takes a place for a new database. Throws `Unavailable`. */
  async reserve({ id, prefix, maxDatabases }: PrefixGrant, database: string): Promise<Reservation> {
    const { store, now } = this.#options;
    const _id = RESERVATIONS + id;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      if (attempt > 0) await randomPause(attempt);
      const { winner, others, reserved } = await this.#read(_id);
      // Read after the reservations: what has been created since is in one of both.
      const existing = await this.#existing(prefix, maxDatabases);
      // CouchDB answers that it exists.
      if (existing.has(database)) return 'reserved';
      const counted = new Set([...existing, ...reserved.keys(), database]);
      if (counted.size > maxDatabases) return 'full';
      const databases = Object.fromEntries([...reserved, [database, now()]]);
      const document = { _id, ...(winner === undefined ? {} : { _rev: winner }), databases };
      const written = await store.write(document);
      // Without a quorum, another replica may have taken the same place.
      if (written.outcome === 'conflict' || !written.quorum) continue;
      if (others.length > 0) await store.writeAll(others.map((_rev) => ({ _id, _rev, _deleted: true })));
      return 'reserved';
    }
    throw new Unavailable('Other databases of this prefix grant are being created; try again.', {
      retryAfterSeconds: 1,
    });
  }

  /** All leaves count: one that no quorum has can only take a place for two minutes. */
  async #read(id: string): Promise<Read> {
    const { couch, storeDatabase, now } = this.#options;
    const path = `${documentPath(storeDatabase, id)}?open_revs=all`;
    const answer = await couch.ask({ method: 'GET', path });
    const { status, body } = answer;
    if (isMissing(answer)) return { winner: undefined, others: [], reserved: new Map() };
    if (status !== 200 || !Array.isArray(body)) throw away(status);
    const rows = body as readonly { readonly ok?: StoredDocument }[];
    const leaves = rows.flatMap(({ ok }) => (ok === undefined || ok['_deleted'] === true ? [] : [ok]));
    const oldest = now() - COUNTS_FOR_MS;
    const reserved = new Map<string, number>();
    for (const { databases } of leaves) {
      if (!isJsonObject(databases)) continue;
      for (const [name, at] of Object.entries(databases))
        if (typeof at === 'number' && at > oldest) reserved.set(name, Math.max(at, reserved.get(name) ?? 0));
    }
    const [winner, ...others] = leaves.map(({ _rev = '' }) => _rev).sort((a, b) => compareRevisions(b, a));
    return { winner, others, reserved };
  }

  /** At most `max` + 1 names with the prefix. */
  async #existing(prefix: string, max: number): Promise<ReadonlySet<string>> {
    const range = new URLSearchParams({
      startkey: JSON.stringify(prefix),
      endkey: JSON.stringify(`${prefix}\ufff0`),
      limit: String(max + 1),
    });
    const request = { method: 'GET', path: `/_all_dbs?${range.toString()}` } as const;
    const { status, body } = await this.#options.couch.ask(request);
    if (status !== 200 || !Array.isArray(body)) throw away(status);
    return new Set((body as readonly string[]).filter((name) => name.startsWith(prefix)));
  }
}

function away(status: number): Unavailable {
  return new Unavailable('The databases of the prefix grant cannot be counted at present.', {
    detail: `CouchDB answered ${status}`,
  });
}
