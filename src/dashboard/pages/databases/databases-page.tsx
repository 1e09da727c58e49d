// The page Databases: what there is, how large it is, and who has access.
import { Button } from '@mantine/core';
import { useQueries, useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { type AccessEntry } from '../../api/access.ts';
import { MAX_INFOS, readInfos, type DatabaseInfo } from '../../api/databases.ts';
import { ApiError } from '../../api/http.ts';
import { type Person } from '../../api/session.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { pageOf, Pager, PAGE_SIZE, SearchField, SortHead, useListState } from '../../parts/list.tsx';
import { useTitle } from '../../parts/title.ts';
import { usePainted } from '../../parts/use-painted.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { accessQuery, backupsQuery, databasesQuery } from '../../queries.ts';
import { replaceParameters } from '../../router.ts';
import { useSession } from '../../session/session.tsx';
import { CreateDatabase } from './create-database.tsx';
import { DatabaseRow } from './database-row.tsx';
import { DeleteDatabase } from './delete-database.tsx';
import { OpenByName } from './open-by-name.tsx';
import { SharedRow } from './shared-row.tsx';

export function DatabasesPage() {
  const { person } = useSession();
  const title = person.isOwner ? 'Databases' : 'Shared with you';
  useTitle(title);
  const [isCreating, setCreating] = useState(false);
  const names = useQuery(databasesQuery);
  const isRefused = names.error instanceof ApiError && names.error.status === 403;
  // While a refused list is asked for again, the form stays with what was typed.
  const [wasRefused, setRefused] = useState(false);
  if (isRefused !== wasRefused && !names.isPending) setRefused(isRefused);
  const isClosed = wasRefused && names.data === undefined;
  return (
    <>
      <div className="head">
        <h1>{title}</h1>
        {person.isOwner && <Button onClick={() => setCreating(true)}>Create database</Button>}
      </div>
      {isCreating && <CreateDatabase onClose={() => setCreating(false)} />}
      {isClosed && <OpenByName />}
      {names.isError && !isClosed && (
        <ErrorNotice
          error={names.error}
          title="The databases cannot be read"
          isOldShown={names.data !== undefined}
          onRetry={() => void names.refetch()}
        />
      )}
      {names.isPending && !isClosed && <Waiting what="databases" />}
      {names.data !== undefined && <DatabaseList names={names.data} />}
    </>
  );
}

const BY_INFO: Readonly<Record<string, (info: DatabaseInfo) => number>> = {
  documents: ({ documents }) => documents,
  size: ({ size }) => size,
};

const NONE: readonly string[] = [];

/** Sorting by documents or size needs the infos of all that is listed. */
const MAX_SORTED = 10 * MAX_INFOS;

function DatabaseList({ names }: { readonly names: readonly string[] }) {
  const { search, sort, page } = useListState('name');
  const { person } = useSession();
  const found = useMemo(() => names.filter((name) => name.includes(search)), [names, search]);
  const canSort = found.length <= MAX_SORTED;
  const value = BY_INFO[sort.replace('-', '')];
  const byName = useMemo(() => (sort === '-name' ? [...found].reverse() : found), [found, sort]);
  const needed = value !== undefined && canSort ? found : pageOf(byName, page);
  const isPainted = usePainted();
  const infos = useInfos(isPainted ? needed : NONE);
  const backups = useLastBackups(person.isOwner && isPainted);
  const held = useOwnRoles(person, isPainted);
  const sorted = useMemo(() => {
    if (value === undefined || !canSort) return byName;
    const of = (name: string): number => {
      const info = infos.get(name);
      return info === undefined ? -1 : value(info);
    };
    const ascending = [...found].sort((a, b) => of(a) - of(b));
    return sort.startsWith('-') ? ascending.reverse() : ascending;
  }, [value, canSort, byName, found, infos, sort]);
  const whyNot = canSort ? undefined : `Search first: at most ${MAX_SORTED} databases are sorted by this`;
  // Here, so that a new read that moves or drops the row leaves the dialog open.
  const [deleted, setDeleted] = useState<string>();
  if (names.length === 0) return <NoDatabases isOwner={person.isOwner} />;
  return (
    <>
      {deleted !== undefined && (
        <DeleteDatabase
          name={deleted}
          info={infos.get(deleted)}
          lastBackup={backups && (backups.get(deleted) ?? null)}
          onClose={() => setDeleted(undefined)}
        />
      )}
      <div className="tools">
        <SearchField label="Search by name" />
        <Pager total={found.length} page={page} of={found.length === 1 ? 'database' : 'databases'} />
      </div>
      {held.error !== null && (
        <ErrorNotice error={held.error} title="Your roles cannot be read" onRetry={held.onRetry} />
      )}
      {found.length === 0 ? (
        <p>
          No name contains “{search}”.{' '}
          <Button size="xs" variant="default" onClick={() => replaceParameters({ q: undefined })}>
            Show all
          </Button>
        </p>
      ) : (
        <table className="list databases">
          <thead>
            <tr>
              <SortHead column="name" sort={sort}>
                Name
              </SortHead>
              <SortHead column="documents" sort={sort} whyNot={whyNot} className="number">
                Documents
              </SortHead>
              <SortHead column="size" sort={sort} whyNot={whyNot} className="number">
                Size
              </SortHead>
              <th scope="col">{person.isOwner ? 'Who has access' : 'Your roles'}</th>
              {backups !== undefined && <th scope="col">Last backup</th>}
              <th scope="col">
                <span className="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {pageOf(sorted, page).map((name) =>
              person.isOwner ? (
                <DatabaseRow
                  key={name}
                  name={name}
                  info={infos.get(name)}
                  backups={backups}
                  isDetailed={isPainted}
                  onDelete={setDeleted}
                />
              ) : (
                <SharedRow key={name} name={name} info={infos.get(name)} held={held.byDatabase?.get(name)} />
              ),
            )}
          </tbody>
        </table>
      )}
    </>
  );
}

/** Times of the last complete backup by database; undefined if there are no backups to speak of. */
function useLastBackups(isOwner: boolean): ReadonlyMap<string, string | null> | undefined {
  const { data } = useQuery({ ...backupsQuery, enabled: isOwner, staleTime: 60_000 });
  return useMemo(
    () =>
      data?.enabled === true
        ? new Map((data.databases ?? []).map(({ database, last_success: last }) => [database, last]))
        : undefined,
    [data],
  );
}

/** What a person who is not the owner holds, by database: read at once, in pages of a thousand. */
function useOwnRoles({ name, isOwner }: Person, isWanted: boolean) {
  const { data, error, refetch } = useQuery({ ...accessQuery(name), enabled: !isOwner && isWanted });
  const byDatabase = useMemo(() => {
    if (data === undefined || data === null) return undefined;
    const found = new Map<string, AccessEntry[]>();
    for (const entry of data.databases) {
      const entries = found.get(entry.database);
      if (entries === undefined) found.set(entry.database, [entry]);
      else entries.push(entry);
    }
    return found;
  }, [data]);
  return { byDatabase, error, onRetry: () => void refetch() };
}

/**
 * Infos of these databases, in requests of at most MAX_INFOS names. Empty until they arrive, or if they
 * fail.
 */
function useInfos(names: readonly string[]): ReadonlyMap<string, DatabaseInfo> {
  const size = Math.min(MAX_INFOS, Math.max(PAGE_SIZE, names.length));
  const groups = Array.from({ length: Math.ceil(names.length / size) }, (_, at) =>
    names.slice(at * size, (at + 1) * size),
  );
  return useQueries({
    queries: groups.map((group) => ({
      queryKey: ['infos', group],
      queryFn: ({ signal }: { readonly signal: AbortSignal }) => readInfos(group, signal),
      // Whoever may not ask for many at once still sees the names.
      refetchInterval: false as const,
    })),
    combine: (results) => new Map(results.flatMap(({ data }) => [...(data ?? [])])),
  });
}

function NoDatabases({ isOwner }: { readonly isOwner: boolean }) {
  return isOwner ? (
    <p>There are no databases yet. Create one, then share it on its page Permissions.</p>
  ) : (
    <p>
      No database is shared with you. A server admin can grant you a role on the page Permissions of a
      database.
    </p>
  );
}
