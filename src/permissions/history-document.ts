// The documents of the permission history: one for each acknowledged change.
import { writeJson } from '../json/exact-numbers.ts';
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { type AcknowledgedChange, type ChangeVia } from './change.ts';
import { changedGrants } from './grants.ts';
import { type Role, rolesOf } from './role.ts';
import { shownForm } from './security-document.ts';

/** The roles of one name before and after a change; an empty list = none. */
export interface NameChange {
  readonly name: string;
  readonly before: readonly Role[];
  readonly after: readonly Role[];
}

/** One change, as it is stored. */
export interface HistoryEntry {
  readonly database: string;
  readonly generation: string;
  readonly revision: number;
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
  readonly via: ChangeVia;
  readonly reason?: string;
  readonly request_id?: string;
  readonly changes: readonly NameChange[];
  readonly couchdb_auth_only?: { readonly before: boolean; readonly after: boolean };
  /** The object after the change as clients see it; left out of most entries of a large object. */
  readonly document?: JsonObject;
  /** In place of `document`: the object without `cloudant`. */
  readonly rest?: JsonObject;
}

/** What the id of an entry says. Ids are sorted by database and revision. */
export interface EntryId {
  readonly database: string;
  readonly generation: string;
  readonly revision: number;
  /** Seconds since the epoch. */
  readonly at: number;
  /** True if the entry has `document`. */
  readonly isWhole: boolean;
}

/** Objects up to this size are stored with every change: 200 of them are 6 MB at most. */
const MAX_WHOLE_BYTES = 32_768;
/** Of a larger object, every change whose revision is a multiple of this is stored whole. */
export const WHOLE_EVERY = 20;
const DIGITS = 12;
const PREFIX = 'permissions:';

/** Makes the entry of a change. `isFirst` = the process has not stored an entry of this database before. */
export function entryOf(change: AcknowledgedChange, isFirst: boolean): HistoryEntry {
  const { database, generation, revision, at, by, via, reason, requestId, before, after } = change;
  const changes = changedGrants(before, after).map((grant) => ({
    name: grant.name,
    before: rolesOf(grant.before),
    after: rolesOf(grant.after),
  }));
  const shown = without(shownForm(change.document), '_id');
  const isWhole = isFirst || revision % WHOLE_EVERY === 0 || writeJson(shown).length <= MAX_WHOLE_BYTES;
  return {
    database,
    generation,
    revision,
    at,
    by,
    via,
    ...(reason === undefined ? {} : { reason }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    changes,
    ...(before.couchdbAuthOnly === after.couchdbAuthOnly
      ? {}
      : { couchdb_auth_only: { before: before.couchdbAuthOnly, after: after.couchdbAuthOnly } }),
    ...(isWhole ? { document: shown } : { rest: without(shown, 'cloudant') }),
  };
}

/** The id of an entry. A database name has no colon; neither has the encoded generation. */
export function idOf({ database, revision, generation, at, document }: HistoryEntry): string {
  const seconds = Math.floor(Date.parse(at) / 1000);
  const kind = document === undefined ? 'part' : 'whole';
  return `${revisionKey(database, revision)}:${encodeURIComponent(generation)}:${seconds}:${kind}`;
}

/** Start of the ids of one revision, and of all later ones in the order of ids. */
export function revisionKey(database: string, revision: number): string {
  return `${databaseKey(database)}${String(revision).padStart(DIGITS, '0')}`;
}

/** Start of the ids of all entries of a database; of all databases without one. */
export function databaseKey(database?: string): string {
  return database === undefined ? PREFIX : `${PREFIX}${database}:`;
}

/** Parses an id; `undefined` for a document that is no entry. */
export function parseId(id: string): EntryId | undefined {
  if (!id.startsWith(PREFIX)) return undefined;
  const [database, revision, generation, at, kind] = id.slice(PREFIX.length).split(':');
  if (database === undefined || generation === undefined || kind === undefined) return undefined;
  return {
    database,
    generation: decoded(generation),
    revision: Number(revision),
    at: Number(at),
    isWhole: kind === 'whole',
  };
}

/** A generation that is not encoded is that of no entry. */
function decoded(generation: string): string {
  try {
    return decodeURIComponent(generation);
  } catch {
    return generation;
  }
}

/** Reads a stored entry; `undefined` for anything that Couchgate did not write. */
export function parseEntry(document: unknown): HistoryEntry | undefined {
  if (!isJsonObject(document)) return undefined;
  const entry = without(document, '_id', '_rev');
  const { database, generation, revision, changes } = entry;
  const isEntry =
    typeof database === 'string' &&
    typeof generation === 'string' &&
    Number.isSafeInteger(revision) &&
    Array.isArray(changes);
  return isEntry ? (entry as unknown as HistoryEntry) : undefined;
}

/** An entry and the object after it. */
export interface WholeEntry {
  readonly entry: HistoryEntry;
  readonly document: JsonObject;
}

/**
 * The entry with the object after it, made of the entry before. `undefined` if it is not whole and does not
 * follow that one.
 */
export function wholeAfter(before: WholeEntry | undefined, entry: HistoryEntry): WholeEntry | undefined {
  if (entry.document !== undefined) return { entry, document: entry.document };
  const isNext =
    entry.revision === (before?.entry.revision ?? NaN) + 1 && entry.generation === before?.entry.generation;
  return isNext ? { entry, document: applied(before.document, entry) } : undefined;
}

function applied(document: JsonObject, { changes, rest }: HistoryEntry): JsonObject {
  const cloudant = new Map(
    Object.entries((document['cloudant'] as object | undefined) ?? {}) as [string, unknown][],
  );
  for (const { name, after } of changes) {
    if (after.length === 0) cloudant.delete(name);
    else cloudant.set(name, after);
  }
  return { ...rest, cloudant: Object.fromEntries(cloudant) };
}

/**
 * How many of the ids of one database, the oldest first, are to be deleted: those that are too old or too
 * many. An entry that a later one needs, because that one is not whole, stays.
 */
export function countOutdated(
  ids: readonly EntryId[],
  { keep, olderThan }: { readonly keep: number; readonly olderThan: number },
): number {
  let count = ids.findIndex(({ at }) => at >= olderThan);
  if (count === -1) count = ids.length;
  count = Math.max(count, ids.length - keep);
  while (count > 0 && ids[count]?.isWhole === false) count -= 1;
  return count;
}

function without(object: JsonObject, ...fields: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field)));
}
