// Reads and writes the copies of permission records in the store, with a majority of them.
import { type Couch, type CouchRequest, isMissing } from '../couch/couch.ts';
import { databasePath, documentPath } from '../couch/document-path.ts';
import { Unavailable } from '../http-errors.ts';
import { documentOf, RECORD, type RecordState } from './record-document.ts';
import { recordOf, type PermissionRecord, type RawLeaf, withdrawnDocumentOf } from './record-leaves.ts';

/**
 * `acknowledged`: a majority of the copies has the leaf. `rejected`: no copy has it, because the parent is no
 * leaf any more. `partial`: some copies have it, as revision `rev`. `unknown`: the answer was lost.
 */
export type LeafOutcome =
  | { readonly outcome: 'acknowledged'; readonly rev: string }
  | { readonly outcome: 'partial'; readonly rev: string }
  | { readonly outcome: 'rejected' | 'unknown' };

export interface RecordCopiesOptions {
  readonly couch: Pick<Couch, 'ask'>;
  readonly storeDatabase: string;
}

/** Deleted leaves make reads slow: 6 ms without any, 21 ms with 100, 327 ms with 1000. */
const MAX_DELETED = 40;
const KEPT_DELETED = 10;
const STORE_AWAY = 'The permissions of this database are not available at present.';

/**
 * A CouchDB cluster has no compare-and-swap of its own. Two writers of one document through two nodes get 201
 * and 202, and readers may see either. What holds: of two children of one leaf, at most one is the first to
 * reach a majority of the copies, and only its writer gets 201 with `w` = majority; a read with `r` =
 * majority then has it among the leaves. docs.couchdb.org/en/stable/cluster/theory.html
 */
export class RecordCopies {
  readonly #couch: Pick<Couch, 'ask'>;
  readonly #storeDatabase: string;
  #majority: Promise<number | undefined> | undefined = undefined;

  constructor({ couch, storeDatabase }: RecordCopiesOptions) {
    this.#couch = couch;
    this.#storeDatabase = storeDatabase;
  }

  /**
   * Reads all leaves; `undefined` = no record, or no store. `caller`: see CouchRequest. Throws `Unavailable`.
   */
  async read(database: string, caller?: string): Promise<PermissionRecord | undefined> {
    const majority = await this.majority();
    if (majority === undefined) return undefined;
    const answer = await this.#couch.ask({
      method: 'GET',
      path: `${this.#pathOf(database)}?open_revs=all&r=${majority}`,
      ...(caller === undefined ? {} : { caller }),
    });
    if (isMissing(answer)) return undefined;
    if (answer.status !== 200 || !Array.isArray(answer.body)) throw away(answer.status);
    const rows = answer.body as readonly { readonly ok?: RawLeaf }[];
    return recordOf(rows.flatMap(({ ok }) => (ok === undefined ? [] : [ok])));
  }

  /** Writes a child of the leaf `parent`, or the first leaf. Never throws for an answer of CouchDB. */
  async write(database: string, state: RecordState, parent: string | undefined): Promise<LeafOutcome> {
    return this.#put(database, documentOf(state), parent);
  }

  /** Withdraws a leaf that was not acknowledged. Without a state before it, there was no record. */
  async withdraw(database: string, rev: string, stateBefore: RecordState | undefined): Promise<void> {
    const document = stateBefore === undefined ? { _deleted: true } : withdrawnDocumentOf(stateBefore);
    await this.#put(database, document, rev);
  }

  /**
   * Deletes leaves whose content is in a later leaf that a majority has. A failure leaves them for the next
   * merge.
   */
  async deleteLeaves(database: string, revs: readonly string[]): Promise<void> {
    for (const rev of revs) await this.#put(database, { _deleted: true }, rev);
  }

  /**
   * Removes old deleted leaves. If a copy that was away brings a leaf back, it can only narrow what is in
   * force until the next merge.
   */
  async purge(database: string, { leaves, deleted }: PermissionRecord): Promise<void> {
    if (deleted.length <= MAX_DELETED || leaves.length !== 1) return;
    const byAge = deleted.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    const body = { [RECORD + database]: byAge.slice(0, -KEPT_DELETED) };
    const path = `${databasePath(this.#storeDatabase)}/_purge`;
    await this.#couch.ask({ method: 'POST', path, body }).catch(() => undefined);
  }

  /**
   * More than half of the copies that the store has of each document; `undefined` = there is no store. Throws
   * `Unavailable`.
   */
  async majority(): Promise<number | undefined> {
    this.#majority ??= this.#readMajority();
    try {
      const majority = await this.#majority;
      if (majority === undefined) this.#majority = undefined;
      return majority;
    } catch (error) {
      this.#majority = undefined;
      throw error;
    }
  }

  async #readMajority(): Promise<number | undefined> {
    const path = databasePath(this.#storeDatabase);
    const { status, body } = await this.#couch.ask({ method: 'GET', path });
    if (status === 404) return undefined;
    const { cluster } = (body ?? {}) as { readonly cluster?: { readonly n?: unknown } };
    const copies = cluster?.n;
    if (status !== 200 || typeof copies !== 'number') throw away(status);
    return Math.floor(copies / 2) + 1;
  }

  async #put(database: string, fields: object, parent: string | undefined): Promise<LeafOutcome> {
    const majority = await this.majority();
    if (majority === undefined) throw away(404);
    const request: CouchRequest = {
      method: 'PUT',
      path: `${this.#pathOf(database)}?w=${majority}`,
      body: parent === undefined ? fields : { ...fields, _rev: parent },
    };
    const answer = await this.#couch.ask(request).catch((error: unknown) => {
      if (error instanceof Unavailable) return undefined;
      throw error;
    });
    if (answer === undefined) return { outcome: 'unknown' };
    if (answer.status === 409) return { outcome: 'rejected' };
    const { rev } = (answer.body ?? {}) as { readonly rev?: unknown };
    if (typeof rev !== 'string') throw away(answer.status);
    // CouchDB answers 200 to a deletion that a majority has.
    if (answer.status === 200 || answer.status === 201) return { outcome: 'acknowledged', rev };
    return { outcome: 'partial', rev };
  }

  #pathOf(database: string): string {
    return documentPath(this.#storeDatabase, RECORD + database);
  }
}

function away(status: number): Unavailable {
  return new Unavailable(STORE_AWAY, { detail: `the store answered ${status}` });
}
