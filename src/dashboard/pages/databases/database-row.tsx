// One database of the list.
import { Menu } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { memo, useState } from 'react';
import { deleteDatabase, type DatabaseInfo } from '../../api/databases.ts';
import { ApiError } from '../../api/http.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Name } from '../../parts/name.tsx';
import { Padlock } from '../../parts/padlock.tsx';
import { RowMenu } from '../../parts/row-menu.tsx';
import { type Access, accessIn } from '../../permission-edits.ts';
import { areAllKeysQuery, databasesQuery, keysByNameQuery, permissionsQuery } from '../../queries.ts';
import { useReach } from '../../parts/use-reach.ts';
import { mayHaveGrants } from '../../roles.ts';
import { linkTo } from '../../router.ts';
import { FactCells } from './fact-cells.tsx';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
  /** Times of the last backups; undefined = there is no column for them. */
  readonly backups: ReadonlyMap<string, string | null> | undefined;
  /** False while only the names are shown. */
  readonly isDetailed: boolean;
}

export const DatabaseRow = memo(function DatabaseRow({ name, info, backups, isDetailed }: Props) {
  const isGrantable = mayHaveGrants(name);
  const permissions = useQuery({ ...permissionsQuery(name), enabled: isGrantable && isDetailed });
  const isClosed =
    !isGrantable || (permissions.error instanceof ApiError && permissions.error.status === 403);
  const access = permissions.data === undefined ? undefined : accessIn(permissions.data.document);
  const link = linkTo(['databases', name, 'permissions']);
  return (
    <tr>
      <FactCells name={name} info={info} />
      <td data-column="Access">
        {isClosed && (
          <span className="hint">{isGrantable ? 'Closed for everybody' : 'Server admins only'}</span>
        )}
        {access !== undefined && (
          <a href={link} className="quiet">
            <AccessInWords database={name} access={access} />
          </a>
        )}
        {permissions.isError && !isClosed && <span className="hint">cannot be read</span>}
      </td>
      {backups !== undefined && (
        <td data-column="Last backup">
          <a href={linkTo(['backups'], { q: name })} className="quiet">
            <Moment key={backups.get(name)} at={backups.get(name) ?? null} absent="never" />
          </a>
        </td>
      )}
      <td className="row-actions">
        {!isClosed && (
          <a href={link} className="icon-link" aria-label={`Permissions of ${name}`} title="Permissions">
            <Padlock isOpen={access?.kind === 'public'} />
          </a>
        )}
        {!isClosed && !name.startsWith('_') && (
          <MoreActions name={name} info={info} lastBackup={backups && (backups.get(name) ?? null)} />
        )}
      </td>
    </tr>
  );
});

/** Needs the list of all keys to tell keys from users; without it, it counts names. */
function AccessInWords({ database, access }: { readonly database: string; readonly access: Access }) {
  const { reach } = useReach(database);
  const prefixes = reach.length === 0 ? '' : `${reach.length.toLocaleString('en')} by prefix`;
  const named = access.kind === 'names' || access.kind === 'public' ? access.names : [];
  const options = { enabled: named.length > 0, staleTime: 60_000 };
  const keys = useQuery({ ...keysByNameQuery, ...options }).data;
  const areAll = useQuery({ ...areAllKeysQuery, ...options }).data;
  const names = namesInWords(named, areAll === true ? keys : undefined);
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
          {[...names, prefixes].filter((part) => part !== '').map((part) => `, ${part}`)}
        </>
      );
    }
    case 'names':
      return <>{[...names, prefixes].filter((part) => part !== '').join(', ')}</>;
  }
}

/** `keys` = all keys by name; undefined = not all of them are known. */
function namesInWords(
  names: readonly string[],
  keys: ReadonlyMap<string, unknown> | undefined,
): readonly string[] {
  if (names.length === 0) return [];
  if (keys === undefined) return [counted(names.length, 'name')];
  const ofKeys = names.filter((name) => keys.has(name)).length;
  const others = names.length - ofKeys;
  return [...(ofKeys > 0 ? [counted(ofKeys, 'key')] : []), ...(others > 0 ? [counted(others, 'user')] : [])];
}

const counted = (count: number, word: string): string =>
  `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

interface ActionProps extends Pick<Props, 'name' | 'info'> {
  /** Null = never; undefined = not known. */
  readonly lastBackup: string | null | undefined;
}

function MoreActions({ name, info, lastBackup }: ActionProps) {
  const queries = useQueryClient();
  const [isDeleting, setDeleting] = useState(false);
  const documents = info === undefined ? 'all its documents' : counted(info.documents, 'document');
  return (
    <>
      <RowMenu label={`More actions on ${name}`}>
        <Menu.Item component="a" href={linkTo(['backups'], { q: name })}>
          Back up or restore…
        </Menu.Item>
        <Menu.Item className="bad" onClick={() => setDeleting(true)}>
          Delete database…
        </Menu.Item>
      </RowMenu>
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
            <Name of={name} /> is deleted with {documents} and its permissions.{' '}
            {lastBackup === undefined && 'This cannot be undone.'}
            {lastBackup === null && 'There is no backup of it: this cannot be undone.'}
            {typeof lastBackup === 'string' && (
              <>
                Its backups stay; the last one is of <Moment at={lastBackup} absent="" />.
              </>
            )}
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}
