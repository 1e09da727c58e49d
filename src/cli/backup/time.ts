// Parses a moment on the command line.
import { parseDuration } from '../../backup/forget.ts';
import { UsageError } from '../../setup/arguments.ts';

const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** Parses an ISO 8601 time, in UTC if it has no zone, or a duration before now: `12h`, `30d`. */
export function readTime(text: string): Date {
  if (/^\d+[hdwmy]$/.test(text)) return new Date(Date.now() - parseDuration(text));
  const match = ISO.exec(text);
  const needsZone = match?.[1] !== undefined && match[2] === undefined;
  const parsed = match === null ? NaN : Date.parse(needsZone ? `${text}Z` : text);
  if (Number.isNaN(parsed))
    throw new UsageError(`${JSON.stringify(text)} is not a time; write 2026-11-01T12:00:00Z or 2d`);
  return new Date(parsed);
}
