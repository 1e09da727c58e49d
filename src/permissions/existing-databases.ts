// Knows which databases CouchDB has, for lists. A record can outlive its database: somebody may delete the
// database past Couchgate.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';

export interface ExistingDatabases {
  /** The given names whose database exists, in their order. Throws `Unavailable`. */
  filter(names: readonly string[]): Promise<readonly string[]>;
  /**
   * The names that begin with the prefix, in no order. It may include databases that were deleted within the
   * last seconds. Throws `Unavailable`.
   */
  withPrefix(prefix: string): Promise<readonly string[]>;
}

export interface ExistingDatabasesOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: Pick<InvalidationBus, 'onMessage'>;
  readonly now?: () => number;
}

/** Time after which the names are read again. A list may contain a deleted database for that long. */
const MAX_AGE_MS = 2000;

/**
 * Creates the memory. One read of all names serves every caller: with 10 000 databases, CouchDB needs some
 * 30 ms for it. A database that was created or changed since the read counts as existing.
 */
export function createExistingDatabases({
  couch,
  bus,
  now = Date.now,
}: ExistingDatabasesOptions): ExistingDatabases {
  let known: ReadonlySet<string> = new Set();
  /** In the order of `withPrefix`: by UTF-16 code units, as names are ASCII. */
  let sorted: readonly string[] | undefined;
  let readAt = -Infinity;
  let reading: Promise<void> | undefined;
  /** Databases that changed since the last read began, and since the one before: nodes learn late. */
  let changed = new Set<string>();
  let changedBefore = new Set<string>();
  bus.onMessage((item) => {
    if (item.kind === 'permissions') changed.add(item.database);
  });

  async function read(): Promise<void> {
    const startedAt = now();
    changedBefore = changed;
    changed = new Set();
    const { status, body } = await couch.ask({ method: 'GET', path: '/_all_dbs' });
    if (status !== 200 || !Array.isArray(body))
      throw new Unavailable('The databases cannot be listed at present.', {
        detail: `_all_dbs answered ${status}`,
      });
    known = new Set(body as readonly string[]);
    sorted = undefined;
    readAt = startedAt;
  }

  async function refresh(): Promise<void> {
    if (now() - readAt < MAX_AGE_MS) return;
    reading ??= read().finally(() => (reading = undefined));
    await reading;
  }

  return {
    async withPrefix(prefix) {
      await refresh();
      sorted ??= [...known].sort();
      const found = new Set([...changed, ...changedBefore].filter((name) => name.startsWith(prefix)));
      for (let at = firstFrom(sorted, prefix); sorted[at]?.startsWith(prefix) === true; at += 1)
        found.add(sorted[at] ?? '');
      return [...found];
    },
    async filter(names) {
      if (names.length === 0) return names;
      await refresh();
      return names.filter((name) => known.has(name) || changed.has(name) || changedBefore.has(name));
    },
  };
}

/** Place of the first name that is not before `prefix`. */
function firstFrom(sorted: readonly string[], prefix: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}
