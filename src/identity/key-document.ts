// Format of the documents of API keys: `key:<name>`, `revoked:<name>`, `used:<name>`.
// A key has three documents: credentials and description, revocation, and last use. The revocation is a
// document of its own that is written once and never changed. A conflicting write of `key:<name>` therefore
// cannot restore a revoked key.
import { type KeySummary } from './api-key.ts';
import { type Digest } from './secret.ts';
import { compareRevisions } from '../couch/revision.ts';
import { type StoredDocument } from '../couch/store.ts';

export const KEY = 'key:';
export const REVOKED = 'revoked:';
export const USED = 'used:';

/** One hour: the resolution of `last_used`. */
export const HOUR_MS = 3_600_000;

/** A parsed `key:` document. */
export interface KeyRecord {
  readonly name: string;
  readonly rev: string;
  readonly digests: readonly Digest[];
  /** Number of rotations: of racing states, the one with the newest password counts. */
  readonly rotations: number;
  /** Milliseconds since the epoch; Infinity = does not expire. */
  readonly until: number;
  readonly label: string | null;
  readonly createdBy: string;
  readonly createdAt: string;
}

/** The cached state of one name. */
export interface CachedKey {
  readonly record: KeyRecord | undefined;
  readonly revoked: boolean;
}

/**
 * Parses a `key:` document. Damaged parts grant nothing: a damaged digest is dropped, and a damaged time
 * counts as expired.
 */
export function parseKey(document: StoredDocument): KeyRecord {
  const { label, created_by, created_at, digests, rotations } = document;
  return {
    name: document._id.slice(KEY.length),
    rev: document._rev ?? '',
    digests: Array.isArray(digests) ? digests.flatMap(parseDigest) : [],
    rotations: typeof rotations === 'number' ? rotations : 0,
    until: parseTime(document['expires_at']),
    label: typeof label === 'string' ? label : null,
    createdBy: typeof created_by === 'string' ? created_by : '',
    createdAt: typeof created_at === 'string' ? created_at : '',
  };
}

/** Formats a record as a `key:` document, with its revision if it has one. */
export function writeKey(record: KeyRecord): StoredDocument {
  return {
    _id: KEY + record.name,
    ...(record.rev === '' ? {} : { _rev: record.rev }),
    label: record.label,
    created_by: record.createdBy,
    created_at: record.createdAt,
    expires_at: formatTime(record.until),
    ...(record.rotations === 0 ? {} : { rotations: record.rotations }),
    digests: record.digests.map(({ salt, digest, until }) => ({
      salt,
      digest,
      expires_at: formatTime(until),
    })),
  };
}

/** Returns the hour (since 1970) of a `used:` document; `undefined` = never used, or damaged. */
export function usedHourIn(document: StoredDocument | undefined): number | undefined {
  const hour = Math.floor(Date.parse(String(document?.['last_used'])) / HOUR_MS);
  return Number.isNaN(hour) ? undefined : hour;
}

/** Converts a record for the API. `usedHour` = hours since the epoch. */
export function summarise(record: KeyRecord, usedHour: number | undefined): KeySummary {
  return {
    key: record.name,
    label: record.label,
    created_by: record.createdBy,
    created_at: record.createdAt,
    expires_at: formatTime(record.until),
    last_used: usedHour === undefined ? null : new Date(usedHour * HOUR_MS).toISOString(),
  };
}

/** True if the change affects access: other passwords, or other times. A new label does not. */
export function changesAccess(before: CachedKey, after: CachedKey): boolean {
  if (before.revoked !== after.revoked) return true;
  if (before.record === undefined || after.record === undefined) return before.record !== after.record;
  const others = after.record.digests;
  return (
    before.record.until !== after.record.until ||
    before.record.digests.length !== others.length ||
    before.record.digests.some(({ salt, until }, i) => others[i]?.salt !== salt || others[i].until !== until)
  );
}

/** Compares revisions by CouchDB's order: the longer history wins, then the greater hash. */
export function isNewer(rev: string, than: string): boolean {
  return compareRevisions(rev, than) > 0;
}

/** Formats a time as ISO 8601; null = does not expire. */
export function formatTime(until: number): string | null {
  return until === Infinity ? null : new Date(until).toISOString();
}

function parseTime(value: unknown): number {
  if (value === null || value === undefined) return Infinity;
  const time = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(time) ? 0 : time;
}

function parseDigest(value: unknown): Digest[] {
  const { salt, digest, expires_at } = (value ?? {}) as Record<string, unknown>;
  if (typeof salt !== 'string' || typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) return [];
  return [{ salt, digest, until: parseTime(expires_at) }];
}
