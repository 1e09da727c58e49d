// Remembers digests of correct passwords, so that a password is hashed once and not at every sign-in.
import { hash, randomBytes } from 'node:crypto';

/** Names in memory; the oldest is removed first. */
const MAX_KNOWN = 25_000;

/** One password for each name. An account has one password, so any other is wrong. */
export class KnownPasswords {
  readonly #known = new Map<string, { readonly state: string; readonly password: string }>();
  readonly #key = randomBytes(32).toString('hex');

  /** Stores the correct password of a name. `state` identifies its stored hash, and changes with it. */
  store(name: string, state: string, password: string): void {
    this.#known.delete(name);
    const oldest = this.#known.size >= MAX_KNOWN ? this.#known.keys().next() : undefined;
    if (oldest?.done === false) this.#known.delete(oldest.value);
    this.#known.set(name, { state, password: this.#digest(password) });
  }

  forget(name: string): void {
    this.#known.delete(name);
  }

  /** True or false if the password for this stored hash is known and is this one, or another. */
  isCorrect(name: string, state: string, password: string): boolean | undefined {
    const known = this.#known.get(name);
    return known?.state === state ? known.password === this.#digest(password) : undefined;
  }

  #digest(password: string): string {
    return hash('sha256', this.#key + hash('sha256', this.#key + password));
  }
}
