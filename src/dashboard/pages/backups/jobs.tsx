// The jobs of backups: what runs now with its progress, and what the last ones came to.
import { Alert } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type BackupJob, readJobs } from '../../api/backups.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { BACKUPS_KEY } from '../../queries.ts';
import { linkTo } from '../../router.ts';

const KINDS: Readonly<Record<BackupJob['kind'], string>> = {
  backup: 'Backup',
  restore: 'Restore',
  verify: 'Test restore',
};

const STATES: Readonly<Record<BackupJob['state'], readonly [words: string, className: string]>> = {
  queued: ['waits', 'hint'],
  running: ['runs', ''],
  done: ['done', 'good'],
  incomplete: ['incomplete: something could not be read', 'warn'],
  failed: ['failed', 'bad'],
  interrupted: ['interrupted: run it again', 'bad'],
};

export function RunningJob({ job: { kind, progress, request } }: { readonly job: BackupJob }) {
  const database = progress?.database ?? request.database;
  return (
    <Alert role="status" title={`${KINDS[kind]} is running`} className="spaced">
      {database !== undefined && <Name of={database} />}
      {progress !== undefined && (
        <>
          {' '}
          {progress.documents.toLocaleString('en')} of {progress.total.toLocaleString('en')} documents
          <progress
            className="progress"
            aria-label="Documents of this database"
            max={Math.max(1, progress.total)}
            value={progress.documents}
          />
        </>
      )}
    </Alert>
  );
}

/** Jobs that are shown; the server keeps a hundred. */
const SHOWN = 10;

export function Jobs() {
  const query = useQuery({
    // Below the key of the state: whoever reads that again reads these.
    queryKey: [...BACKUPS_KEY, 'jobs'],
    queryFn: ({ signal }) => readJobs(signal),
    refetchInterval: 5000,
  });
  if (query.isError) return <ErrorNotice error={query.error} title="The jobs cannot be read" />;
  if (query.data === undefined || query.data.length === 0) return null;
  return (
    <>
      <h2>Last jobs</h2>
      <table className="list jobs">
        <thead>
          <tr>
            <th scope="col">Job</th>
            <th scope="col">Result</th>
            <th scope="col">Started</th>
            <th scope="col">By</th>
          </tr>
        </thead>
        <tbody>
          {query.data.slice(0, SHOWN).map((job) => (
            <JobRow key={job.id} job={job} />
          ))}
        </tbody>
      </table>
    </>
  );
}

function JobRow({
  job: { kind, state, reason, request, results, databases, created, by },
}: {
  readonly job: BackupJob;
}) {
  const [words, className] = STATES[state];
  const bad = results.filter((result) => result.state !== 'done');
  return (
    <tr>
      <th scope="row" data-column="Job">
        {KINDS[kind]}
        {request.database !== undefined && (
          <>
            {' of '}
            <Name of={request.database} />
          </>
        )}
        {request.to !== undefined && (
          <>
            {' to '}
            <a href={linkTo(['databases', request.to, 'permissions'])}>
              <Name of={request.to} />
            </a>
          </>
        )}
      </th>
      <td data-column="Result">
        <span className={className}>{words}</span>
        {databases.done > 0 && `, ${databases.done} ${databases.done === 1 ? 'database' : 'databases'}`}
        {reason !== undefined && (
          <span className="below">
            <Foreign text={reason} />
          </span>
        )}
        {bad.map((result) => (
          <span key={result.database} className="below">
            <Name of={result.database} />: <Foreign text={result.reason ?? result.state} />
          </span>
        ))}
      </td>
      <td data-column="Started">
        <Moment at={created} absent="" />
      </td>
      <td data-column="By">
        <Foreign text={by} />
      </td>
    </tr>
  );
}
