// Knows which sessions may have been begun with a password that had just been changed. Ending them is session-store.ts's business.
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { type Principal } from '../principal/principal.ts';

interface RecentSession {
  readonly name: string;
  readonly begunAt: number;
}

/** News of a changed user is here by then. */
const SUSPECT_AGE_MS = 5000;

/**
 * News of a changed user takes a moment to come, and CouchDB takes the old password for a moment longer: a session that is begun then is
 * bound to the new password and may have been begun with the old one. Whoever has the new one signs in once more.
 * Once the news is here, the user's document itself is asked (credential-check.ts), and its sessions are above suspicion.
 */
export class SessionsDuringPasswordChange {
  readonly #now: () => number;
  readonly #changed: RecentChanges;
  /** By id, in the order of their beginning. */
  readonly #young = new Map<string, RecentSession>();

  constructor(now: () => number) {
    this.#now = now;
    this.#changed = new RecentChanges(now);
  }

  begin(id: string, { kind, name }: Principal): void {
    const begunAt = this.#now();
    for (const [old, young] of this.#young) {
      if (begunAt - young.begunAt < SUSPECT_AGE_MS) break;
      this.#young.delete(old);
    }
    if (kind === 'user' && this.#changed.isSettled(name)) this.#young.set(id, { name, begunAt });
  }

  /** The user has changed: its sessions that are under suspicion, once. */
  suspects(name: string): readonly string[] {
    this.#changed.record(name);
    const now = this.#now();
    const ids = [...this.#young].filter(
      ([, young]) => young.name === name && now - young.begunAt < SUSPECT_AGE_MS,
    );
    for (const [id] of ids) this.#young.delete(id);
    return ids.map(([id]) => id);
  }
}
