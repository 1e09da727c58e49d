// The page of one user: roles, where it has access, and what can be done with it.
import { Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { DECOY, deleteUser, readUser, type User } from '../../api/users.ts';
import { AccessList } from '../../parts/access-list.tsx';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { QueryError } from '../../parts/error-notice.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { goTo, linkTo } from '../../router.ts';
import { ChangeRoles, SetPassword } from './user-dialogs.tsx';
import { USERS_KEY } from './users-page.tsx';

export function UserPage({ name }: { readonly name: string }) {
  useTitle(name);
  const query = useQuery({
    queryKey: [...USERS_KEY, 'one', name],
    queryFn: ({ signal }) => readUser(name, signal),
  });
  return (
    <>
      <p className="crumbs">
        <a href={linkTo(['users'])}>Users</a>
      </p>
      {query.isPending && <Waiting what="the user" />}
      <QueryError query={query} title="The user cannot be read" />
      {query.data === null && (
        <>
          <h1>No such user</h1>
          <p>
            <Name of={name} /> does not exist, or was deleted.
          </p>
        </>
      )}
      {query.data != null && <Facts user={query.data} />}
    </>
  );
}

type Action = 'password' | 'roles' | 'delete';

function Facts({ user: { name, roles } }: { readonly user: User }) {
  const [action, setAction] = useState<Action>();
  const close = (): void => setAction(undefined);
  return (
    <>
      <h1>{visible(name)}</h1>
      <dl className="facts">
        <dt>Roles in CouchDB</dt>
        <dd>{roles.length === 0 ? 'none' : <Name of={roles.join(', ')} />}</dd>
        <dt>Password</dt>
        <dd>stored as a hash, which is not shown</dd>
      </dl>
      {name !== DECOY && (
        <div className="actions">
          <Button variant="default" onClick={() => setAction('password')}>
            Change password…
          </Button>
          <Button variant="default" onClick={() => setAction('roles')}>
            Change roles…
          </Button>
          <Button variant="subtle" color="red" onClick={() => setAction('delete')}>
            Delete user…
          </Button>
        </div>
      )}
      <AccessList name={name} />
      <p className="spaced">
        <a href={linkTo(['log'], { principal: name })}>Its requests in the access log</a>
      </p>
      {action === 'password' && <SetPassword name={name} onClose={close} />}
      {action === 'roles' && <ChangeRoles name={name} roles={roles} onClose={close} />}
      {action === 'delete' && <DeleteUser name={name} onClose={close} />}
    </>
  );
}

function DeleteUser({ name, onClose }: { readonly name: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title="Delete user"
      action="Delete user"
      typed={name}
      run={async () => {
        await deleteUser(name);
        goTo(linkTo(['users']));
        await queries.invalidateQueries({ queryKey: USERS_KEY });
      }}
      onClose={onClose}
    >
      <p>
        <Name of={name} /> can no longer sign in, and its sessions end. Rows with its name stay on the
        databases that grant it roles: a later user of the same name would have them.
      </p>
    </ConfirmDialog>
  );
}
