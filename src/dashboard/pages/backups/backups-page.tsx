// The page Backups: what is backed up, how old it is, whether it was proven, and the jobs.
import { Alert, Button, Menu } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type BackupStatus, type DatabaseBackup, startBackup, startVerify } from '../../api/backups.ts';
import { ErrorNotice, QueryError } from '../../parts/error-notice.tsx';
import { NoMatch, pageOf, Pager, SearchField, SortHead, sortedBy, useListState } from '../../parts/list.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { RowMenu } from '../../parts/row-menu.tsx';
import { sizeInWords } from '../../parts/size.ts';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo } from '../../router.ts';
import { BACKUPS_KEY, backupsQuery } from '../../queries.ts';
import { BackupAge, NotBackedUp } from './backup-age.tsx';
import { Jobs, Outcome, RunningJob } from './jobs.tsx';
import { RestoreDatabase } from './restore-database.tsx';

/** Milliseconds between two reads, while a job runs and otherwise. */
const BUSY_MS = 2000;
const IDLE_MS = 15_000;

export function BackupsPage() {
  useTitle('Backups');
  const query = useQuery({
    ...backupsQuery,
    refetchInterval: ({ state }) => ((state.data?.running ?? []).length > 0 ? BUSY_MS : IDLE_MS),
  });
  return (
    <>
      <QueryError query={query} title="The backups cannot be read" isOldShown={query.data !== undefined} />
      {query.isPending && <Waiting what="backups" />}
      {query.data === undefined ? (
        <h1 className="unseen">Backups</h1>
      ) : query.data.enabled ? (
        <Backups status={query.data} />
      ) : (
        <Off />
      )}
    </>
  );
}

function Off() {
  return (
    <>
      <h1>Backups</h1>
      <p>Backups are off. To switch them on:</p>
      <ol>
        <li>
          Choose a folder for the repository, best on another disk, and write it into{' '}
          <code>couchgate.yaml</code> as <code>backup_repository</code>.
        </li>
        <li>
          Set <code>backup_key</code> (a long random text) if the backups are to be encrypted, and keep a copy
          of it elsewhere: without it, they cannot be read.
        </li>
        <li>Start Couchgate again, then press the button “Back up now” on this page.</li>
      </ol>
    </>
  );
}

/** Starts a job and reads the state again. */
function useStart(onStarted: (job: string) => void) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (start: () => Promise<string>) => start(),
    onSuccess: onStarted,
    onSettled: () => queries.invalidateQueries({ queryKey: BACKUPS_KEY }),
  });
}

function Backups({ status }: { readonly status: BackupStatus }) {
  const { running = [], repository, databases = [], damages = [] } = status;
  const [job, setJob] = useState<string>();
  const start = useStart(setJob);
  const [restored, setRestored] = useState<string>();
  return (
    <>
      <div className="head">
        <h1>Backups</h1>
        <Button loading={start.isPending} onClick={() => start.mutate(() => startBackup())}>
          Back up now
        </Button>
      </div>
      <p>
        <BackupAge databases={databases} />
        {repository != null && (
          <span className="hint">
            {' '}
            In <Name of={repository.folder} />, {repository.encrypted ? 'encrypted' : 'not encrypted'}.
          </span>
        )}
        <br />
        <Next schedule={status.schedule} />
      </p>
      {start.isError && <ErrorNotice error={start.error} title="The job was not started" />}
      {running.map((each) => (
        <RunningJob key={each.id} job={each} />
      ))}
      {job !== undefined && <Outcome id={job} />}
      {damages.length > 0 && (
        <Alert color="red" role="alert" title="A part of the repository is damaged">
          {damages.length} {damages.length === 1 ? 'file' : 'files'} cannot be read. Snapshots that need them
          cannot be restored: run a backup now, and look at <code>couchgate verify</code>.
        </Alert>
      )}
      {databases.length === 0 ? (
        <p>Nothing is backed up yet. Press “Back up now”.</p>
      ) : (
        <Databases
          databases={databases}
          onBackUp={(database) => start.mutate(() => startBackup(database))}
          onVerify={(database) => start.mutate(() => startVerify(database))}
          onRestore={setRestored}
        />
      )}
      <Jobs />
      {restored !== undefined && (
        <RestoreDatabase database={restored} onStarted={setJob} onClose={() => setRestored(undefined)} />
      )}
    </>
  );
}

function Next({ schedule }: { readonly schedule: BackupStatus['schedule'] }) {
  if (schedule === undefined) return null;
  if (schedule === null)
    return (
      <span className="hint">
        No backup is scheduled: set <code>backup_schedule</code> in <code>couchgate.yaml</code>.
      </span>
    );
  return (
    <>
      Next one: <Moment key={schedule.next} at={schedule.next} absent="" />
      <span className="hint">
        , by the schedule <code>{visible(schedule.setting)}</code>
      </span>
    </>
  );
}

interface DatabasesProps {
  readonly databases: readonly DatabaseBackup[];
  readonly onBackUp: (database: string) => void;
  readonly onVerify: (database: string) => void;
  readonly onRestore: (database: string) => void;
}

const VALUES: Readonly<Record<string, (row: DatabaseBackup) => string | number>> = {
  database: ({ database }) => database,
  last: ({ newest }) => newest.started,
  documents: ({ newest }) => newest.counts.documents ?? -1,
  added: ({ newest }) => newest.added_bytes ?? -1,
  snapshots: ({ snapshots }) => snapshots,
  // What was never verified comes first.
  verified: ({ verified_at: at }) => at ?? '',
};

function Databases({ databases, onBackUp, onVerify, onRestore }: DatabasesProps) {
  const { search, sort, page } = useListState('database');
  const found = sortedBy(
    databases.filter(({ database }) => database.includes(search)),
    sort,
    VALUES,
  );
  return (
    <>
      <NotBackedUp databases={databases} />
      <div className="tools">
        <SearchField label="Search by name" />
        <Pager total={found.length} page={page} of={found.length === 1 ? 'database' : 'databases'} />
      </div>
      {found.length === 0 && <NoMatch what="database" />}
      <table className="list backups" hidden={found.length === 0}>
        <thead>
          <tr>
            <SortHead column="database" sort={sort}>
              Database
            </SortHead>
            <SortHead column="last" sort={sort}>
              Last backup
            </SortHead>
            <SortHead column="documents" sort={sort} className="number">
              Documents
            </SortHead>
            <SortHead column="added" sort={sort} className="number">
              <span title={ADDED}>Added</span>
            </SortHead>
            <SortHead column="snapshots" sort={sort} className="number">
              Snapshots
            </SortHead>
            <SortHead column="verified" sort={sort}>
              <span title={VERIFYING}>Verified</span>
            </SortHead>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {pageOf(found, page).map((row) => (
            <tr key={row.database}>
              <th scope="row" data-column="Database">
                <a href={linkTo(['databases', row.database, 'documents'])}>
                  <Name of={row.database} />
                </a>
              </th>
              <td data-column="Last backup">
                <Moment key={row.newest.started} at={row.newest.started} absent="" />
                {!row.newest.complete && (
                  <strong className="below bad">
                    incomplete:{' '}
                    {row.newest.problem_count === 0
                      ? 'too few nodes were up'
                      : `${row.newest.problem_count.toLocaleString('en')} could not be read`}
                  </strong>
                )}
                {!row.newest.complete && (
                  <span className="below hint">
                    Last complete: <Moment key={row.last_success} at={row.last_success} absent="none yet" />
                  </span>
                )}
              </td>
              <td className="number" data-column="Documents">
                {row.newest.counts.documents?.toLocaleString('en') ?? '–'}
              </td>
              <td className="number" data-column="Added">
                {row.newest.added_bytes == null ? '–' : sizeInWords(row.newest.added_bytes)}
              </td>
              <td className="number" data-column="Snapshots">
                {row.snapshots.toLocaleString('en')}
              </td>
              <td data-column="Verified">
                <Moment key={row.verified_at} at={row.verified_at} absent="never" />
              </td>
              <td className="row-actions">
                <RowMenu label={`Actions on ${visible(row.database)}`}>
                  <Menu.Item onClick={() => onBackUp(row.database)}>Back up now</Menu.Item>
                  <Menu.Item title={VERIFYING} onClick={() => onVerify(row.database)}>
                    Verify by a test restore
                  </Menu.Item>
                  <Menu.Item onClick={() => onRestore(row.database)}>Restore into a new database…</Menu.Item>
                </RowMenu>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const ADDED = 'What the newest backup put into the repository: compressed, without what was there already';
const VERIFYING = 'The newest snapshot is restored into a scratch database and compared with the backup';
