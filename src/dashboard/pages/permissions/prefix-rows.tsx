// The prefix grants that reach a database: who has roles on it without a row in its permissions.
import { QueryError } from '../../parts/error-notice.tsx';
import { Labelled } from '../../parts/labelled.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { useReach } from '../../parts/use-reach.ts';
import { titleOf } from '../../roles.ts';
import { linkTo } from '../../router.ts';
import { useSession } from '../../session/session.tsx';

interface Props {
  readonly database: string;
  /** True while CouchDB decides: the grants have no effect. */
  readonly isInert: boolean;
}

/** Read-only: a prefix grant is changed on its own page, for all of its databases. */
export function PrefixRows({ database, isInert }: Props) {
  const { isOwner } = useSession().person;
  const { reach, query } = useReach(database);
  const failure = (
    <QueryError query={query} title="The prefix grants cannot be read" isOldShown={reach.length > 0} />
  );
  if (reach.length === 0) return failure;
  return (
    <section aria-labelledby="reach">
      <h2 id="reach">Also by prefix grants</h2>
      <p>
        These names have roles on every database whose name begins in the same way, and so on this one.{' '}
        {isInert && 'They have no effect while CouchDB decides about this database.'}
      </p>
      {failure}
      <table className="list">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">May</th>
            <th scope="col">On the databases</th>
          </tr>
        </thead>
        <tbody>
          {reach.map(({ id, name, roles, pattern, deletes }) => (
            <tr key={id}>
              <th scope="row" data-column="Name">
                <Labelled name={name} />
              </th>
              <td data-column="May">
                {[...roles.map(titleOf), ...(deletes ? ['Delete the database'] : [])].join(', ')}
              </td>
              <td data-column="On the databases">
                {isOwner ? (
                  <a href={linkTo(['grants'])}>
                    <Name of={pattern ?? id} />
                  </a>
                ) : (
                  visible(`prefix grant ${id}`)
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {!isOwner && <p className="hint">A server admin changes them.</p>}
    </section>
  );
}
