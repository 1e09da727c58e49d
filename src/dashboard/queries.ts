// The requests whose answers several pages share, by their place in the cache.
import { queryOptions } from '@tanstack/react-query';
import { readBackups } from './api/backups.ts';
import { listDatabases } from './api/databases.ts';
import { listPrefixGrants } from './api/grants.ts';
import { listKeys } from './api/keys.ts';
import { readPermissions } from './api/permissions.ts';

export const databasesQuery = queryOptions({
  queryKey: ['databases'],
  queryFn: ({ signal }) => listDatabases(signal),
});

/** For the owner only. */
export const keysQuery = queryOptions({
  queryKey: ['keys'],
  queryFn: ({ signal }) => listKeys(signal),
});

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
