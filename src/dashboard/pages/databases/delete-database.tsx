// The dialog that deletes a database.
import { useQueryClient } from '@tanstack/react-query';
import { deleteDatabase, type DatabaseInfo } from '../../api/databases.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Name } from '../../parts/name.tsx';
import { databasesQuery } from '../../queries.ts';
import { counted } from './database-row.tsx';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
  /** Null = never; undefined = not known. */
  readonly lastBackup: string | null | undefined;
  readonly onClose: () => void;
}

export function DeleteDatabase({ name, info, lastBackup, onClose }: Props) {
  const queries = useQueryClient();
  const documents = info === undefined ? 'all its documents' : counted(info.documents, 'document');
  return (
    <ConfirmDialog
      title="Delete database"
      action="Delete database"
      typed={name}
      run={async () => {
        await deleteDatabase(name);
        await queries.invalidateQueries({ queryKey: databasesQuery.queryKey });
      }}
      onClose={onClose}
    >
      <p>
        <Name of={name} /> is deleted with {documents} and its permissions.{' '}
        {lastBackup === undefined && 'This cannot be undone.'}
        {lastBackup === null && 'There is no complete backup of it: this cannot be undone.'}
        {typeof lastBackup === 'string' && (
          <>
            Its backups stay; the last complete one is of <Moment at={lastBackup} absent="" />. What was
            written since then is lost.
          </>
        )}
      </p>
    </ConfirmDialog>
  );
}
