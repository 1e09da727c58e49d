// Who has changed the permissions, when and why, and the way back to an earlier revision.
import { Button } from '@mantine/core';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type HistoryEntry, readHistory, rollBack } from '../../api/permissions.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { permissionsQuery } from '../../queries.ts';

const LIMIT = 20;

interface Props {
  readonly database: string;
  readonly revision: string | undefined;
}

export function useHistory(database: string, isKept: boolean) {
  return useInfiniteQuery({
    queryKey: ['history', database],
    queryFn: ({ pageParam, signal }) => readHistory(database, { before: pageParam, limit: LIMIT }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => (page?.length === LIMIT ? page.at(-1)?.revision : undefined),
    enabled: isKept,
  });
}

/** True if the server keeps a history of this database. */
export function useHasHistory(database: string, isKept: boolean): boolean {
  const { data } = useHistory(database, isKept);
  return data?.pages[0] !== undefined;
}

export function History({ database, revision }: Props) {
  const history = useHistory(database, revision !== undefined);
  const queries = useQueryClient();
  const [target, setTarget] = useState<HistoryEntry>();
  if (history.isPending) return <Waiting what="the history" />;
  if (history.isError)
    return (
      <ErrorNotice
        error={history.error}
        title="The history cannot be read"
        onRetry={() => void history.refetch()}
      />
    );
  const entries = history.data.pages.flatMap((page) => page ?? []);
  return (
    <>
      {entries.length === 0 && <p>No change has been saved yet.</p>}
      <ol className="history">
        {entries.map((entry, at) => (
          <li key={entry.revision}>
            <EntryHead entry={entry} />
            <Changes entry={entry} />
            {at > 0 && (
              <Button size="xs" variant="default" onClick={() => setTarget(entry)}>
                Roll back to this
              </Button>
            )}
          </li>
        ))}
      </ol>
      {history.hasNextPage && (
        <Button
          variant="default"
          loading={history.isFetchingNextPage}
          onClick={() => void history.fetchNextPage()}
        >
          Older changes
        </Button>
      )}
      {target !== undefined && (
        <ConfirmDialog
          title="Roll back permissions"
          action="Roll back"
          run={async () => {
            await rollBack(database, { to: target.revision, revision });
            await queries.invalidateQueries({ queryKey: permissionsQuery(database).queryKey });
            await queries.invalidateQueries({ queryKey: ['history', database] });
          }}
          onClose={() => setTarget(undefined)}
        >
          <p>
            The permissions become again what revision {target.revision} was. Later changes stay in the
            history.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}

function EntryHead({ entry: { revision, at, by, via, reason } }: { readonly entry: HistoryEntry }) {
  return (
    <p>
      <strong>Revision {revision}</strong> by <Name of={by} /> <Moment at={at} absent="" />
      {via != null && <span className="hint"> via {via}</span>}
      {reason != null && reason !== '' && (
        <span className="reason">
          <Foreign text={reason} />
        </span>
      )}
    </p>
  );
}

function Changes({ entry: { changes } }: { readonly entry: HistoryEntry }) {
  const inWords = (roles: readonly string[] | null): string =>
    roles === null || roles.length === 0 ? 'no access' : roles.join(', ');
  return (
    <ul className="changes">
      {changes.map(({ name, before, after }) => (
        <li key={name}>
          {name === 'nobody' ? <em>Everyone without a password</em> : <Name of={name} />}:{' '}
          <del>{inWords(before)}</del> → <ins>{inWords(after)}</ins>
        </li>
      ))}
    </ul>
  );
}
