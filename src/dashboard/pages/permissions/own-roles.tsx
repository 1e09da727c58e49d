// What a person who may not see the permissions of a database holds on it.
import { useQuery } from '@tanstack/react-query';
import { accessQuery } from '../../queries.ts';
import { inOrder, titlesOf } from '../../roles.ts';
import { useSession } from '../../session/session.tsx';

/** Nothing for the owner, and where the server does not tell. */
export function OwnRoles({ database }: { readonly database: string }) {
  const { person } = useSession();
  const { data } = useQuery({ ...accessQuery(person.name), enabled: !person.isOwner });
  if (data === undefined || data === null) return null;
  const held = data.databases.filter((entry) => entry.database === database);
  const roles = inOrder(held.flatMap((entry) => entry.roles));
  if (held.some(({ source }) => source === 'couchdb'))
    return <p>CouchDB’s members and admins say what you may do on it.</p>;
  return (
    <p>
      {roles.length === 0 ? (
        'You hold no role on it.'
      ) : (
        <>
          Your roles on it: <strong>{titlesOf(roles)}</strong>.
        </>
      )}
    </p>
  );
}
