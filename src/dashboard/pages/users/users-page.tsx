// The page Users: the people and programs of `_users`.
import { Button } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { createUsersDatabase, DECOY, listUsers, type UserList } from '../../api/users.ts';
import { ErrorNotice, QueryError } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { PrefixField, RangePager, useRange } from '../../parts/range-list.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo } from '../../router.ts';
import { CreateUser } from './user-dialogs.tsx';

/** The place of all users in the cache of answers. */
export const USERS_KEY = ['users'];

export function UsersPage() {
  useTitle('Users');
  const { prefix, from } = useRange();
  const [isCreating, setCreating] = useState(false);
  const query = useQuery({
    queryKey: [...USERS_KEY, prefix, from],
    queryFn: ({ signal }) => listUsers({ from, prefix }, signal),
    placeholderData: (before) => before,
  });
  return (
    <>
      <div className="head">
        <h1>Users</h1>
        {query.data != null && <Button onClick={() => setCreating(true)}>Create user</Button>}
      </div>
      <p>
        A user has a name and a password in CouchDB. What it may do is granted on the page Permissions of a
        database. For programs, <a href={linkTo(['keys'])}>API keys</a> are better: they can expire and be
        rotated.
      </p>
      {isCreating && <CreateUser onClose={() => setCreating(false)} />}
      <QueryError query={query} title="The users cannot be read" />
      {query.isPending && <Waiting what="users" />}
      {query.data === null && <NoDatabase />}
      {query.data != null && <Rows list={query.data} prefix={prefix} />}
    </>
  );
}

function NoDatabase() {
  const queries = useQueryClient();
  const creating = useMutation({
    mutationFn: createUsersDatabase,
    onSuccess: () => queries.invalidateQueries({ queryKey: USERS_KEY }),
  });
  return (
    <>
      <p>This cluster has no database for users yet.</p>
      {creating.isError && <ErrorNotice error={creating.error} title="It was not created" />}
      <Button loading={creating.isPending} onClick={() => creating.mutate()}>
        Create the database _users
      </Button>
    </>
  );
}

interface RowsProps {
  readonly list: UserList;
  readonly prefix: string;
}

function Rows({ list: { users, next }, prefix }: RowsProps) {
  return (
    <>
      <div className="tools">
        <PrefixField what="names" />
      </div>
      {users.length === 0 ? (
        <p>{prefix === '' ? 'There are no users yet.' : 'No name begins so.'}</p>
      ) : (
        <table className="list users">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Roles in CouchDB</th>
            </tr>
          </thead>
          <tbody>
            {users.map(({ name, roles }) => (
              <tr key={name}>
                <th scope="row" data-column="Name">
                  {name === DECOY ? (
                    <>
                      <Name of={name} />
                      <span className="tag">Couchgate’s own, nobody can sign in</span>
                    </>
                  ) : (
                    <a href={linkTo(['users', name])}>
                      <Name of={name} />
                    </a>
                  )}
                </th>
                <td data-column="Roles in CouchDB">
                  {roles.length === 0 ? <span className="hint">none</span> : <Name of={roles.join(', ')} />}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <RangePager segments={['users']} next={next} />
    </>
  );
}
