// Tells what has a time in the future: the clock was wrong when it was made, or is wrong here.
import { BackupError } from './errors.ts';

/** The clocks of two machines may differ by so much. */
const TOLERANCE_MS = 60_000;

/** True if the time is after now, by more than the clocks of two machines may differ. */
export function isFutureTime(ms: number, now = Date.now()): boolean {
  return ms > now + TOLERANCE_MS;
}

/** `20261128T134500123Z`: ids begin with it, and sort by it. */
export function timeStamp(time: Date): string {
  return time.toISOString().replace(/[-:.]/g, '');
}

/** True for the id of a snapshot that began in the future. */
export function isFutureId(id: string): boolean {
  return id > timeStamp(new Date(Date.now() + TOLERANCE_MS));
}

/** True for a snapshot or an instance section that began in the future. */
export function isInFuture({ started }: { readonly started: string }, now = Date.now()): boolean {
  return isFutureTime(Date.parse(started), now);
}

/**
 * Puts those of the future before all others. Nobody knows when they were made, and none of them may be taken
 * for the newest.
 */
export function futureFirst<T extends { readonly started: string }>(oldestFirst: readonly T[]): readonly T[] {
  const now = Date.now();
  const future = oldestFirst.filter((one) => isInFuture(one, now));
  return future.length === 0
    ? oldestFirst
    : [...future, ...oldestFirst.filter((one) => !isInFuture(one, now))];
}

/** Throws a BackupError if one of these began in the future: which one is the newest is not known then. */
export function requireNewestKnown(
  all: readonly { readonly id: string; readonly started: string }[],
  what: string,
): void {
  const future = all.find((one) => isInFuture(one));
  if (future !== undefined)
    throw new BackupError(
      `${what} ${future.id} is in the future: the clock was wrong when it was made, or is wrong here. ` +
        `So the newest one is not known: choose it with --snapshot or --time.`,
    );
}
