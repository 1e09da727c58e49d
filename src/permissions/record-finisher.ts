// Brings a permission record to rest: mirrors an acknowledged change in the security object and marks it
// done, for its writer or for one that left it.
import { NotFound, Unavailable } from '../http-errors.ts';
import { type Caller } from '../principal/principal.ts';
import { getSecurity, setSecurity } from './couch-security.ts';
import { type Leaf, mirrorOf, type RecordState } from './record-document.ts';
import { mirroredStateOf, type PermissionRecord } from './record-leaves.ts';
import {
  type Finished,
  GIVE_UP_MS,
  patienceMs,
  pause,
  type PermissionRecordsOptions,
  recordsAway,
  unknownOutcome,
} from './record-protocol.ts';
import { type RecordReader } from './record-reader.ts';
import { hasChange, isSameChange, stateOfMerge, stateWhenDone } from './record-states.ts';
import { type RecordWriter } from './record-writer.ts';
import { restedOf, type SeenAtRest } from './seen.ts';

/** When the database was known to be the right one, and when to give up; both in milliseconds since 1970. */
interface Limits {
  readonly readAt: number;
  readonly until: number;
}

/** Runs a read, perhaps later. */
export type ReadLimit = <T>(read: () => Promise<T>) => Promise<T>;

/** A start time of a database that was read this long ago is read again before its object is written. */
const START_HOLDS_MS = 1000;

export class RecordFinisher {
  readonly #options: PermissionRecordsOptions;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;
  readonly #healing = new Map<string, Promise<unknown>>();

  constructor(options: PermissionRecordsOptions, reader: RecordReader, writer: RecordWriter) {
    this.#options = options;
    this.#reader = reader;
    this.#writer = writer;
  }

  /**
   * Reads what is in force, but waits until no change is under way, and reads whether the database was made
   * again. `limit` runs each read: while this waits, others can read. Throws `Unavailable`, at the latest
   * after 15 s, and what `limit` throws.
   */
  async readAtRest(
    database: string,
    caller?: Caller,
    until = this.#options.now() + GIVE_UP_MS,
    limit: ReadLimit = (read) => read(),
  ): Promise<SeenAtRest | undefined> {
    const { now } = this.#options;
    for (let key = '', since = now(), patience = patienceMs(); ;) {
      const found = await limit(() => this.#readOnce(database, caller));
      if (typeof found !== 'string') return found;
      if (found !== key) [key, since] = [found, now()];
      if (now() - since > patience) {
        await this.#healOnce(database, until);
        patience = patienceMs();
        since = now();
      }
      if (now() > until) throw recordsAway('the record did not come to rest');
      await pause(this.#options, 80);
    }
  }

  /**
   * Reads what is in force, or the revisions of the change under way: whoever waits for its end holds no
   * object in memory (H15).
   */
  async #readOnce(database: string, caller: Caller | undefined): Promise<SeenAtRest | string | undefined> {
    const seen = await this.#reader.read(database, caller);
    if (seen === undefined) return undefined;
    if (seen.record?.isAtRest === false) return seen.record.leaves.map(({ rev }) => rev).join();
    const start = await this.#reader.startOf(database);
    return start === undefined ? undefined : restedOf(seen, start);
  }

  /** As `heal`, once for all who wait here. */
  async #healOnce(database: string, until: number): Promise<void> {
    let healing = this.#healing.get(database);
    if (healing === undefined) {
      healing = this.heal(database, until).finally(() => this.#healing.delete(database));
      this.#healing.set(database, healing);
    }
    await healing;
  }

  /**
   * Finishes what another writer left: several leaves become one that holds their intersection; a change that
   * is `writing` is mirrored and done. Resolves with what this call finished; `undefined` = nothing.
   */
  async heal(database: string, until = this.#options.now() + GIVE_UP_MS): Promise<Finished | undefined> {
    const record = await this.#options.copies.read(database);
    if (record === undefined) return undefined;
    const [first, second] = record.leaves;
    if (record.isAtRest) {
      // Writers have withdrawn: the state is written once more, so that their leaves can be deleted.
      if (second !== undefined || record.superseded.length > 0)
        await this.#writer.writeLeaf(database, record.state, record);
      return undefined;
    }
    const leaf = second === undefined ? first : await this.#merge(database, record);
    if (leaf === undefined) return undefined;
    const isFinished = await this.finish(database, leaf, { readAt: -Infinity, until }).catch(
      (error: unknown) => {
        // The database was deleted or made again, so the record grants nothing now.
        if (error instanceof NotFound) return false;
        throw error;
      },
    );
    return isFinished ? { state: leaf, before: leaf.before ?? {} } : undefined;
  }

  /**
   * Mirrors an acknowledged leaf, and marks it `done`. False = another writer has gone on without this
   * change: the caller begins again. Throws 404 if the database was deleted, and 503.
   */
  async finish(database: string, leaf: Leaf, limits: Limits): Promise<boolean> {
    const { copies, now, onWritten, step } = this.#options;
    const [change] = leaf.recent;
    if (change === undefined) return false;
    if (!(await this.#mirror(database, leaf, limits))) {
      await this.#writer.voidDeleted(database, leaf.generation.id, { by: '', via: 'delete' });
      throw new NotFound('Database does not exist.');
    }
    const done = stateWhenDone(leaf);
    while (now() < limits.until) {
      const written = await copies.write(database, done, leaf.rev);
      await step?.('done');
      if (written.outcome === 'acknowledged') {
        await onWritten(database, written.rev, done);
        return true;
      }
      // Two that finish the same change write the same leaf. So this is the other's, or one that came after
      // it.
      const record = await copies.read(database);
      if (record === undefined) throw recordsAway('the record is gone');
      if (record.leaves.some(({ rev }) => rev === leaf.rev)) {
        await pause(this.#options, 80);
        continue;
      }
      if (!hasChange(record.state, change.id)) return false;
      await this.readAtRest(database, undefined, limits.until);
      return true;
    }
    throw unknownOutcome();
  }

  /** Writes the object of a record at rest again, on all copies. Throws `NotFound` and `Unavailable`. */
  async mirrorAgain(database: string): Promise<void> {
    const record = await this.#options.copies.read(database);
    if (record === undefined || !record.isAtRest || record.state.generation.start === null) return;
    const until = this.#options.now() + GIVE_UP_MS;
    await this.#mirror(database, record.state, { readAt: -Infinity, until });
  }

  /**
   * Writes the security object of a state, again until the record has not moved meanwhile: a late write would
   * replace the object of a later change. False = the database was deleted, or made again.
   */
  async #mirror(database: string, state: RecordState, { readAt, until }: Limits): Promise<boolean> {
    const { copies, now, step } = this.#options;
    for (let current = state; ;) {
      const isStartOld = now() - readAt > START_HOLDS_MS;
      if (isStartOld && (await this.#reader.startOf(database)) !== current.generation.start) return false;
      await step?.('mirror');
      if (!(await this.#put(database, current))) return false;
      await step?.('mirrored');
      const [record, start] = await Promise.all([copies.read(database), this.#reader.startOf(database)]);
      if (record === undefined) throw recordsAway('the record is gone');
      const newest = mirroredStateOf(record);
      if (newest === undefined || isSameChange(newest, current)) {
        if (start !== current.generation.start) return false;
        // Several leaves: their writers withdraw, or one of them merges. `current` is in the object until
        // then.
        if (newest !== undefined) return true;
        await pause(this.#options, 80);
      } else if (newest.generation.start === null) return false;
      else current = newest;
      if (now() > until) throw unknownOutcome();
    }
  }

  /** Puts the object of a state. False = the database was deleted. */
  async #put(database: string, state: RecordState): Promise<boolean> {
    try {
      await setSecurity(this.#options.couch, database, mirrorOf(state, database));
      return true;
    } catch (error) {
      if (error instanceof NotFound) return false;
      if (error instanceof Unavailable) throw unknownOutcome(error);
      throw error;
    }
  }

  async #merge(database: string, record: PermissionRecord): Promise<Leaf | undefined> {
    const { couch, now, report } = this.#options;
    report('concurrent changes of permissions are merged: only what all of them grant stays', {
      database,
      revisions: record.leaves.map(({ revision }) => revision),
    });
    const object = (await getSecurity(couch, database, undefined)) ?? {};
    return this.#writer.writeLeaf(database, stateOfMerge(record, object, now()), record);
  }
}
