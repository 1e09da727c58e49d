// One database of the list.
import { ActionIcon, Menu } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { deleteDatabase, type DatabaseInfo } from '../../api/databases.ts';
import { ApiError } from '../../api/http.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Name } from '../../parts/name.tsx';
import { Padlock } from '../../parts/padlock.tsx';
import { sizeInWords } from '../../parts/size.ts';
import { type Access, accessIn, rolesIn } from '../../permission-edits.ts';
import { areAllKeysQuery, databasesQuery, keysQuery, permissionsQuery } from '../../queries.ts';
import { useReach } from '../../parts/use-reach.ts';
import { mayHaveGrants } from '../../roles.ts';
import { linkTo } from '../../router.ts';
import { useSession } from '../../session/session.tsx';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
  /** Times of the last backups; undefined = there is no column for them. */
  readonly backups: ReadonlyMap<string, string | null> | undefined;
}

export function DatabaseRow({ name, info, backups }: Props) {
  const { person } = useSession();
  const isGrantable = mayHaveGrants(name);
  const permissions = useQuery({ ...permissionsQuery(name), enabled: isGrantable });
  const isClosed =
    !isGrantable || (permissions.error instanceof ApiError && permissions.error.status === 403);
  const access = permissions.data === undefined ? undefined : accessIn(permissions.data.document);
  const link = linkTo(['databases', name, 'permissions']);
  return (
    <tr>
      <th scope="row" data-column="Name">
        <a href={linkTo(['databases', name, 'documents'])}>
          <Name of={name} />
        </a>
        {info?.isPartitioned === true && <span className="tag">partitioned</span>}
        {name.startsWith('_') && <span className="tag">system</span>}
      </th>
      <td className="number" data-column="Documents">
        {info?.documents.toLocaleString('en') ?? '–'}
      </td>
      <td className="number" data-column="Size">
        {info === undefined ? '–' : sizeInWords(info.size)}
      </td>
      <td data-column={person.isOwner ? 'Access' : 'Your roles'}>
        {isClosed && <span className="hint">{closedWords(isGrantable, person.isOwner)}</span>}
        {access !== undefined &&
          (person.isOwner ? (
            <a href={link} className="quiet">
              <AccessInWords database={name} access={access} />
            </a>
          ) : (
            rolesIn(permissions.data?.document ?? {}, person.name).map((role) => (
              <code key={role} className="tag">
                {role}
              </code>
            ))
          ))}
        {permissions.isError && !isClosed && <span className="hint">cannot be read</span>}
      </td>
      {backups !== undefined && (
        <td data-column="Last backup">
          <Moment key={backups.get(name)} at={backups.get(name) ?? null} absent="never" />
        </td>
      )}
      <td className="row-actions">
        {!isClosed && (
          <a href={link} className="icon-link" aria-label={`Permissions of ${name}`} title="Permissions">
            <Padlock isOpen={access?.kind === 'public'} />
          </a>
        )}
        {!isClosed && !name.startsWith('_') && <MoreActions name={name} info={info} />}
      </td>
    </tr>
  );
}

/** Needs the list of keys to tell keys from users; without it, it counts names. */
function AccessInWords({ database, access }: { readonly database: string; readonly access: Access }) {
  const { reach } = useReach(database);
  const prefixes = reach.length === 0 ? '' : `${reach.length.toLocaleString('en')} by prefix`;
  const options = { enabled: access.kind === 'names', staleTime: 60_000 };
  const keys = useQuery({ ...keysQuery, ...options });
  const areAll = useQuery({ ...areAllKeysQuery, ...options }).data;
  switch (access.kind) {
    case 'couchdb':
      return <>CouchDB decides</>;
    case 'owner':
      return prefixes === '' ? <span className="hint">Server admins only</span> : <>{prefixes}</>;
    case 'public': {
      const can = access.roles.includes('_writer')
        ? 'write'
        : access.roles.includes('_reader')
          ? 'read'
          : 'limited';
      return (
        <>
          <strong className="public">Public</strong> ({can})
          {access.names > 0 && `, ${counted(access.names, 'name')}`}
          {prefixes !== '' && `, ${prefixes}`}
        </>
      );
    }
    case 'names': {
      const known = new Set(keys.data?.map(({ key }) => key));
      const ofKeys = access.names.filter((name) => known.has(name)).length;
      const others = access.names.length - ofKeys;
      if (keys.data === undefined || areAll !== true) return <>{counted(access.names.length, 'name')}</>;
      return (
        <>
          {[
            ...(ofKeys > 0 ? [counted(ofKeys, 'key')] : []),
            ...(others > 0 ? [counted(others, 'user')] : []),
            ...(prefixes === '' ? [] : [prefixes]),
          ].join(', ')}
        </>
      );
    }
  }
}

function closedWords(isGrantable: boolean, isOwner: boolean): string {
  if (!isGrantable) return 'Server admins only';
  return isOwner ? 'Closed for everybody' : 'You may not see its permissions';
}

const counted = (count: number, word: string): string =>
  `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

function MoreActions({ name, info }: Pick<Props, 'name' | 'info'>) {
  const { person } = useSession();
  const queries = useQueryClient();
  const [isDeleting, setDeleting] = useState(false);
  if (!person.isOwner) return null;
  const documents = info === undefined ? 'all its documents' : counted(info.documents, 'document');
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon aria-label={`More actions on ${name}`}>⋯</ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item className="bad" onClick={() => setDeleting(true)}>
            Delete database…
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {isDeleting && (
        <ConfirmDialog
          title="Delete database"
          action="Delete database"
          typed={name}
          run={async () => {
            await deleteDatabase(name);
            await queries.invalidateQueries({ queryKey: databasesQuery.queryKey });
          }}
          onClose={() => setDeleting(false)}
        >
          <p>
            <Name of={name} /> is deleted with {documents} and its permissions. This cannot be undone.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
