// The jobs of backups: what runs now with its progress, and what the last ones came to.
import { Alert, Button } from '@mantine/core';
import { queryOptions, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { type BackupJob, readJobs } from '../../api/backups.ts';
import { QueryError } from '../../parts/error-notice.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { BACKUPS_KEY, databasesQuery } from '../../queries.ts';
import { linkTo } from '../../router.ts';

const KINDS: Readonly<Record<BackupJob['kind'], string>> = {
  backup: 'Backup',
  restore: 'Restore',
  verify: 'Verification',
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

/** Jobs that are shown at first; the server keeps a hundred. */
const SHOWN = 10;

const jobsQuery = queryOptions({
  // Below the key of the state: whoever reads that again reads these.
  queryKey: [...BACKUPS_KEY, 'jobs'],
  queryFn: ({ signal }) => readJobs(signal),
  refetchInterval: 5000,
});

const COLOURS = { good: 'green', warn: 'yellow', bad: 'red' } as const;

/** What the job came to that this page has started; nothing while it runs. */
export function Outcome({ id }: { readonly id: string }) {
  const queries = useQueryClient();
  const job = useQuery(jobsQuery).data?.find((each) => each.id === id);
  const hasMadeDatabase = job?.kind === 'restore' && job.finished !== undefined;
  useEffect(() => {
    if (hasMadeDatabase) void queries.invalidateQueries({ queryKey: databasesQuery.queryKey });
  }, [hasMadeDatabase, queries]);
  if (job === undefined || job.state === 'queued' || job.state === 'running') return null;
  const [words, className] = STATES[job.state];
  return (
    <Alert
      role="status"
      className="spaced"
      color={COLOURS[className as keyof typeof COLOURS]}
      title={`${KINDS[job.kind]}: ${words}`}
    >
      {job.request.database !== undefined && (
        <>
          <JobTitle job={job} />.{' '}
        </>
      )}
      {countedResults(job)}
      {job.state !== 'done' && ' The list of the last jobs, below, says why.'}
    </Alert>
  );
}

export function Jobs() {
  const query = useQuery(jobsQuery);
  const [areAll, setAll] = useState(false);
  const failure = (
    <QueryError query={query} title="The jobs cannot be read" isOldShown={query.data !== undefined} />
  );
  if (query.data === undefined || query.data.length === 0) return failure;
  return (
    <>
      <h2>Last jobs</h2>
      {failure}
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
          {query.data.slice(0, areAll ? undefined : SHOWN).map((job) => (
            <JobRow key={job.id} job={job} />
          ))}
        </tbody>
      </table>
      {!areAll && query.data.length > SHOWN && (
        <div className="actions">
          <Button variant="default" onClick={() => setAll(true)}>
            Earlier jobs
          </Button>
        </div>
      )}
    </>
  );
}

/** `2 databases are done, 1 is not.`; empty before anything came of it. */
function countedResults({ databases: { done, incomplete, failed } }: BackupJob): string {
  const others = incomplete + failed;
  if (done + others === 0) return '';
  const word = done === 1 ? 'database is' : 'databases are';
  const rest = others === 0 ? '' : `, ${others.toLocaleString('en')} ${others === 1 ? 'is' : 'are'} not`;
  return `${done.toLocaleString('en')} ${word} done${rest}.`;
}

function JobTitle({ job: { kind, request } }: { readonly job: BackupJob }) {
  return (
    <>
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
    </>
  );
}

/** Databases of a job that are named, and problems of each of them; the others are counted. */
const MAX_BAD = 10;
const MAX_PROBLEMS = 3;

/** What went wrong with one database: the reason, or the first of its problems. */
function BadResult({ result }: { readonly result: BackupJob['results'][number] }) {
  const { database, state, reason, problems = [], problem_count: count = problems.length } = result;
  const shown = problems.slice(0, MAX_PROBLEMS);
  return (
    <>
      <span className="below">
        <Name of={database} />: <Foreign text={reason ?? state} />
      </span>
      {shown.map((problem) => (
        <span key={`${problem.id} ${problem.reason}`} className="below hint">
          {problem.id !== '' && (
            <>
              <a href={linkTo(['databases', database, 'documents', problem.id])}>
                <Name of={problem.id} />
              </a>
              {': '}
            </>
          )}
          <Foreign text={problem.reason} />
        </span>
      ))}
      {count > shown.length && (
        <span className="below hint">and {(count - shown.length).toLocaleString('en')} more problems</span>
      )}
    </>
  );
}

function JobRow({ job }: { readonly job: BackupJob }) {
  const { state, reason, results, databases, created, by } = job;
  const [words, className] = STATES[state];
  const bad = results.filter((result) => result.state !== 'done');
  return (
    <tr>
      <th scope="row" data-column="Job">
        <JobTitle job={job} />
      </th>
      <td data-column="Result">
        <span className={className}>{words}</span>
        {databases.done > 0 && `, ${databases.done} ${databases.done === 1 ? 'database' : 'databases'}`}
        {reason !== undefined && (
          <span className="below">
            <Foreign text={reason} />
          </span>
        )}
        {bad.slice(0, MAX_BAD).map((result) => (
          <BadResult key={result.database} result={result} />
        ))}
        {bad.length > MAX_BAD && (
          <span className="below">and {(bad.length - MAX_BAD).toLocaleString('en')} more databases</span>
        )}
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
