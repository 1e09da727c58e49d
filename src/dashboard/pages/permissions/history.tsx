// Who has changed the permissions, when and why, and the way back to an earlier revision.
import { Alert, Button } from '@mantine/core';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  type HistoryEntry,
  readHistory,
  refusedWidening,
  rollBack,
  type Widening,
} from '../../api/permissions.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { QueryError } from '../../parts/error-notice.tsx';
import { useLabelOf } from '../../parts/labelled.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name, visible } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { permissionsQuery } from '../../queries.ts';
import { accessInWords } from '../../roles.ts';

interface Props {
  readonly database: string;
  readonly revision: string | undefined;
}

export function useHistory(database: string, isKept: boolean) {
  return useInfiniteQuery({
    queryKey: ['history', database],
    queryFn: ({ pageParam, signal }) => readHistory(database, pageParam, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (page) => page?.before,
    enabled: isKept,
  });
}

/** True if the server keeps a history of this database. */
export function useHasHistory(database: string, isKept: boolean): boolean {
  const { data } = useHistory(database, isKept);
  return data?.pages[0] != null;
}

export function History({ database, revision }: Props) {
  const history = useHistory(database, revision !== undefined);
  const [target, setTarget] = useState<HistoryEntry>();
  if (history.isPending) return <Waiting what="the history" />;
  const entries = history.data?.pages.flatMap((page) => page?.history ?? []);
  return (
    <>
      <QueryError query={history} title="The history cannot be read" isOldShown={entries !== undefined} />
      {entries?.length === 0 && <p>No change has been saved yet.</p>}
      <ol className="history">
        {entries?.map((entry, at) => (
          <li key={`${entry.generation}.${entry.revision}`}>
            <EntryHead entry={entry} />
            <Changes entry={entry} />
            {at > 0 && revision?.startsWith(`${entry.generation}.`) === true && (
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
        <RollBackDialog
          database={database}
          revision={revision}
          to={target.revision}
          onClose={() => setTarget(undefined)}
        />
      )}
    </>
  );
}

const WIDENINGS: Readonly<Record<Widening, string>> = {
  public: 'That opens the database to everyone without a password.',
  admin: 'That gives Admin or Security to names that do not have it now.',
};

interface RollBackProps extends Props {
  readonly to: number;
  readonly onClose: () => void;
}

/** Rolls back; if that would widen access, it says how and asks again. */
function RollBackDialog({ database, revision, to, onClose }: RollBackProps) {
  const queries = useQueryClient();
  const [allowed, setAllowed] = useState<readonly Widening[]>([]);
  const run = async (): Promise<'done' | 'ask again'> => {
    try {
      await rollBack(database, { to, revision, allowed });
    } catch (error) {
      const widening = refusedWidening(error);
      if (widening === undefined || allowed.includes(widening)) throw error;
      setAllowed([...allowed, widening]);
      return 'ask again';
    }
    await queries.invalidateQueries({ queryKey: permissionsQuery(database).queryKey });
    await queries.invalidateQueries({ queryKey: ['history', database] });
    return 'done';
  };
  return (
    <ConfirmDialog
      title="Roll back permissions"
      action={allowed.length === 0 ? 'Roll back' : 'Roll back anyway'}
      run={run}
      onClose={onClose}
    >
      <p>The permissions become again what revision {to} was. Later changes stay in the history.</p>
      {allowed.map((widening) => (
        <Alert key={widening} color="red" role="alert">
          {WIDENINGS[widening]}
        </Alert>
      ))}
    </ConfirmDialog>
  );
}

/** How a change came in, where it is not by somebody's hand alone. */
const VIA: Readonly<Record<string, string>> = {
  api: '',
  create: 'the database was created',
  delete: 'the database was deleted',
  rollback: 'rolled back',
  set_permissions: 'by /api/set_permissions',
  adopt: 'taken over from CouchDB, which had created the database',
  migrate: 'taken over from _security',
  markers: 'Couchgate wrote its marks into _security',
  repair: 'repaired',
  merge: 'two changes at the same time were joined',
};

function EntryHead({ entry: { revision, at, by, via, reason } }: { readonly entry: HistoryEntry }) {
  return (
    <p>
      <strong>Revision {revision}</strong> by <Name of={by} /> <Moment at={at} absent="" />
      {VIA[via] !== '' && <span className="hint"> ({VIA[via] ?? via})</span>}
      {reason !== undefined && reason !== '' && (
        <span className="reason">
          <Foreign text={reason} />
        </span>
      )}
    </p>
  );
}

function Changes({ entry: { changes, couchdb_auth_only: rules } }: { readonly entry: HistoryEntry }) {
  const labelOf = useLabelOf();
  return (
    <ul className="changes">
      {rules !== undefined && <li>CouchDB decides: {rules.after ? 'on' : 'off'}</li>}
      {changes.map(({ name, before, after }) => (
        <li key={name}>
          {name === 'nobody' ? <em>Everyone without a password</em> : <Name of={name} />}
          {labelOf(name) !== '' && (
            <>
              {' '}
              (<Foreign text={labelOf(name)} />)
            </>
          )}
          : <del>{visible(accessInWords(before))}</del> → <ins>{visible(accessInWords(after))}</ins>
        </li>
      ))}
    </ul>
  );
}
