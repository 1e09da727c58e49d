// One database of the list.
import { Menu } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { memo } from 'react';
import { type DatabaseInfo } from '../../api/databases.ts';
import { ApiError } from '../../api/http.ts';
import { Moment } from '../../parts/moment.tsx';
import { Padlock } from '../../parts/padlock.tsx';
import { RowMenu } from '../../parts/row-menu.tsx';
import { type Access, accessIn } from '../../permission-edits.ts';
import { areAllKeysQuery, keysByNameQuery, permissionsQuery } from '../../queries.ts';
import { useReach } from '../../parts/use-reach.ts';
import { grantsAll, mayHaveGrants } from '../../roles.ts';
import { linkTo } from '../../router.ts';
import { FactCells } from './fact-cells.tsx';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
  /** Times of the last backups; undefined = there is no column for them. */
  readonly backups: ReadonlyMap<string, string | null> | undefined;
  /** False while only the names are shown. */
  readonly isDetailed: boolean;
  readonly onDelete: (name: string) => void;
}

export const DatabaseRow = memo(function DatabaseRow({ name, info, backups, isDetailed, onDelete }: Props) {
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
          <RowMenu label={`More actions on ${name}`}>
            <Menu.Item component="a" href={linkTo(['backups'], { q: name })}>
              Back up or restore…
            </Menu.Item>
            <Menu.Item className="bad" onClick={() => onDelete(name)}>
              Delete database…
            </Menu.Item>
          </RowMenu>
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
      const can = publicRights(access.roles);
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

function publicRights(roles: readonly string[]): string {
  if (roles.some(grantsAll)) return 'everything';
  return roles.includes('_writer') ? 'write' : roles.includes('_reader') ? 'read' : 'limited';
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

/** `1 document`, `2 documents`. */
export const counted = (count: number, word: string): string =>
  `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
