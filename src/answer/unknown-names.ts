// Finds names in a change of permissions that nobody has. Only the owner may learn them (H23).
import { type Couch } from '../couch/couch.ts';
import { type KeyStore, type KeySummary } from '../identity/api-key.ts';
import { readAdmin, usersAmong } from '../identity/couch-accounts.ts';
import { type DatabasePermissions } from '../permissions/grants.ts';
import { NO_ROLES } from '../permissions/role.ts';

export interface KnownNamesDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly keys: Pick<KeyStore, 'named' | 'describe'>;
}

/** Names that are looked up; a program that writes thousands of them at once does not read warnings. */
const MAX_NAMES = 100;
const MAX_WARNINGS = 10;

/**
 * Sentences on names that gained a role and are neither a key, nor a user, nor a server admin, nor `nobody`.
 * Nothing if the names cannot be read: the change is in force in any case.
 */
export async function warningsOnNames(
  deps: KnownNamesDeps,
  before: DatabasePermissions,
  after: DatabasePermissions,
): Promise<readonly string[]> {
  const gained = [...after.grants].filter(
    ([name, roles]) => name !== 'nobody' && (roles & ~(before.grants.get(name) ?? NO_ROLES)) !== 0,
  );
  return warningsOnUnknown(
    deps,
    gained.slice(0, MAX_NAMES).map(([name]) => name),
  );
}

/** As `warningsOnNames`, for at most MAX_NAMES names. */
export async function warningsOnUnknown(
  deps: KnownNamesDeps,
  names: readonly string[],
): Promise<readonly string[]> {
  try {
    const unknown = await unknownAmong(deps, names);
    return unknown
      .slice(0, MAX_WARNINGS)
      .map((name) => `no such key or user: ${JSON.stringify(name)}`)
      .concat(
        unknown.length > MAX_WARNINGS ? [`no such key or user: ${unknown.length - MAX_WARNINGS} more`] : [],
      );
  } catch {
    return [];
  }
}

async function unknownAmong({ couch, keys }: KnownNamesDeps, names: readonly string[]): Promise<string[]> {
  const named = await keys.named(names);
  const missing = names.filter((name) => !isKey(named.get(name)));
  // A key that was created a moment ago may be missing in a list.
  const areKeys = await Promise.all(missing.map((name) => keys.describe(name)));
  const others = missing.filter((_, at) => areKeys[at] === undefined);
  const users = await usersAmong(couch, others);
  if (users === undefined) return [];
  const strangers = others.filter((name) => !users.has(name));
  const admins = await Promise.all(strangers.map((name) => readAdmin(couch, '_local', name)));
  return strangers.filter((_, at) => admins[at] === undefined);
}

/** A grant of a revoked key has no effect. */
function isKey(found: KeySummary | 'revoked' | undefined): boolean {
  return found !== undefined && found !== 'revoked';
}
