// The requests whose answers several pages share, by their place in the cache.
import { queryOptions } from '@tanstack/react-query';
import { readBackups } from './api/backups.ts';
import { listDatabases } from './api/databases.ts';
import { listPrefixGrants } from './api/grants.ts';
import { findKeys, listKeys, readKey } from './api/keys.ts';
import { readPermissions } from './api/permissions.ts';

export const databasesQuery = queryOptions({
  queryKey: ['databases'],
  queryFn: ({ signal }) => listDatabases(signal),
});

const KEYS = {
  queryKey: ['keys'],
  queryFn: ({ signal }: { readonly signal: AbortSignal }) => listKeys(signal),
} as const;

/** The keys, at most MOST_LISTED. For the owner only. */
export const keysQuery = queryOptions({ ...KEYS, select: ({ keys }) => keys });

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
