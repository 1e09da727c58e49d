// The dialog that restores a snapshot into a new database.
import { Button, NativeSelect, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { readSnapshots, startRestore } from '../../api/backups.ts';
import { ApiError } from '../../api/http.ts';
import { Dialog, WayOut } from '../../parts/dialog.tsx';
import { ErrorNotice, RequestId } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { BACKUPS_KEY } from '../../queries.ts';

interface Props {
  readonly database: string;
  readonly onStarted: (job: string) => void;
  readonly onClose: () => void;
}

const format = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function RestoreDatabase({ database, onStarted, onClose }: Props) {
  const queries = useQueryClient();
  const snapshots = useQuery({
    queryKey: [...BACKUPS_KEY, 'snapshots', database],
    queryFn: ({ signal }) => readSnapshots(database, signal),
    // Each dialog begins with the newest one of now.
    gcTime: 0,
  });
  const [chosen, setChosen] = useState<string>();
  const [to, setTo] = useState(`${database}-restored`);
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const newest = snapshots.data?.[0]?.id;
  // A backup that ends while the dialog is open does not move the choice.
  if (chosen === undefined && newest !== undefined) setChosen(newest);
  const snapshot = chosen ?? newest;
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (snapshot === undefined) return;
    setSending(true);
    setError(undefined);
    startRestore(database, snapshot, to)
      .then(async (job) => {
        onStarted(job);
        await queries.invalidateQueries({ queryKey: BACKUPS_KEY });
        onClose();
      }, setError)
      .finally(() => setSending(false));
  };
  const isBadName = error instanceof ApiError && error.error === 'illegal_database_name';
  return (
    <Dialog title="Restore a database" onClose={onClose} isBusy={isSending}>
      {snapshots.isPending && <Waiting what="the snapshots" />}
      {snapshots.isError && <ErrorNotice error={snapshots.error} title="The snapshots cannot be read" />}
      {snapshots.data !== undefined && (
        <form className="form" onSubmit={submit}>
          <p>
            <Name of={database} /> itself stays as it is. The snapshot becomes a new database that only server
            admins may use until you grant roles on it.
          </p>
          <NativeSelect
            label="Snapshot"
            data={snapshots.data.map(({ id, started, complete, counts }) => ({
              value: id,
              label:
                format.format(Date.parse(started)) +
                (counts.documents === undefined
                  ? ''
                  : `, ${counts.documents.toLocaleString('en')} documents`) +
                (complete ? '' : ', incomplete'),
            }))}
            value={snapshot}
            onChange={(event) => setChosen(event.currentTarget.value)}
          />
          <TextInput
            label="Name of the new database"
            autoComplete="off"
            spellCheck={false}
            value={to}
            error={isBadName ? error.reason : undefined}
            onChange={(event) => setTo(event.currentTarget.value)}
          />
          {isBadName && <RequestId id={error.requestId} />}
          {error !== undefined && !isBadName && (
            <ErrorNotice error={error} title="The restore was not started" />
          )}
          <div className="actions">
            <Button type="submit" loading={isSending} disabled={to === '' || snapshot === undefined}>
              Restore
            </Button>
            <WayOut onClose={onClose} />
          </div>
        </form>
      )}
    </Dialog>
  );
}
