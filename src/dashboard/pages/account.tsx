// The page Account: who am I, where my session is good, and the way out.
import { Button } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { API_ROOT, call } from '../api/http.ts';
import { ErrorNotice } from '../parts/error-notice.tsx';
import { Name } from '../parts/name.tsx';
import { useTitle } from '../parts/title.ts';
import { useSession } from '../session/session.tsx';

interface Welcome {
  readonly version?: string;
  readonly vendor?: { readonly name?: string };
}

export function AccountPage() {
  useTitle('Account');
  const { person, leave } = useSession();
  const out = useMutation({ mutationFn: leave });
  const welcome = useQuery({
    queryKey: ['welcome'],
    queryFn: async ({ signal }) => (await call<Welcome>({ path: '', signal })).body,
  });
  const roles = person.roles.filter((role) => role !== '_admin');
  return (
    <>
      <h1>Account</h1>
      {out.isError && <ErrorNotice error={out.error} title="You are still signed in" />}
      <dl className="facts">
        <dt>Signed in as</dt>
        <dd>
          <Name of={person.name} />
        </dd>
        <dt>Kind</dt>
        <dd>
          {person.isOwner
            ? 'Server admin of CouchDB: everything on every database'
            : 'User: what databases grant to this name'}
        </dd>
        {roles.length > 0 && (
          <>
            <dt>Roles in CouchDB</dt>
            <dd>
              {roles.map((role, at) => (
                <span key={role}>
                  {at > 0 && ', '}
                  <Name of={role} />
                </span>
              ))}
            </dd>
          </>
        )}
        <dt>Session</dt>
        <dd>
          In this browser, for this dashboard only. It ends when you sign out, when the password changes, or
          when it is not used for a while.
        </dd>
        <dt>API</dt>
        <dd>
          <code>{API_ROOT}</code>
        </dd>
        {welcome.data?.version !== undefined && (
          <>
            <dt>CouchDB</dt>
            <dd>{welcome.data.version}</dd>
          </>
        )}
      </dl>
      <div className="actions">
        <Button onClick={() => out.mutate()} loading={out.isPending}>
          Sign out
        </Button>
        <a href={`${API_ROOT}_utils/`} rel="noreferrer">
          Open Fauxton for documents, views and replications
        </a>
      </div>
      <p className="hint">Fauxton asks for a sign-in of its own.</p>
    </>
  );
}
