// Knows which names the security objects of databases without a permission record have. Such databases are
// older than Couchgate or were made past it, as those of couch_peruser. A cluster can have thousands.
import { mayHaveGrants } from '../catalogue/database-name.ts';
import { type Couch } from '../couch/couch.ts';
import { securityPath } from '../couch/document-path.ts';
import { Unavailable } from '../http-errors.ts';
import { type InvalidationBus } from '../invalidation/bus.ts';
import { type ExistingDatabases } from '../permissions/existing-databases.ts';
import { type PermissionIndex } from '../permissions/permission-index.ts';

export interface UnrecordedNames {
  /** True if one of the objects has the name, in any place. Throws `Unavailable` if one cannot be read. */
  has(name: string): Promise<boolean>;
}

export interface UnrecordedNamesOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly bus: Pick<InvalidationBus, 'onMessage'>;
  readonly index: Pick<PermissionIndex, 'grantsOf' | 'isDeleted'>;
  readonly existing: Pick<ExistingDatabases, 'withPrefix'>;
  /** Databases of Couchgate, which can have no grants. */
  readonly reservedDatabases: readonly string[];
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Read {
  readonly names: Promise<ReadonlySet<string>>;
  readonly readAt: number;
}

/**
 * Time after which an object is read again, for each database: 100 reads in a second at most. Up to 200
 * databases are read again after the two seconds that a sign-up waits: it sees what was written before it.
 */
const MAX_AGE_MS_EACH = 10;
/** With many databases, a change past Couchgate may go unseen for that long. */
const MAX_AGE_MS = 60_000;
/** Reads at once: a quarter of the connections to one node. */
const AT_ONCE = 16;
const NOTHING: ReadonlySet<string> = new Set();

/** Creates the memory. Only reads that are due are made, whatever the name. */
export function createUnrecordedNames(options: UnrecordedNamesOptions): UnrecordedNames {
  const { couch, bus, index, existing, reservedDatabases, now = Date.now } = options;
  const known = new Map<string, Read>();
  // A read that runs is forgotten as well: it may have the object as it was before.
  bus.onMessage((item) => {
    if (item.kind === 'permissions') known.delete(item.database);
  });

  const isUnrecorded = (database: string): boolean =>
    mayHaveGrants(database, reservedDatabases) &&
    (index.grantsOf(database) === undefined || index.isDeleted(database));

  function namesOf(database: string, maxAgeMs: number): Promise<ReadonlySet<string>> {
    const found = known.get(database);
    if (found !== undefined && now() - found.readAt < maxAgeMs) return found.names;
    const read: Read = { names: readNames(couch, database), readAt: now() };
    known.set(database, read);
    read.names.catch(() => {
      if (known.get(database) === read) known.delete(database);
    });
    return read.names;
  }

  return {
    async has(name) {
      const databases = (await existing.withPrefix('')).filter(isUnrecorded);
      const kept = new Set(databases);
      for (const database of known.keys()) if (!kept.has(database)) known.delete(database);
      const maxAgeMs = Math.min(MAX_AGE_MS, databases.length * MAX_AGE_MS_EACH);
      let isFound = false;
      const rest = databases.values();
      const readRest = async (): Promise<void> => {
        // Each of the loops takes its databases from the same iterator.
        for (const database of rest) if ((await namesOf(database, maxAgeMs)).has(name)) isFound = true;
      };
      // Waits for all: the next call must not share a read that has yet to fail.
      const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, readRest));
      for (const each of ended) if (each.status === 'rejected') throw each.reason;
      return isFound;
    },
  };
}

async function readNames(couch: Pick<Couch, 'ask'>, database: string): Promise<ReadonlySet<string>> {
  const { status, body } = await couch.ask({
    method: 'GET',
    path: securityPath(database),
  });
  if (status === 404) return NOTHING;
  if (status !== 200)
    throw new Unavailable('The permissions cannot be read at present; nobody can sign up.', {
      detail: `_security answered ${status}`,
    });
  return namesIn(body);
}

/** Every text of a security object: its names, and some that are none. */
function namesIn(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof value === 'string') found.add(value);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      found.add(key);
      namesIn(inner, found);
    }
  return found;
}
