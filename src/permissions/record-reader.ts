// Reads the record of a database together with its security object, once.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Couch } from '../couch/couch.ts';
import { databasePath } from '../couch/document-path.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller } from '../principal/principal.ts';
import { getSecurity } from './couch-security.ts';
import { newestObject } from './node-objects.ts';
import { type RecordCopies } from './record-copies.ts';
import { type PermissionRecord } from './record-leaves.ts';
import { recordsAway } from './record-protocol.ts';
import { mirrorNameIn, type StoredSecurity } from './security-document.ts';
import { type Seen, seenOf } from './seen.ts';

const MANY_NAMES = 1000;

export interface RecordReaderOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly copies: RecordCopies;
  readonly nodeUrls: readonly string[];
}

export class RecordReader {
  readonly #options: RecordReaderOptions;

  constructor(options: RecordReaderOptions) {
    this.#options = options;
  }

  /**
   * Reads what is in force; `undefined` = no such database. The object is read first, so that a change
   * between the two reads is not taken for an older record. Throws `Unavailable`.
   */
  async read(database: string, caller?: Caller): Promise<Seen | undefined> {
    const object = await getSecurity(this.#options.couch, database, caller);
    if (object === undefined) return undefined;
    const seen = await this.readWith(database, object, caller);
    // Without a record, an older copy would be taken for the object. Records are made in the background.
    return seen.record === undefined ? this.#withNewestObject(seen) : seen;
  }

  /** As `read`, with an object that was just read. */
  async readWith(database: string, object: StoredSecurity, caller?: Caller): Promise<Seen> {
    const quota = caller === undefined ? undefined : quotaKeyOf(caller);
    const record = await this.#options.copies.read(database, quota);
    // Reading and comparing 10 000 names takes 20 ms each.
    if (record !== undefined && countOfNames(record) > MANY_NAMES) await nextTurn();
    return this.#seen(database, record, object);
  }

  /**
   * When the database was made (`instance_start_time`); `undefined` = no such database. Throws `Unavailable`.
   */
  async startOf(database: string): Promise<string | undefined> {
    const path = databasePath(database);
    const { status, body } = await this.#options.couch.ask({ method: 'GET', path });
    if (status === 404) return undefined;
    const { instance_start_time: start } = (body ?? {}) as { readonly instance_start_time?: unknown };
    if (status !== 200 || typeof start !== 'string') throw recordsAway(`CouchDB answered ${status}`);
    return start;
  }

  async #seen(database: string, record: PermissionRecord | undefined, read: StoredSecurity): Promise<Seen> {
    const seen = seenOf(database, record, read);
    const isSuspect =
      seen.agreement === 'reset' ||
      (seen.agreement === 'no record' && mirrorNameIn(read)?.revision !== undefined);
    return isSuspect ? this.#withNewestObject(seen) : seen;
  }

  /** The object may be an old copy of a node that was away. Then others have a newer one. */
  async #withNewestObject(seen: Seen): Promise<Seen> {
    const { couch, nodeUrls } = this.#options;
    if (nodeUrls.length < 2) return seen;
    const object = await newestObject(couch, nodeUrls, seen.database, seen.object);
    return object === seen.object ? seen : seenOf(seen.database, seen.record, object);
  }
}

function countOfNames({ state }: PermissionRecord): number {
  return Object.keys(state.security['cloudant'] ?? {}).length;
}
