// Finds the prefix grants that reach a database.
import { useQuery } from '@tanstack/react-query';
import { readReach, type Reach } from '../api/access.ts';
import { prefixGrantsQuery } from '../queries.ts';
import { useSession } from '../session/session.tsx';

/** The grants that reach the database; `reach` is empty until they are known. */
export function useReach(database: string) {
  const { isOwner } = useSession().person;
  const owner = useQuery({ ...prefixGrantsQuery, enabled: isOwner, staleTime: 60_000 });
  const other = useQuery({
    queryKey: ['reach', database],
    queryFn: ({ signal }) => readReach(database, signal),
    enabled: !isOwner,
  });
  const { data } = owner;
  const ofOwner: readonly Reach[] = (data ?? [])
    .filter((grant) => grant.in_force !== false && database.startsWith(grant.databases.slice(0, -1)))
    .map(({ id, principal, roles, databases, delete: deletes }) => ({
      id,
      name: principal,
      roles,
      pattern: databases,
      deletes,
    }));
  return { reach: isOwner ? ofOwner : (other.data ?? []), query: isOwner ? owner : other };
}
