// The protocol of the permission record: reads what is in force, and changes it.
// docs/decisions/2026-11-28-permission-record.md has the reasons and the proofs. The reader reads record and
// object, the writer writes one leaf to all copies, the finisher brings an unfinished change to rest;
// record-states.ts makes the states. The follower keeps the index by the feed of the store; the maintenance
// repairs objects that differ.
import { type JsonObject } from '../json/object.ts';
import { NotFound, Unavailable } from '../http-errors.ts';
import { getSecurity } from './couch-security.ts';
import { decidingRecord } from './in-force.ts';
import { RecordFinisher } from './record-finisher.ts';
import {
  type Authorship,
  type Finished,
  GIVE_UP_MS,
  pause,
  type PermissionRecordsOptions,
  recordsAway,
  unknownOutcome,
  waitFor,
} from './record-protocol.ts';
import { RecordReader } from './record-reader.ts';
import { hasChange, newChangeId, stateOfChange, stateOfCreation, stateOfTakeOver } from './record-states.ts';
import { RecordWriter } from './record-writer.ts';
import { type StoredSecurity } from './security-document.ts';
import { type Seen, type SeenAtRest } from './seen.ts';

/** Pauses, in ms, between the reads of a new database: it is not visible on every node immediately. */
const PAUSES_AFTER_CREATION = [50, 100, 200, 400, 800, 0];

export class PermissionRecords {
  readonly #options: PermissionRecordsOptions;
  /** Reads record and object once. */
  readonly reader: RecordReader;
  /** Writes one leaf to all copies. */
  readonly writer: RecordWriter;
  /** Waits for an unfinished change, or brings it to rest. */
  readonly finisher: RecordFinisher;

  constructor(options: PermissionRecordsOptions) {
    this.#options = options;
    this.reader = new RecordReader(options);
    this.writer = new RecordWriter(options);
    this.finisher = new RecordFinisher(options, this.reader, this.writer);
  }

  /** Id of the generation in the record; `undefined` = no record. Throws `Unavailable`. */
  async generationOf(database: string): Promise<string | undefined> {
    return (await this.#options.copies.read(database))?.state.generation.id;
  }

  /**
   * Replaces what is in force by what `decide` returns. `decide` gets what is in force, and may be called
   * more than once; its error refuses the change. Throws 404 for a missing database, and 503.
   */
  async change(database: string, decide: (seen: Seen) => JsonObject, by: Authorship): Promise<Finished> {
    const { now, step } = this.#options;
    const id = newChangeId();
    const until = now() + GIVE_UP_MS;
    let last: Finished | undefined;
    for (let attempt = 0; now() < until; attempt += 1) {
      if (attempt > 0) await pause(this.#options, Math.min(20 * 2 ** attempt, 500));
      const seen = await this.#existing(database, last === undefined, until);
      if (last !== undefined && seen.record !== undefined && hasChange(seen.record.state, id)) return last;
      const readAt = now();
      const state = stateOfChange(seen, decide(seen), { id, by, now: now() });
      last = { state, before: seen.security };
      await step?.('read');
      const leaf = await this.writer.writeLeaf(database, state, seen.record);
      if (leaf !== undefined && (await this.finisher.finish(database, leaf, { readAt, until }))) return last;
    }
    throw unknownOutcome();
  }

  /**
   * Writes the record of a new database: no grants, and no mirror, so that its `update_seq` stays 0 (C12).
   * What the record of a deleted database of that name granted is void from here on. Resolves with the
   * change, unless another replica was first, and with the object that CouchDB gave the database. Throws
   * `Unavailable`.
   */
  async create(
    database: string,
    by: Authorship,
  ): Promise<{ readonly finished: Finished | undefined; readonly object: StoredSecurity }> {
    const { copies, couch, now } = this.#options;
    const until = now() + GIVE_UP_MS;
    const start = await this.#startOfNew(database);
    while (now() < until) {
      const record = await copies.read(database);
      // Another replica has changed the permissions of the new database already.
      const isKnown = record?.state.generation.start === start;
      const state = stateOfCreation(record, start, by, now());
      if (isKnown || (await this.writer.writeLeaf(database, state, record)) !== undefined) {
        const object = (await getSecurity(couch, database, undefined)) ?? {};
        return { finished: isKnown ? undefined : { state, before: {} }, object };
      }
      await pause(this.#options, 50);
    }
    throw unknownOutcome();
  }

  /**
   * Takes the object over as the record, if it has one of Couchgate's and no record, or if a writer that
   * knows no records has written it since. Writes no object. Resolves with the change; `undefined` = nothing
   * to take over. Throws `Unavailable`.
   */
  async takeOver(database: string): Promise<Finished | undefined> {
    const seen = await this.finisher.readAtRest(database);
    if (seen === undefined) return undefined;
    const { record, agreement, security } = seen;
    if (decidingRecord(record, agreement) !== undefined) return undefined;
    const state = stateOfTakeOver(seen, this.#options.now());
    if (state === undefined || (await this.writer.writeLeaf(database, state, record)) === undefined)
      return undefined;
    return { state, before: record?.state.security ?? security };
  }

  async #startOfNew(database: string): Promise<string> {
    for (const pauseMs of PAUSES_AFTER_CREATION) {
      const start = await this.reader.startOf(database);
      if (start !== undefined) return start;
      await waitFor(this.#options, pauseMs);
    }
    throw recordsAway('a new database was not found after its creation');
  }

  async #existing(database: string, isFirst: boolean, until: number): Promise<SeenAtRest> {
    const seen = await this.finisher.readAtRest(database, undefined, until).catch((error: unknown) => {
      throw isFirst || !(error instanceof Unavailable) ? error : unknownOutcome(error);
    });
    if (seen === undefined) throw new NotFound('Database does not exist.');
    return seen;
  }
}
