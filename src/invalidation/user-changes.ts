// Numbers the changes of users, so that a request can tell after a wait whether its user changed (H19).
import { type InvalidationBus } from './bus.ts';

/** Users whose last change is remembered: those that change while one request waits. */
const MAX_USERS = 100_000;

export class UserChanges {
  /** The number of each user's last change, oldest first. */
  readonly #last = new Map<string, number>();
  readonly #maxUsers: number;
  #count = 0;
  /** The last change of the users that are remembered no longer. */
  #forgotten = 0;

  constructor(bus: Pick<InvalidationBus, 'onMessage'>, maxUsers = MAX_USERS) {
    this.#maxUsers = maxUsers;
    bus.onMessage((message) => {
      if (message.kind === 'user') this.#record(message.name);
    });
  }

  /** Number of changes so far. */
  get count(): number {
    return this.#count;
  }

  /** True if the user has changed since `count` was `since`; also if that is remembered no longer. */
  hasChanged(name: string, since: number): boolean {
    return (this.#last.get(name) ?? this.#forgotten) > since;
  }

  #record(name: string): void {
    this.#count += 1;
    this.#last.delete(name);
    this.#last.set(name, this.#count);
    if (this.#last.size <= this.#maxUsers) return;
    for (const [oldest, change] of this.#last) {
      this.#last.delete(oldest);
      this.#forgotten = change;
      return;
    }
  }
}
