// Describes a refused login for the access log. The client never gets any of it (H12, H23).
import { type KeyStore } from './api-key.ts';
import { type UserCheck } from './user-check.ts';

/**
 * A refused login. `name` is the name that was tried, if a key or a user has it, else UNKNOWN_NAME: people
 * type their password into the field of the name.
 */
export interface RefusedLogin {
  readonly name: string;
  readonly reason: 'wrong password' | 'unknown name' | 'expired' | 'revoked' | 'locked' | 'session ended';
}

/** Why a login was refused. `wrong` stands for an unknown name too; it alone counts for the login limit. */
export type RefusalCause = 'wrong' | 'expired' | 'locked';

/** Brackets are in no name of a key, so no key looks like it. */
export const UNKNOWN_NAME = '(unknown)';

export interface KnownNames {
  readonly keys: Pick<KeyStore, 'recall'>;
  readonly users: Pick<UserCheck, 'recall'>;
}

/**
 * Describes the refusal of `name`. Uses memory only, so that no wait and no read depends on the
 * name. During a lock, a name that this process has not checked yet therefore counts as unknown.
 */
export function describeRefusedLogin(
  name: string,
  cause: RefusalCause,
  { keys, users }: KnownNames,
): RefusedLogin {
  const key = keys.recall(name);
  const isKnown = key !== undefined || users.recall(name);
  const shown = isKnown ? name : UNKNOWN_NAME;
  if (cause === 'locked') return { name: shown, reason: 'locked' };
  if (!isKnown) return { name: shown, reason: 'unknown name' };
  if (key === 'revoked') return { name, reason: 'revoked' };
  return { name, reason: cause === 'expired' ? 'expired' : 'wrong password' };
}
