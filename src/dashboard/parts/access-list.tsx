// Where a name has access: the databases that grant it roles.
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { type AccessEntry, type AccessOfName } from '../api/access.ts';
import { accessQuery } from '../queries.ts';
import { titlesOf } from '../roles.ts';
import { linkTo } from '../router.ts';
import { QueryError } from './error-notice.tsx';
import {
  NoMatch,
  PAGE_SIZE,
  pageOf,
  Pager,
  SearchField,
  SortHeads,
  sortedBy,
  useListState,
} from './list.tsx';
import { Foreign, Name, visible } from './name.tsx';
import { Waiting } from './waiting.tsx';

/** Nothing, if the server cannot tell where a name has access. */
export function AccessList({ name }: { readonly name: string }) {
  const access = useQuery(accessQuery(name));
  if (access.isPending) return <Waiting what="its databases" />;
  const failure = (
    <QueryError query={access} title="Its databases cannot be read" isOldShown={access.data != null} />
  );
  if (access.data == null) return failure;
  return (
    <>
      <h2>Databases and roles</h2>
      {failure}
      <Further access={access.data} />
      {access.data.databases.length === 0 ? (
        <p>
          No database grants it a role. Open the permissions of a <a href={linkTo(['databases'])}>database</a>{' '}
          and add it there.
        </p>
      ) : (
        <AccessTable access={access.data} />
      )}
    </>
  );
}

/** What reaches further than one database. */
function Further({ access: { patterns, isMonitor } }: { readonly access: AccessOfName }) {
  return (
    <>
      {patterns.size > 0 && (
        <p>
          <a href={linkTo(['grants'])}>Prefix grants</a> reach every database of{' '}
          {[...patterns.values()].map((pattern, at) => (
            <span key={pattern}>
              {at > 0 && ', '}
              <Name of={pattern} />
            </span>
          ))}
          .
        </p>
      )}
      {isMonitor && (
        <p>
          It is a <a href={linkTo(['grants'])}>monitor</a>: it may read numbers about the cluster.
        </p>
      )}
    </>
  );
}

const SOURCES: Readonly<Record<string, string>> = {
  _security: 'the permissions of the database',
  owner: 'being a server admin',
  couchdb: 'CouchDB’s members and admins',
};

function AccessTable({ access: { databases, patterns } }: { readonly access: AccessOfName }) {
  const { search, sort, page } = useListState('database');
  const rows = useMemo(
    () =>
      databases.map((entry) => ({
        entry,
        database: entry.database,
        roles: titlesOf(entry.roles),
        source: sourceOf(entry, patterns),
      })),
    [databases, patterns],
  );
  const found = useMemo(
    () =>
      sortedBy(
        rows.filter(({ database }) => database.includes(search)),
        sort,
        VALUES,
      ),
    [rows, search, sort],
  );
  return (
    <>
      {rows.length > PAGE_SIZE && (
        <div className="tools">
          <SearchField label="Search by name of the database" />
          <Pager total={found.length} page={page} of={found.length === 1 ? 'database' : 'databases'} />
        </div>
      )}
      {found.length === 0 && <NoMatch what="database" />}
      <table className="list" hidden={found.length === 0}>
        <thead>
          <tr>
            <SortHeads columns={COLUMNS} sort={sort} />
          </tr>
        </thead>
        <tbody>
          {pageOf(found, page).map(({ entry, database, roles, source }) => (
            <tr key={`${database} ${entry.grant ?? entry.source}`}>
              <th scope="row" data-column="Database">
                <a href={linkTo(['databases', database, 'permissions'])}>
                  <Name of={database} />
                </a>
              </th>
              <td data-column="Roles">
                {roles === '' ? <span className="hint">as CouchDB decides</span> : <Foreign text={roles} />}
              </td>
              <td data-column="Granted by">{source}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const COLUMNS = [
  ['database', 'Database'],
  ['roles', 'Roles'],
  ['source', 'Granted by'],
] as const;

interface Row {
  readonly database: string;
  readonly roles: string;
  readonly source: string;
}

const VALUES: Readonly<Record<string, (row: Row) => string>> = {
  database: ({ database }) => database,
  roles: ({ roles }) => roles,
  source: ({ source }) => source,
};

function sourceOf({ source, grant }: AccessEntry, patterns: AccessOfName['patterns']): string {
  return grant === undefined
    ? (SOURCES[source] ?? visible(source))
    : `prefix grant on ${visible(patterns.get(grant) ?? grant)}`;
}
