// The stored versions of a document: pick one, compare it with the document as it is now, restore it.
import { Alert, Button, NativeSelect } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  type DocumentVersion,
  type DocumentVersions,
  readVersion,
  readVersions,
  restoreVersion,
} from '../../api/backups.ts';
import { documentKey, readDocument } from '../../api/documents.ts';
import { ApiError } from '../../api/http.ts';
import { isInBackups } from '../../backup-words.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { LazyPart } from '../../parts/lazy-page.tsx';
import { Name } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo, replaceParameters, useRoute } from '../../router.ts';
import { JsonCompare } from './document-editor.tsx';

interface Props {
  readonly database: string;
  readonly id: string;
}

const format = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function DocumentBackups({ database, id }: Props) {
  const query = useQuery({
    queryKey: [...documentKey(database, id), 'versions'],
    queryFn: ({ signal }) => readVersions(database, id, signal),
    // What is compared and restored is what the person has seen.
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  const { data, error } = query;
  if (query.isPending) return <Waiting what="the backups" />;
  if (error instanceof ApiError && error.status === 409)
    return (
      <p>
        Backups are off, or none was made yet. The page <a href={linkTo(['backups'])}>Backups</a> says how to
        begin.
      </p>
    );
  return (
    <>
      {query.isError && (
        <ErrorNotice
          error={error}
          title="The backups cannot be read"
          isOldShown={data != null}
          onRetry={() => void query.refetch()}
        />
      )}
      {data != null && data.versions.some(({ deleted }) => !deleted) ? (
        <Versions database={database} id={id} stored={data} />
      ) : (
        !query.isError && <p>No backup has this document yet. The next one will.</p>
      )}
    </>
  );
}

interface VersionsProps extends Props {
  readonly stored: DocumentVersions;
}

function timesOf({ first, last, snapshots, rev }: DocumentVersion): string {
  const from = format.format(Date.parse(first.started));
  const to = format.format(Date.parse(last.started));
  return `${snapshots === 1 ? to : `${from} – ${to}`}, revision ${rev?.split('-')[0] ?? ''}`;
}

function Versions({ database, id, stored: { versions: all, live } }: VersionsProps) {
  const { parameters } = useRoute();
  const versions = all.filter(({ deleted }) => !deleted);
  const chosen = versions.find(({ snapshot }) => snapshot === parameters.get('snapshot')) ?? versions[0];
  const key = documentKey(database, id);
  const stored = useQuery({
    queryKey: [...key, 'version', chosen?.snapshot],
    queryFn: ({ signal }) => readVersion(database, id, chosen?.snapshot ?? '', signal),
    staleTime: Infinity,
  });
  const isGone = live === null || live.deleted;
  const now = useQuery({
    queryKey: [...key, 'now'],
    queryFn: ({ signal }) => readDocument(database, id, { signal }),
    enabled: !isGone,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  const nowText = isGone ? '{}' : now.data?.text;
  const [isAsking, setAsking] = useState(false);
  // Of the version that is shown; it stays while the document is read again.
  const [result, setResult] = useState<{ readonly of: string; readonly word: ResultWord }>();
  const revision = isGone ? null : (now.data?.rev ?? null);
  const isStored = revision !== null && isInBackups(revision, all);
  if (chosen === undefined) return null;
  return (
    <>
      <div className="tools">
        <NativeSelect
          className="version"
          label="As it was in the backups of"
          data={versions.map((version) => ({ value: version.snapshot, label: timesOf(version) }))}
          value={chosen.snapshot}
          onChange={(event) => replaceParameters({ snapshot: event.currentTarget.value })}
        />
        <Button disabled={stored.data === undefined || nowText === undefined} onClick={() => setAsking(true)}>
          Restore this version…
        </Button>
      </div>
      {isAsking && (
        <Restore
          database={database}
          id={id}
          version={chosen}
          revision={revision}
          isStored={isStored}
          onResult={(word) => setResult({ of: chosen.snapshot, word })}
          onClose={() => setAsking(false)}
        />
      )}
      {result?.of === chosen.snapshot && <Result word={result.word} />}
      {stored.isError && (
        <ErrorNotice error={stored.error} title="This version cannot be read. Nothing was written" />
      )}
      {now.isError && <ErrorNotice error={now.error} title="The document cannot be read" />}
      {(stored.isPending || (now.isPending && !isGone)) && <Waiting what="this version" />}
      {stored.data !== undefined && nowText !== undefined && (
        <LazyPart what="the comparison">
          <JsonCompare
            key={`${chosen.snapshot} ${isGone ? '' : (now.data?.rev ?? '')}`}
            left={{ title: 'In the backup', text: stored.data }}
            right={{ title: isGone ? 'Now: deleted' : 'Now', text: nowText }}
            legend={{ removed: 'removed or changed since the backup', added: 'added or changed since' }}
          />
        </LazyPart>
      )}
    </>
  );
}

type ResultWord = 'restored' | 'restored over stored' | 'changed';

function Result({ word }: { readonly word: ResultWord }) {
  return word !== 'changed' ? (
    <Alert color="green" role="status">
      Restored as a new revision.
      {word === 'restored over stored' && ' The version before is still in the backups.'}
    </Alert>
  ) : (
    <Alert color="yellow" role="alert" title="Somebody has changed the document meanwhile">
      Nothing was written. The comparison now shows the document as it is: look again, then restore.
    </Alert>
  );
}

interface RestoreProps extends Props {
  readonly version: DocumentVersion;
  /** The live revision that is shown; null = there is none. */
  readonly revision: string | null;
  /** True if a backup has that revision. */
  readonly isStored: boolean;
  readonly onResult: (word: ResultWord) => void;
  readonly onClose: () => void;
}

function Restore({ database, id, version, revision, isStored, onResult, onClose }: RestoreProps) {
  const queries = useQueryClient();
  const run = async (): Promise<void> => {
    try {
      await restoreVersion(database, id, { snapshot: version.snapshot, revision });
      onResult(isStored ? 'restored over stored' : 'restored');
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) throw error;
      onResult('changed');
    }
    await queries.invalidateQueries({ queryKey: documentKey(database, id) });
  };
  return (
    <ConfirmDialog
      title="Restore the document"
      action="Restore"
      isHarmless={isStored || revision === null}
      run={run}
      onClose={onClose}
    >
      <p>
        <Name of={id} /> gets the content and the attachments of {timesOf(version)}
        {revision === null ? '.' : ' in place of those that it has now, as a new revision.'}
      </p>
      {revision !== null && !isStored && (
        <p className="warn">
          No backup has the version that it has now. If you may need that again, run a backup first.
        </p>
      )}
    </ConfirmDialog>
  );
}
