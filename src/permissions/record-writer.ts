// Writes one leaf of a permission record: acknowledged by a majority of the copies, or withdrawn.
import { type Leaf, type RecordState } from './record-document.ts';
import { type PermissionRecord } from './record-leaves.ts';
import {
  GIVE_UP_MS,
  pause,
  type Authorship,
  type Finished,
  type PermissionRecordsOptions,
} from './record-protocol.ts';
import { stateOfDeletion } from './record-states.ts';

export class RecordWriter {
  readonly #options: PermissionRecordsOptions;

  constructor(options: PermissionRecordsOptions) {
    this.#options = options;
  }

  /**
   * Writes a leaf on top of what was read. Resolves with it if a majority has it; else it is withdrawn, and
   * the caller begins again. Throws `Unavailable`.
   */
  async writeLeaf(
    database: string,
    state: RecordState,
    record: PermissionRecord | undefined,
  ): Promise<Leaf | undefined> {
    const { copies, step, onWritten } = this.#options;
    const [parent, ...others] = record?.leaves ?? [];
    const written = await copies.write(database, state, parent?.rev);
    await step?.(state.state);
    if (written.outcome === 'acknowledged') {
      if (record !== undefined) {
        await copies.deleteLeaves(database, [...others.map(({ rev }) => rev), ...record.superseded]);
        await copies.purge(database, record);
      }
      await onWritten(database, written.rev, state);
      return { ...state, rev: written.rev, isWithdrawn: false };
    }
    if (written.outcome === 'partial') await copies.withdraw(database, written.rev, record?.state);
    if (written.outcome === 'unknown') await this.#withdrawLost(database, state, record);
    return undefined;
  }

  /**
   * Takes all grants of a deleted database away, unless it was made again meanwhile. A failure leaves a
   * record of a generation that no database has; it grants nothing to a database that is made again. Resolves
   * with the change; `undefined` = there was nothing to take away. Throws `Unavailable`.
   */
  async voidDeleted(
    database: string,
    generation: string | undefined,
    by: Authorship,
  ): Promise<Finished | undefined> {
    const { copies, now } = this.#options;
    for (const until = now() + GIVE_UP_MS; generation !== undefined && now() < until;) {
      const record = await copies.read(database);
      if (record === undefined || record.state.generation.id !== generation) return undefined;
      if (record.state.generation.start === null) return undefined;
      const state = stateOfDeletion(record, by, now());
      if ((await this.writeLeaf(database, state, record)) !== undefined)
        return { state, before: record.state.security };
      await pause(this.#options, 50);
    }
    return undefined;
  }

  /** The answer to the write was lost, so its leaf is looked for by the id of its change. */
  async #withdrawLost(
    database: string,
    { recent: [change] }: RecordState,
    before: PermissionRecord | undefined,
  ): Promise<void> {
    const { copies } = this.#options;
    const record = await copies.read(database);
    const own = record?.leaves.find((leaf) => leaf.recent[0]?.id === change?.id);
    if (own !== undefined) await copies.withdraw(database, own.rev, before?.state);
  }
}
