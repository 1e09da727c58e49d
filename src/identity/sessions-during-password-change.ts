// Finds sessions that may have started with a password that was being changed.
import { RecentChanges } from '../invalidation/recent-changes.ts';
import { type Principal } from '../principal/principal.ts';

interface RecentSession {
  readonly name: string;
  readonly begunAt: number;
}

/** Maximum delay of the invalidation of a changed user. */
const SUSPECT_AGE_MS = 5000;

/**
 * Collects sessions of users that started within the last SUSPECT_AGE_MS.
 * The invalidation of a changed user arrives with a delay, and CouchDB accepts the old password for a moment
 * longer. A session that starts in between is bound to the new password, but may have used the old one. It is
 * ended; a user with the new password must sign in again.
 * After the invalidation, credential-check.ts compares passwords with the user document, so later sessions
 * are not suspect.
 */
export class SessionsDuringPasswordChange {
  readonly #now: () => number;
  readonly #changed: RecentChanges;
  /** By session id, the oldest first. */
  readonly #recent = new Map<string, RecentSession>();

  constructor(now: () => number) {
    this.#now = now;
    this.#changed = new RecentChanges(now);
  }

  /** Records the start of a session. */
  begin(id: string, { kind, name }: Principal): void {
    const begunAt = this.#now();
    for (const [old, session] of this.#recent) {
      if (begunAt - session.begunAt < SUSPECT_AGE_MS) break;
      this.#recent.delete(old);
    }
    if (kind === 'user' && this.#changed.isSettled(name)) this.#recent.set(id, { name, begunAt });
  }

  /** Records a change of the user, and returns its suspect sessions. Each session is returned once. */
  takeSuspects(name: string): readonly string[] {
    this.#changed.record(name);
    const now = this.#now();
    const ids = [...this.#recent].filter(
      ([, session]) => session.name === name && now - session.begunAt < SUSPECT_AGE_MS,
    );
    for (const [id] of ids) this.#recent.delete(id);
    return ids.map(([id]) => id);
  }
}
