// Where a name has access: the databases that grant it roles.
import { useQuery } from '@tanstack/react-query';
import { type AccessEntry, readAccess } from '../api/permissions.ts';
import { linkTo } from '../router.ts';
import { ErrorNotice } from './error-notice.tsx';
import { Name, visible } from './name.tsx';
import { Waiting } from './waiting.tsx';

/** The query of the list, for those who change what it shows. */
export const accessKey = (name: string): readonly string[] => ['access', name];

/** Nothing, if the server cannot tell where a name has access. */
export function AccessList({ name }: { readonly name: string }) {
  const access = useQuery({
    queryKey: accessKey(name),
    queryFn: ({ signal }) => readAccess(name, signal),
  });
  if (access.isError)
    return (
      <ErrorNotice
        error={access.error}
        title="Its databases cannot be read"
        onRetry={() => void access.refetch()}
      />
    );
  if (access.isPending) return <Waiting what="its databases" />;
  if (access.data === null) return null;
  return (
    <>
      <h2>Databases and roles</h2>
      {access.data.length === 0 ? (
        <p>No database grants it a role. Open the permissions of a database and add it.</p>
      ) : (
        <AccessTable entries={access.data} />
      )}
    </>
  );
}

const SOURCES: Readonly<Record<string, string>> = {
  _security: 'its permissions',
  owner: 'being a server admin',
  couchdb: 'CouchDB: its members and admins',
};

function AccessTable({ entries }: { readonly entries: readonly AccessEntry[] }) {
  return (
    <table className="list">
      <thead>
        <tr>
          <th scope="col">Database</th>
          <th scope="col">Roles</th>
          <th scope="col">Granted by</th>
        </tr>
      </thead>
      <tbody>
        {entries.map(({ database, roles, source }) => (
          <tr key={`${database} ${source}`}>
            <th scope="row" data-column="Database">
              <a href={linkTo(['databases', database, 'permissions'])}>
                <Name of={database} />
              </a>
            </th>
            <td data-column="Roles">{roles.join(', ')}</td>
            <td data-column="Granted by">{SOURCES[source] ?? visible(source)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
