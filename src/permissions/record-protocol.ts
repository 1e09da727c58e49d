// What the parts of the protocol of the permission record share: its options, its times and its errors.
import { setTimeout as delay } from 'node:timers/promises';
import { type WriteLog } from '../couch/outage.ts';
import { type JsonObject } from '../json/object.ts';
import { type Couch } from '../couch/couch.ts';
import { Unavailable, UnknownOutcome } from '../http-errors.ts';
import { type ChangeOrigin } from './change.ts';
import { type RecordCopies } from './record-copies.ts';
import { type RecordState } from './record-document.ts';

/** A change that a majority has, with the state before it. */
export interface Finished {
  readonly state: RecordState;
  /** The client's form of what was in force before. */
  readonly before: JsonObject;
}

/** Author and origin of a change. */
export interface Authorship extends ChangeOrigin {
  readonly by: string;
}

export interface PermissionRecordsOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly copies: RecordCopies;
  readonly nodeUrls: readonly string[];
  /** Called after a leaf was written: caches must read again. Awaited. */
  readonly onWritten: (database: string, rev: string, state: RecordState) => Promise<void>;
  /** Logs a warning: a constant message, and fields for what varies. */
  readonly report: WriteLog;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Waits; tests replace it. */
  readonly wait?: ((milliseconds: number) => Promise<unknown>) | undefined;
  /** Called between any two steps; tests stop or delay a writer there. */
  readonly step?: ((name: string) => Promise<void>) | undefined;
}

/** Time, in ms, after which a change that did not come to rest is answered 503. */
export const GIVE_UP_MS = 15_000;
/** Time, in ms, without progress after which a change of another writer is finished for it. */
const STUCK_MS = 3000;

/** The same with a random part, so that one of several followers acts first. */
export function patienceMs(): number {
  return STUCK_MS * (1 + Math.random() / 2);
}

/** Waits a random while, at most `milliseconds`: writers that wait as long as each other race again. */
export async function pause(options: PermissionRecordsOptions, milliseconds: number): Promise<void> {
  await waitFor(options, milliseconds * Math.random());
}

/** Waits. */
export async function waitFor({ wait }: PermissionRecordsOptions, milliseconds: number): Promise<void> {
  await (wait ?? delay)(milliseconds);
}

/** The error of a change whose outcome is not known. */
export function unknownOutcome(cause?: Unavailable): Unavailable {
  return new UnknownOutcome('The change may or may not stand: CouchDB did not confirm it in time.', {
    detail: cause?.detail ?? cause?.reason,
  });
}

/** The error of a read that failed. */
export function recordsAway(detail: string): Unavailable {
  return new Unavailable('The permissions of this database are not available at present.', { detail });
}
