// The requests whose answers several pages share, by their place in the cache.
import { queryOptions } from '@tanstack/react-query';
import { readAccess } from './api/access.ts';
import { readBackups } from './api/backups.ts';
import { listDatabases } from './api/databases.ts';
import { listPrefixGrants } from './api/grants.ts';
import { type ApiKey, findKeys, listFirstKeys, listKeys, readKey } from './api/keys.ts';
import { readPermissions } from './api/permissions.ts';

export const databasesQuery = queryOptions({
  queryKey: ['databases'],
  queryFn: ({ signal }) => listDatabases(signal),
});

/** Where a name has access: any for the owner, for others their own. */
export function accessQuery(name: string) {
  return queryOptions({
    queryKey: ['access', name],
    queryFn: ({ signal }) => readAccess(name, signal),
  });
}

const KEYS = {
  queryKey: ['keys'],
  queryFn: ({ signal }: { readonly signal: AbortSignal }) => listKeys(signal),
} as const;

/** The keys, at most MAX_LISTED. For the owner only. */
export const keysQuery = queryOptions({ ...KEYS, select: ({ keys }) => keys });

/** The first `limit` keys by name, which are there long before all of them. For the owner only. */
export function firstKeysQuery(limit: number) {
  return queryOptions({
    queryKey: ['keys', 'first', limit],
    queryFn: ({ signal }) => listFirstKeys(limit, signal),
  });
}

/** One index for each list, however many rows look into it. */
const indexes = new WeakMap<readonly ApiKey[], ReadonlyMap<string, ApiKey>>();

/** The keys of `keysQuery` by name. A key beyond them has no entry. For the owner only. */
export const keysByNameQuery = queryOptions({
  ...KEYS,
  select: ({ keys }) => {
    const index = indexes.get(keys) ?? new Map(keys.map((key) => [key.key, key]));
    indexes.set(keys, index);
    return index;
  },
});

/** False if `keysQuery` has a part of the keys only. */
export const areAllKeysQuery = queryOptions({ ...KEYS, select: ({ isComplete }) => isComplete });

/** One key; null = no such key. For the owner only. */
export function keyQuery(name: string) {
  return queryOptions({
    queryKey: ['keys', 'one', name],
    queryFn: ({ signal }) => readKey(name, signal),
  });
}

/** Keys that the server looks for, at most `most`. For the owner only. */
export function foundKeysQuery(most: number, search: string, show = 'all') {
  return queryOptions({
    queryKey: ['keys', 'found', most, search, show],
    queryFn: ({ signal }) => findKeys(most, { search, show }, signal),
  });
}

/** For the owner only. */
export const prefixGrantsQuery = queryOptions({
  queryKey: ['prefix grants'],
  queryFn: ({ signal }) => listPrefixGrants(signal),
});

/** The place of all about backups in the cache of answers. */
export const BACKUPS_KEY = ['backups'];

/** For the owner only. */
export const backupsQuery = queryOptions({
  queryKey: BACKUPS_KEY,
  queryFn: ({ signal }) => readBackups(signal),
});

export function permissionsQuery(database: string) {
  return queryOptions({
    queryKey: ['permissions', database],
    queryFn: ({ signal }) => readPermissions(database, signal),
  });
}
