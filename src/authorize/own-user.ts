// Decides about one's own document of `_users`, and about sign-up. Without their settings, only the owner may
// use `_users`.
import { endpoint } from '../catalogue/catalogue.ts';
import { type Operation } from '../catalogue/operation.ts';
import { type Settings } from '../config/settings.ts';
import { type AllowedRule, type Decision } from '../context.ts';
import { userId } from '../couch/user-id.ts';
import { NO_ROLES } from '../permissions/role.ts';
import { type Principal } from '../principal/principal.ts';

export type UserSettings = Pick<Settings, 'usersOwnDocument' | 'usersSignUp'>;

const ALLOWED = {
  read: allow('users-own-read', 'own user document'),
  write: allow('users-own-write', 'own user document'),
  signUp: allow('users-sign-up', 'sign-up'),
};

/**
 * `undefined` = the settings open nothing, or the document is another one's. The name of a user is unique: no
 * key and no owner has it (H13), so the id alone says whose the document is.
 */
export function decideOwnUser(
  { usersOwnDocument, usersSignUp }: UserSettings,
  { kind, name }: Principal,
  { userDocument, documentId }: Operation,
): Decision | undefined {
  if (userDocument === undefined) return undefined;
  if (kind === 'nobody') return userDocument === 'write' && usersSignUp === 'on' ? ALLOWED.signUp : undefined;
  if (kind !== 'user' || documentId !== userId(name)) return undefined;
  if (userDocument === 'read') return usersOwnDocument === 'off' ? undefined : ALLOWED.read;
  return usersOwnDocument === 'write' ? ALLOWED.write : undefined;
}

function allow(id: Parameters<typeof endpoint>[0], rule: AllowedRule): Decision {
  return Object.freeze({
    allow: true as const,
    endpoint: endpoint(id),
    privilege: 'none' as const,
    identity: 'marker' as const,
    roles: NO_ROLES,
    rule,
  });
}
