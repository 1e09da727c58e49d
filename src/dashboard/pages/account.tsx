// The page Account: who am I, where my session is good, and the way out.
import { Button } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { API_ROOT, call, callBlob } from '../api/http.ts';
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
  // A listener of the dashboard alone, and a node without Fauxton, refuse it.
  const fauxton = useQuery({
    queryKey: ['fauxton'],
    queryFn: ({ signal }) => callBlob({ path: '_utils/', signal }),
    staleTime: Infinity,
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
          In this browser and for this dashboard only: other programs, and Fauxton, do not get it. It ends
          when you sign out, when the password changes, or when it is not used for a while.
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
      <Button onClick={() => out.mutate()} loading={out.isPending}>
        Sign out
      </Button>
      <h2>Fauxton</h2>
      <p>CouchDB’s own interface is for what this dashboard is not for: views, indexes, replications.</p>
      {fauxton.isSuccess && (
        <p>
          <a href={`${API_ROOT}_utils/`} rel="noreferrer">
            Open Fauxton
          </a>
          . It asks for a sign-in of its own.
        </p>
      )}
      {fauxton.isError && <p className="hint">This server does not serve it at this address.</p>}
    </>
  );
}
