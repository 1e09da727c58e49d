// Puts keys, revocations, permission records and users back from an instance section. It never un-revokes a
// key, brings no older password back, lowers no revision, and replaces nothing that is there (H29).
import { type JsonObject } from '../json/object.ts';
import { branchOf } from '../couch/revision.ts';
import { type CouchTransfer } from '../couch/transfer.ts';
import { USER_ID_PREFIX, userId } from '../couch/user-id.ts';
import { DECOY_NAME } from '../identity/decoy-user.ts';
import { KEY, REVOKED } from '../identity/key-document.ts';
import { isKeyShaped } from '../identity/secret.ts';
import { SESSION_PREFIX } from '../invalidation/outbox.ts';
import { parseStored } from '../json/parse.ts';
import { RECORD, stateIn } from '../permissions/record-document.ts';
import { mirrorNameIn } from '../permissions/security-document.ts';
import { BackupError, Cancelled } from './errors.ts';
import { type IndexedLeaf } from './index-file.ts';
import { storeNames, USERS, type InstanceSection } from './instance.ts';
import { readKnownVersions, type KnownVersions } from './known-versions.ts';
import { type LeafText } from './leaf.ts';
import { readStates, writeDocuments, type LiveState, type WriteResult } from './live-documents.ts';
import { type LeafHistory } from './newest-version.ts';
import { PackReader } from './pack.ts';
import { whileReading } from './readers.ts';
import { type Repository } from './repository.ts';
import { withRevision } from './restore-document.ts';
import { readSnapshot, type Snapshot } from './snapshot.ts';
import { DatabaseSource, NoDatabase } from './source.ts';
import { RestoreTarget } from './target.ts';

export interface StoreRestoreContext {
  readonly repository: Repository;
  readonly couch: CouchTransfer;
  readonly signal?: AbortSignal;
}

export interface StoreRestoreOptions {
  /** The store database of today; it may have another name than the one of the section. */
  readonly store: string;
  /** Users that get the version of the section although they exist, or were deleted since. */
  readonly overwriteUsers: readonly string[];
  /** Changes nothing. */
  readonly dryRun: boolean;
}

/** Kinds of documents that are put back, in this order: what takes access away comes first. */
export const STORE_KINDS = ['revocations', 'keys', 'permissions', 'users'] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

export interface KindOutcome {
  restored: number;
  /** Documents that are there already; they stay as they are. */
  kept: number;
  /** Documents that do not come back, with the reason. */
  readonly refused: { readonly id: string; readonly reason: string }[];
}

export type StoreRestoreOutcome = Readonly<Record<StoreKind, KindOutcome>>;

const NOT_WRITTEN = {
  uncertain: 'too few nodes stored it; it may be lost if one fails',
  conflict: 'somebody has changed it meanwhile',
  refused: 'CouchDB refused it',
} as const;

/**
 * Restores the section. Throws a BackupError if a snapshot of the section is gone, and if revocations cannot
 * be written: keys come back only after them.
 */
export async function restoreStore(
  context: StoreRestoreContext,
  section: InstanceSection,
  options: StoreRestoreOptions,
): Promise<StoreRestoreOutcome> {
  const run = new StoreRestore(context, section, options);
  return whileReading(context.repository, 'restore --store', () => run.run());
}

class StoreRestore {
  readonly #context: StoreRestoreContext;
  readonly #section: InstanceSection;
  readonly #options: StoreRestoreOptions;
  readonly #packs: PackReader;
  readonly #outcome: StoreRestoreOutcome = {
    revocations: newOutcome(),
    keys: newOutcome(),
    permissions: newOutcome(),
    users: newOutcome(),
  };
  /** Names of keys that are revoked, here or in any snapshot. */
  readonly #revoked = new Set<string>();
  /** Names of keys that this run restores. */
  readonly #keys = new Set<string>();

  constructor(context: StoreRestoreContext, section: InstanceSection, options: StoreRestoreOptions) {
    this.#context = context;
    this.#section = section;
    this.#options = options;
    this.#packs = new PackReader(context.repository);
  }

  readonly #history: LeafHistory = {
    revisions: async (leaf) => new Set([leaf.rev, ...branchOf(parsed(await this.#leaf(leaf)))]),
    content: async (leaf) => withRevision(await this.#leaf(leaf), undefined),
  };

  async run(): Promise<StoreRestoreOutcome> {
    const { repository } = this.#context;
    const store = await this.#snapshot(this.#section.store);
    const users = await this.#snapshot(USERS);
    if (store !== undefined) {
      const known = await readKnownVersions(repository, store, {
        databases: await storeNames(repository, this.#options.store),
        history: this.#history,
        isWanted: (id) => id.startsWith(KEY) || id.startsWith(RECORD),
        isRevocation: (id) => id.startsWith(REVOKED) || id.startsWith(SESSION_PREFIX),
      });
      await this.#createStore(store);
      await this.#revocations(known);
      await this.#keysOf(known);
      await this.#records(known);
    }
    if (users !== undefined)
      await this.#users(
        await readKnownVersions(repository, users, {
          databases: [USERS],
          history: this.#history,
          isWanted: (id) => id.startsWith(USER_ID_PREFIX) && id !== userId(DECOY_NAME),
          isRevocation: () => false,
        }),
      );
    return this.#outcome;
  }

  async #snapshot(database: string): Promise<Snapshot | undefined> {
    const id = Object.hasOwn(this.#section.snapshots, database)
      ? this.#section.snapshots[database]
      : undefined;
    return id === undefined ? undefined : readSnapshot(this.#context.repository, id);
  }

  /** A store that was lost is made again, for server admins only. */
  async #createStore(snapshot: Snapshot): Promise<void> {
    const target = new RestoreTarget(this.#context.couch, this.#options.store);
    if (!this.#options.dryRun && !(await target.exists())) await target.create(snapshot.properties);
  }

  /** Every revocation of every snapshot. All of them are written before the first key. */
  async #revocations({ revocations }: KnownVersions): Promise<void> {
    const outcome = this.#outcome.revocations;
    for (const id of revocations.keys())
      if (id.startsWith(REVOKED)) this.#revoked.add(id.slice(REVOKED.length));
    const live = await this.#live(this.#options.store, [...revocations.keys()]);
    // An ended session without a record was removed when its last token expired.
    const missing = [...revocations].filter(([id]) =>
      id.startsWith(REVOKED) ? live.get(id)?.deleted !== false : !live.has(id),
    );
    outcome.kept += revocations.size - missing.length;
    const results = await this.#write(
      this.#options.store,
      missing.map(([id, leaf]) => ({ id, leaf, rev: undefined })),
    );
    for (const [id] of missing) {
      const result = results.get(id);
      // A conflict is a revocation that somebody else has written meanwhile.
      if (result === 'written' || result === 'conflict') outcome.restored += 1;
      else
        throw new BackupError(
          'A revocation could not be written by enough nodes; no key was restored. Try again when all nodes are up.',
        );
    }
  }

  async #keysOf({ documents, unknown }: KnownVersions): Promise<void> {
    const { store } = this.#options;
    const names = [...documents.keys()].filter((id) => id.startsWith(KEY)).map((id) => id.slice(KEY.length));
    const live = await this.#live(
      store,
      names.flatMap((name) => [KEY + name, REVOKED + name]),
    );
    const users = await this.#live(USERS, names.map(userId));
    const chosen: Wanted[] = [];
    for (const name of names) {
      const { newest } = documents.get(KEY + name) ?? never();
      const present = live.get(KEY + name);
      if (live.get(REVOKED + name)?.deleted === false) this.#revoked.add(name);
      const refusal = this.#revoked.has(name)
        ? 'it is revoked'
        : newest.deleted || present?.deleted === true
          ? 'it was removed later'
          : users.get(userId(name))?.deleted === false
            ? 'a user has this name (H13)'
            : (unknown.get(KEY + name) ?? unknown.get(REVOKED + name));
      if (refusal !== undefined) this.#refuse('keys', name, refusal);
      else if (present === undefined || (await this.#isDescendant(newest, present)))
        chosen.push({ id: KEY + name, leaf: newest, rev: present?.rev });
      else this.#outcome.keys.kept += 1;
    }
    for (const { id } of chosen) this.#keys.add(id.slice(KEY.length));
    await this.#writeKind('keys', store, chosen, KEY);
  }

  /**
   * A record comes back only if there is none, and it is the state that the database mirrors: then nobody's
   * access changes. Couchgate makes the others again from the databases, with a higher revision.
   */
  async #records({ documents, unknown }: KnownVersions): Promise<void> {
    const { store } = this.#options;
    const ids = [...documents.keys()].filter((id) => id.startsWith(RECORD));
    const live = await this.#live(store, ids);
    const chosen: Wanted[] = [];
    for (const id of ids) {
      const { newest, hasConflicts } = documents.get(id) ?? never();
      const database = id.slice(RECORD.length);
      if (live.get(id)?.deleted === false) {
        this.#outcome.permissions.kept += 1;
        continue;
      }
      const refusal =
        newest.deleted || live.has(id)
          ? 'it was removed later'
          : hasConflicts
            ? 'several changes ran at the same time'
            : (unknown.get(id) ?? (await this.#differsFromMirror(database, newest)));
      if (refusal === undefined) chosen.push({ id, leaf: newest, rev: undefined });
      else this.#refuse('permissions', database, refusal);
    }
    await this.#writeKind('permissions', store, chosen, RECORD);
  }

  /** Why a record is not the state that the database has; undefined if it is. */
  async #differsFromMirror(database: string, stored: IndexedLeaf): Promise<string | undefined> {
    const record = stateIn(parsed(await this.#leaf(stored)));
    const source = new DatabaseSource(this.#context.couch, database);
    try {
      const [info, security] = [await source.info(), await source.security()];
      const mirror = mirrorNameIn(security);
      const { generation, revision, stamp } = record;
      if (generation.start !== info.instance_start_time) return 'the database was made again';
      if (record.state !== 'done' || mirror?.generation !== generation.id)
        return 'the database has other permissions';
      if (mirror.revision === revision && mirror.stamp === stamp) return undefined;
      return (mirror.revision ?? 0) > revision
        ? `its revision ${revision} is lower than ${mirror.revision ?? 0}, which is in force`
        : 'the database has older permissions';
    } catch (error) {
      if (error instanceof NoDatabase) return 'there is no such database';
      throw error;
    }
  }

  async #users({ documents, unknown }: KnownVersions): Promise<void> {
    const { overwriteUsers, store } = this.#options;
    const missing = overwriteUsers.find((name) => !documents.has(userId(name)));
    if (missing !== undefined) throw new BackupError(`The section has no user ${JSON.stringify(missing)}.`);
    const live = await this.#live(USERS, [...documents.keys()]);
    const keys = await this.#live(
      store,
      [...documents.keys()]
        .map((id) => id.slice(USER_ID_PREFIX.length))
        .filter(isKeyShaped)
        .flatMap((name) => [KEY + name, REVOKED + name]),
    );
    const chosen: Wanted[] = [];
    for (const [id, version] of documents) {
      const name = id.slice(USER_ID_PREFIX.length);
      const present = live.get(id);
      const isNamed = overwriteUsers.includes(name);
      const isKey = keys.has(KEY + name) || keys.has(REVOKED + name) || this.#keys.has(name);
      const leaf = isNamed ? version.chosen : version.newest;
      const refusal = isKey
        ? 'an API key has this name (H13)'
        : isNamed
          ? undefined
          : version.newest.deleted || present?.deleted === true
            ? 'the user was deleted later; name it with --overwrite-user'
            : unknown.get(id);
      if (refusal !== undefined) this.#refuse('users', name, refusal);
      else if (leaf.attachments.length > 0)
        this.#refuse('users', name, `it has attachments; restore ${USERS} into another database`);
      else if (present === undefined || isNamed || (await this.#isDescendant(leaf, present)))
        chosen.push({ id, leaf, rev: present?.deleted === false ? present.rev : undefined });
      else this.#outcome.users.kept += 1;
    }
    await this.#writeKind('users', USERS, chosen, USER_ID_PREFIX);
  }

  async #writeKind(
    kind: StoreKind,
    database: string,
    wanted: readonly Wanted[],
    prefix: string,
  ): Promise<void> {
    const results = await this.#write(database, wanted);
    for (const { id } of wanted) {
      const result = results.get(id) ?? 'refused';
      if (result === 'written') this.#outcome[kind].restored += 1;
      else this.#refuse(kind, id.slice(prefix.length), NOT_WRITTEN[result]);
    }
  }

  async #write(database: string, wanted: readonly Wanted[]): Promise<ReadonlyMap<string, WriteResult>> {
    if (this.#context.signal?.aborted === true) throw new Cancelled('The restore was cancelled.');
    if (this.#options.dryRun) return new Map(wanted.map(({ id }) => [id, 'written']));
    const documents: { id: string; json: string }[] = [];
    for (const { id, leaf, rev } of wanted)
      documents.push({ id, json: withRevision(await this.#leaf(leaf), rev) });
    return writeDocuments(this.#context.couch, database, documents);
  }

  async #live(database: string, ids: readonly string[]): Promise<ReadonlyMap<string, LiveState>> {
    const { couch } = this.#context;
    // In a dry run, a store that was lost is not made again.
    if (ids.length === 0 || (this.#options.dryRun && !(await new RestoreTarget(couch, database).exists())))
      return new Map();
    return readStates(couch, database, ids);
  }

  async #leaf({ place, hash }: IndexedLeaf): Promise<LeafText> {
    return (await this.#packs.read(place, hash)).leaf;
  }

  /** True if the live document is an older state of the stored one: the store went back to an old copy. */
  async #isDescendant(stored: IndexedLeaf, { rev }: LiveState): Promise<boolean> {
    return rev !== stored.rev && branchOf(parsed(await this.#leaf(stored))).includes(rev);
  }

  #refuse(kind: StoreKind, id: string, reason: string): void {
    this.#outcome[kind].refused.push({ id, reason });
  }
}

interface Wanted {
  readonly id: string;
  readonly leaf: IndexedLeaf;
  /** The revision that it replaces. */
  readonly rev: string | undefined;
}

function newOutcome(): KindOutcome {
  return { restored: 0, kept: 0, refused: [] };
}

function parsed({ raw }: LeafText): JsonObject {
  return parseStored(Buffer.from(raw)) as JsonObject;
}

function never(): never {
  throw new Error('an id of the map has no entry');
}
