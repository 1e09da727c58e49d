// Says how old the backups are, and which databases have none.
import { useQuery } from '@tanstack/react-query';
import { type DatabaseBackup } from '../../api/backups.ts';
import { backupAge } from '../../backup-words.ts';
import { Moment } from '../../parts/moment.tsx';
import { Name } from '../../parts/name.tsx';
import { databasesQuery } from '../../queries.ts';

/** The oldest of the last complete backups: the newest would hide a database whose backups fail. */
export function BackupAge({ databases }: { readonly databases: readonly DatabaseBackup[] }) {
  const { data: existing } = useQuery(databasesQuery);
  const { databases: total, never, oldest, behind } = backupAge(databases, existing);
  if (oldest === undefined) return <>Last complete backup: none yet.</>;
  return (
    <>
      {total === 1 ? 'Last complete backup: ' : 'The oldest of the last complete backups: '}
      <Name of={oldest.database} />, <Moment key={oldest.at} at={oldest.at} absent="" />.
      {behind > 0 && (
        <strong className="warn">
          {' '}
          {behind.toLocaleString('en')} of {total.toLocaleString('en')} databases{' '}
          {behind === 1 ? 'is' : 'are'} more than a day behind the newest.
        </strong>
      )}
      {never.length > 0 && (
        <strong className="bad">
          {' '}
          No complete backup yet: <Names of={never} />.
        </strong>
      )}
    </>
  );
}

/** Names that are shown; the others are counted. */
const MAX_NAMED = 10;

function Names({ of: names }: { readonly of: readonly string[] }) {
  return (
    <>
      {names.slice(0, MAX_NAMED).map((name, at) => (
        <span key={name}>
          {at > 0 && ', '}
          <Name of={name} />
        </span>
      ))}
      {names.length > MAX_NAMED && ` and ${(names.length - MAX_NAMED).toLocaleString('en')} more`}
    </>
  );
}

/** A database that no backup has is in no row of the list. */
export function NotBackedUp({ databases }: { readonly databases: readonly DatabaseBackup[] }) {
  const names = useQuery(databasesQuery).data ?? [];
  const backedUp = new Set(databases.map(({ database }) => database));
  const others = names.filter((name) => !name.startsWith('_') && !backedUp.has(name));
  if (others.length === 0) return null;
  return (
    <p className="warn">
      Not backed up yet: <Names of={others} />.
    </p>
  );
}
