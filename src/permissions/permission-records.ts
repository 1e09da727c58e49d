// The protocol of the permission record: reads what is in force, changes it, and finishes what others left.
// docs/decisions/2026-11-28-permission-record.md has the reasons and the proofs.
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Couch } from '../couch/couch.ts';
import { NotFound, Unavailable } from '../http-errors.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type Caller } from '../principal/principal.ts';
import { getSecurity, setSecurity } from './couch-security.ts';
import { newestObject } from './node-objects.ts';
import { type ChangeOrigin } from './permission-keeper.ts';
import { type Generation, type Leaf, mirrorOf, RECENT_CHANGES, type RecordState } from './record-document.ts';
import { type RecordCopies } from './record-copies.ts';
import { mirroredStateOf, type PermissionRecord } from './record-leaves.ts';
import { mirrorNameIn, type StoredSecurity, versionOf } from './security-document.ts';
import { restedOf, type Seen, type SeenAtRest, seenOf } from './seen.ts';
import { type JsonObject } from './security-request.ts';

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
  readonly report: (message: string, fields: object) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Waits; tests replace it. */
  readonly wait?: ((milliseconds: number) => Promise<unknown>) | undefined;
  /** Called between any two steps; tests stop or delay a writer there. */
  readonly step?: ((name: string) => Promise<void>) | undefined;
}

/** Time, in ms, after which a change that did not come to rest is answered 503. */
const GIVE_UP_MS = 15_000;
/** Time, in ms, without progress after which a change of another writer is finished for it. */
export const STUCK_MS = 3000;
/** A start time of a database that was read this long ago is read again before its object is written. */
const START_HOLDS_MS = 1000;
const UNKNOWN = 'The change may or may not stand: CouchDB did not confirm it in time.';
const AWAY = 'The permissions of this database are not available at present.';
const MISSING = 'Database does not exist.';
export class PermissionRecords {
  readonly #options: PermissionRecordsOptions;
  readonly #couch: Pick<Couch, 'ask'>;
  readonly #copies: RecordCopies;

  constructor(options: PermissionRecordsOptions) {
    this.#options = options;
    this.#couch = options.couch;
    this.#copies = options.copies;
  }

  /**
   * Reads what is in force; `undefined` = no such database. The object is read first, so that a change
   * between the two reads is not taken for an older record. Throws `Unavailable`.
   */
  async read(database: string, caller?: Caller): Promise<Seen | undefined> {
    const object = await getSecurity(this.#couch, database, caller);
    if (object === undefined) return undefined;
    const seen = await this.readWith(database, object, caller);
    // Without a record, an older copy would be taken for the object. Records are made in the background.
    return seen.record === undefined ? this.#withNewestObject(seen) : seen;
  }

  /** As `read`, with an object that was just read. */
  async readWith(database: string, object: StoredSecurity, caller?: Caller): Promise<Seen> {
    const record = await this.#copies.read(database, caller === undefined ? undefined : quotaKeyOf(caller));
    return this.#seen(database, record, object);
  }

  /**
   * As `read`, but waits until no change is under way, and reads whether the database was made again. Throws
   * `Unavailable`, at the latest after 15 s.
   */
  async readAtRest(
    database: string,
    caller?: Caller,
    until = this.#options.now() + GIVE_UP_MS,
  ): Promise<SeenAtRest | undefined> {
    const { now } = this.#options;
    for (let key = '', since = now(), patience = patienceMs(); ;) {
      const seen = await this.read(database, caller);
      if (seen === undefined) return undefined;
      if (seen.record === undefined || seen.record.isAtRest) {
        const start = await this.#startOf(database);
        return start === undefined ? undefined : restedOf(seen, start);
      }
      const found = seen.record.leaves.map(({ rev }) => rev).join();
      if (found !== key) [key, since] = [found, now()];
      if (now() - since > patience) {
        await this.heal(database, until);
        patience = patienceMs();
        since = now();
      }
      if (now() > until) throw new Unavailable(AWAY, { detail: 'the record did not come to rest' });
      await this.#wait(20 + 60 * Math.random());
    }
  }

  /**
   * Replaces what is in force by what `decide` returns. `decide` gets what is in force, and may be called
   * more than once; its error refuses the change. Throws 404 for a missing database, and 503.
   */
  async change(database: string, decide: (seen: Seen) => JsonObject, by: Authorship): Promise<Finished> {
    const id = newId();
    const until = this.#options.now() + GIVE_UP_MS;
    let last: Finished | undefined;
    for (let attempt = 0; this.#options.now() < until; attempt += 1) {
      if (attempt > 0) await this.#wait(Math.random() * Math.min(20 * 2 ** attempt, 500));
      const seen = await this.#existing(database, last === undefined, until);
      if (last !== undefined && seen.record !== undefined && hasChange(seen.record.state, id)) return last;
      const readAt = this.#options.now();
      const state = this.#nextState(seen, decide(seen), id, by);
      last = { state, before: seen.security };
      await this.#step('read');
      const leaf = await this.#acknowledge(database, state, seen.record);
      if (leaf !== undefined && (await this.#finish(database, leaf, { readAt, until }))) return last;
    }
    throw new Unavailable(UNKNOWN);
  }

  /**
   * Writes the record of a new database: no grants, and no mirror, so that its `update_seq` stays 0 (C12).
   * What the record of a deleted database of that name granted is void from here on. Resolves with the object
   * that CouchDB gave the database. Throws `Unavailable`.
   */
  async create(database: string, by: Authorship): Promise<StoredSecurity> {
    const until = this.#options.now() + GIVE_UP_MS;
    const start = await this.#startOfNew(database);
    while (this.#options.now() < until) {
      const record = await this.#copies.read(database);
      // Another replica has changed the permissions of the new database already.
      const isKnown = record?.state.generation.start === start;
      const state: RecordState = {
        ...this.#origin({ by, id: newId(), revision: (record?.state.revision ?? 0) + 1 }),
        generation: newGeneration(start),
        state: 'done',
        stamp: 0,
        mirrored: false,
        security: {},
        before: undefined,
      };
      if (isKnown || (await this.#acknowledge(database, state, record)) !== undefined)
        return (await getSecurity(this.#couch, database, undefined)) ?? {};
      await this.#wait(50 * Math.random());
    }
    throw new Unavailable(UNKNOWN);
  }

  /** A new database is not visible on every node immediately. */
  async #startOfNew(database: string): Promise<string> {
    for (const pauseMs of [50, 100, 200, 400, 800, 0]) {
      const start = await this.#startOf(database);
      if (start !== undefined) return start;
      await this.#wait(pauseMs);
    }
    throw new Unavailable(AWAY, { detail: 'a new database was not found after its creation' });
  }

  /** Id of the generation in the record; `undefined` = no record. Throws `Unavailable`. */
  async generationOf(database: string): Promise<string | undefined> {
    return (await this.#copies.read(database))?.state.generation.id;
  }

  /**
   * Takes all grants of a deleted database away, unless it was made again meanwhile. A failure leaves a
   * record of a generation that no database has; it grants nothing to a database that is made again.
   */
  async voidDeleted(database: string, generation: string | undefined, by: Authorship): Promise<void> {
    const until = this.#options.now() + GIVE_UP_MS;
    while (generation !== undefined && this.#options.now() < until) {
      const record = await this.#copies.read(database);
      if (record === undefined || record.state.generation.id !== generation) return;
      if (record.state.generation.start === null) return;
      const { revision } = record.state;
      const origin = this.#origin({ by, id: newId(), revision: revision + 1 });
      const security = {};
      const life = { id: generation, start: null };
      const state: RecordState = {
        ...record.state,
        ...origin,
        ...{ generation: life, state: 'done', security, before: undefined },
      };
      if ((await this.#acknowledge(database, state, record)) !== undefined) return;
      await this.#wait(50 * Math.random());
    }
  }

  /**
   * Finishes what another writer left: several leaves become one that holds their intersection; a change that
   * is `writing` is mirrored and done. Resolves with what this call finished; `undefined` = nothing.
   */
  async heal(database: string, until = this.#options.now() + GIVE_UP_MS): Promise<Finished | undefined> {
    const record = await this.#copies.read(database);
    if (record === undefined) return undefined;
    const [first, second] = record.leaves;
    if (record.isAtRest) {
      // Writers have withdrawn: the state is written once more, so that their leaves can be deleted.
      if (second !== undefined || record.superseded.length > 0)
        await this.#acknowledge(database, record.state, record);
      return undefined;
    }
    const leaf = second === undefined ? first : await this.#merge(database, record);
    if (leaf === undefined) return undefined;
    const isFinished = await this.#finish(database, leaf, { readAt: -Infinity, until });
    return isFinished ? { state: leaf, before: leaf.before ?? {} } : undefined;
  }

  /**
   * Takes the object over as the record, if it has one of Couchgate's and no record, or if a version without
   * records has written it since. Writes no object. Resolves with the change; `undefined` = nothing to take
   * over.
   */
  async takeOver(database: string): Promise<Finished | undefined> {
    const seen = await this.readAtRest(database);
    const name = mirrorNameIn(seen?.object);
    if (seen === undefined || name === undefined) return undefined;
    const { record, agreement, start } = seen;
    if (record !== undefined && agreement !== 'gone' && agreement !== 'version before') return undefined;
    const isContinued = record?.state.generation.start === start;
    const generation = isContinued ? record.state.generation : newGeneration(start);
    const revision = Math.max(record?.state.revision ?? 0, name.revision ?? 0) + 1;
    const origin = this.#origin({ by: { by: '', via: 'migrate' }, id: newId(), revision });
    const state: RecordState = {
      ...origin,
      // The object keeps the name of the lost record that it mirrors.
      generation: { start, id: name.generation ?? generation.id },
      state: 'done',
      stamp: name.stamp,
      mirrored: true,
      security: seen.security,
      before: undefined,
    };
    const before = record?.state.security ?? seen.security;
    return (await this.#acknowledge(database, state, record)) === undefined ? undefined : { state, before };
  }

  /** When the database was made; see `#startOf`. */
  startOf(database: string): Promise<string | undefined> {
    return this.#startOf(database);
  }

  /** Writes the object of a record at rest again, on all copies. Throws `NotFound` and `Unavailable`. */
  async mirrorAgain(database: string): Promise<void> {
    const record = await this.#copies.read(database);
    if (record === undefined || !record.isAtRest || record.state.generation.start === null) return;
    const until = this.#options.now() + GIVE_UP_MS;
    await this.#mirror(database, record.state, { readAt: -Infinity, until });
  }

  async #merge(database: string, record: PermissionRecord): Promise<Leaf | undefined> {
    const { state, leaves } = record;
    this.#options.report('concurrent changes of permissions are merged: only what all of them grant stays', {
      database,
      revisions: leaves.map(({ revision }) => revision),
    });
    const object = (await getSecurity(this.#couch, database, undefined)) ?? {};
    const origin = this.#origin({
      by: { by: '', via: 'merge' },
      id: newId(),
      revision: state.revision + 1,
    });
    // A change of only some leaves may have lost a grant, so its writer must not find its id.
    const shared = state.recent.filter((entry) => leaves.every((leaf) => hasChange(leaf, entry.id)));
    return this.#acknowledge(
      database,
      {
        ...state,
        ...origin,
        recent: [...origin.recent, ...shared].slice(0, RECENT_CHANGES),
        state: 'writing',
        stamp: this.#nextStamp(state, object),
        before: state.security,
      },
      record,
    );
  }

  /**
   * Writes a leaf on top of what was read. Resolves with it if a majority has it; else it is withdrawn, and
   * the caller begins again.
   */
  async #acknowledge(
    database: string,
    state: RecordState,
    record: PermissionRecord | undefined,
  ): Promise<Leaf | undefined> {
    const [parent, ...others] = record?.leaves ?? [];
    const written = await this.#copies.write(database, state, parent?.rev);
    await this.#step(state.state);
    if (written.outcome === 'acknowledged') {
      if (record !== undefined) {
        await this.#copies.close(database, [...others.map(({ rev }) => rev), ...record.superseded]);
        await this.#copies.purge(database, record);
      }
      await this.#options.onWritten(database, written.rev, state);
      return { ...state, rev: written.rev, isWithdrawn: false };
    }
    if (written.outcome === 'partial') await this.#copies.withdraw(database, written.rev, record?.state);
    if (written.outcome === 'unknown') await this.#withdrawLost(database, state, record);
    return undefined;
  }

  /** The answer to the write was lost, so its leaf is looked for by the id of its change. */
  async #withdrawLost(
    database: string,
    { recent: [change] }: RecordState,
    before: PermissionRecord | undefined,
  ): Promise<void> {
    const record = await this.#copies.read(database);
    const own = record?.leaves.find((leaf) => leaf.recent[0]?.id === change?.id);
    if (own !== undefined) await this.#copies.withdraw(database, own.rev, before?.state);
  }

  /**
   * Mirrors an acknowledged leaf, and marks it `done`. False = another writer has gone on without this
   * change: the caller begins again. Throws 404 if the database was deleted, and 503.
   */
  async #finish(
    database: string,
    leaf: Leaf,
    limits: { readonly readAt: number; readonly until: number },
  ): Promise<boolean> {
    const [change] = leaf.recent;
    if (change === undefined) return false;
    if (!(await this.#mirror(database, leaf, limits))) {
      await this.voidDeleted(database, leaf.generation.id, { by: '', via: 'delete' });
      throw new NotFound(MISSING);
    }
    const { rev: parent, isWithdrawn: _, ...writing } = leaf;
    const done: RecordState = { ...writing, state: 'done', mirrored: true, before: undefined };
    while (this.#options.now() < limits.until) {
      const written = await this.#copies.write(database, done, parent);
      await this.#step('done');
      if (written.outcome === 'acknowledged') {
        await this.#options.onWritten(database, written.rev, done);
        return true;
      }
      // Two that finish the same change write the same leaf. So this is the other's, or one that came after
      // it.
      const record = await this.#copies.read(database);
      if (record === undefined) throw new Unavailable(AWAY, { detail: 'the record is gone' });
      if (record.leaves.some(({ rev }) => rev === parent)) {
        await this.#wait(20 + 60 * Math.random());
        continue;
      }
      if (!hasChange(record.state, change.id)) return false;
      await this.readAtRest(database, undefined, limits.until);
      return true;
    }
    throw new Unavailable(UNKNOWN);
  }

  /**
   * Writes the security object of a state, again until the record has not moved meanwhile: a late write would
   * replace the object of a later change. False = the database was deleted, or made again.
   */
  async #mirror(
    database: string,
    state: RecordState,
    { readAt, until }: { readonly readAt: number; readonly until: number },
  ): Promise<boolean> {
    const { now } = this.#options;
    for (let current = state; ;) {
      if (now() - readAt > START_HOLDS_MS && (await this.#startOf(database)) !== current.generation.start)
        return false;
      await this.#step('mirror');
      try {
        await setSecurity(this.#couch, database, mirrorOf(current, database));
      } catch (error) {
        if (error instanceof NotFound) return false;
        if (error instanceof Unavailable) throw new Unavailable(UNKNOWN, detailOf(error));
        throw error;
      }
      await this.#step('mirrored');
      const [record, start] = await Promise.all([this.#copies.read(database), this.#startOf(database)]);
      if (record === undefined) throw new Unavailable(AWAY, { detail: 'the record is gone' });
      const newest = mirroredStateOf(record);
      if (newest === undefined || isSameChange(newest, current)) {
        if (start !== current.generation.start) return false;
        // Several leaves: their writers withdraw, or one of them merges. `current` is in the object until
        // then.
        if (newest !== undefined) return true;
        await this.#wait(20 + 60 * Math.random());
      } else if (newest.generation.start === null) return false;
      else current = newest;
      if (now() > until) throw new Unavailable(UNKNOWN);
    }
  }

  async #existing(database: string, isFirst: boolean, until: number): Promise<SeenAtRest> {
    const seen = await this.readAtRest(database, undefined, until).catch((error: unknown) => {
      if (isFirst || !(error instanceof Unavailable)) throw error;
      throw new Unavailable(UNKNOWN, detailOf(error));
    });
    if (seen === undefined) throw new NotFound(MISSING);
    return seen;
  }

  async #seen(database: string, record: PermissionRecord | undefined, read: StoredSecurity): Promise<Seen> {
    const seen = seenOf(database, record, read);
    const isSuspect =
      seen.agreement === 'reset' ||
      (seen.agreement === 'unrecorded' && mirrorNameIn(read)?.revision !== undefined);
    return isSuspect ? this.#withNewestObject(seen) : seen;
  }

  /** The object may be an old copy of a node that was away. Then others have a newer one. */
  async #withNewestObject(seen: Seen): Promise<Seen> {
    const { nodeUrls } = this.#options;
    if (nodeUrls.length < 2) return seen;
    const object = await newestObject(this.#couch, nodeUrls, seen.database, seen.object);
    return object === seen.object ? seen : seenOf(seen.database, seen.record, object);
  }

  #nextState(seen: SeenAtRest, security: JsonObject, id: string, by: Authorship): RecordState {
    const { record, object, start, isMadeAgain, agreement } = seen;
    const revision = Math.max(record?.state.revision ?? 0, mirrorNameIn(object)?.revision ?? 0) + 1;
    const origin = this.#origin({ by, id, revision });
    const isContinued = record !== undefined && !isMadeAgain && agreement !== 'gone';
    return {
      ...origin,
      recent: [...origin.recent, ...(record?.state.recent ?? [])].slice(0, RECENT_CHANGES),
      generation: isContinued ? { ...record.state.generation, start } : newGeneration(start),
      state: 'writing',
      stamp: this.#nextStamp(record?.state, object),
      mirrored: isContinued && record.state.mirrored,
      security,
      before: seen.security,
    };
  }

  #nextStamp(state: RecordState | undefined, object: StoredSecurity): number {
    return Math.max(this.#options.now(), (state?.stamp ?? 0) + 1, versionOf(object) + 1);
  }

  #origin({
    by: { by, via, reason, requestId },
    id,
    revision,
  }: {
    readonly by: Authorship;
    readonly id: string;
    readonly revision: number;
  }): Pick<RecordState, 'revision' | 'recent' | 'by' | 'via' | 'at' | 'reason' | 'requestId'> {
    const at = new Date(this.#options.now()).toISOString();
    return { revision, recent: [{ id, revision }], by, via, at, reason, requestId };
  }

  /**
   * When the database was made (`instance_start_time`); `undefined` = no such database. Throws `Unavailable`.
   */
  async #startOf(database: string): Promise<string | undefined> {
    const { status, body } = await this.#couch.ask({
      method: 'GET',
      path: `/${encodeURIComponent(database)}`,
    });
    if (status === 404) return undefined;
    const { instance_start_time: start } = (body ?? {}) as { readonly instance_start_time?: unknown };
    if (status !== 200 || typeof start !== 'string')
      throw new Unavailable(AWAY, { detail: `CouchDB answered ${status}` });
    return start;
  }

  async #wait(milliseconds: number): Promise<void> {
    await (this.#options.wait ?? delay)(milliseconds);
  }

  async #step(name: string): Promise<void> {
    if (this.#options.step !== undefined) await this.#options.step(name);
  }
}

function newId(): string {
  return randomBytes(12).toString('hex');
}

function newGeneration(start: string): Generation {
  return { id: randomBytes(6).toString('hex'), start };
}

function hasChange({ recent }: RecordState, id: string): boolean {
  return recent.some((entry) => entry.id === id);
}

function isSameChange(a: RecordState, b: RecordState): boolean {
  return a.revision === b.revision && a.recent[0]?.id === b.recent[0]?.id;
}

/** Random, so that one of several followers acts first. */
function patienceMs(): number {
  return STUCK_MS * (1 + Math.random() / 2);
}

function detailOf({ detail, reason }: Unavailable): { readonly detail: string } {
  return { detail: detail ?? reason };
}
