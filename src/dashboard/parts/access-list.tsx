// Where a name has access: the databases that grant it roles.
import { useQuery } from '@tanstack/react-query';
import { type AccessEntry, type AccessOfName, readAccess } from '../api/access.ts';
import { titlesOf } from '../roles.ts';
import { linkTo } from '../router.ts';
import { ErrorNotice } from './error-notice.tsx';
import { Foreign, Name, visible } from './name.tsx';
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
  const sourceOf = ({ source, grant }: AccessEntry): string =>
    grant === undefined
      ? (SOURCES[source] ?? visible(source))
      : `prefix grant on ${visible(patterns.get(grant) ?? grant)}`;
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
        {databases.map((entry) => {
          const { database, roles } = entry;
          return (
            <tr key={`${database} ${entry.grant ?? entry.source}`}>
              <th scope="row" data-column="Database">
                <a href={linkTo(['databases', database, 'permissions'])}>
                  <Name of={database} />
                </a>
              </th>
              <td data-column="Roles">
                {roles.length === 0 ? (
                  <span className="hint">as CouchDB decides</span>
                ) : (
                  <Foreign text={titlesOf(roles)} />
                )}
              </td>
              <td data-column="Granted by">{sourceOf(entry)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
