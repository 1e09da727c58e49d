// Tells the listeners of acknowledged changes what has changed.
import { type WriteLog } from '../couch/outage.ts';
import { type AcknowledgedChange, type ChangeListener } from './change.ts';
import { mirrorOf, permissionsOfForm } from './record-document.ts';
import { type Finished } from './record-protocol.ts';

export class ChangeAnnouncer {
  readonly #report: WriteLog;
  readonly #listeners: ChangeListener[] = [];

  constructor(report: WriteLog) {
    this.#report = report;
  }

  onAcknowledged(listener: ChangeListener): void {
    this.#listeners.push(listener);
  }

  /** Calls the listeners, one after the other; a failure of one is logged. Resolves with what they got. */
  async announce(database: string, { state, before }: Finished): Promise<AcknowledgedChange> {
    const change: AcknowledgedChange = {
      database,
      before: permissionsOfForm(before, database, true),
      after: permissionsOfForm(state.security, database, true),
      generation: state.generation.id,
      revision: state.revision,
      id: state.recent[0]?.id ?? '',
      document: mirrorOf(state, database),
      by: state.by,
      via: state.via,
      at: state.at,
      reason: state.reason,
      requestId: state.requestId,
    };
    for (const listener of this.#listeners) {
      try {
        await listener(change);
      } catch {
        const { revision } = change;
        this.#report('a listener of permission changes failed', { database, revision });
      }
    }
    return change;
  }
}
