// The revisions of a document and its conflicts, each beside the winning one.
import { Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  deleteRevision,
  documentKey,
  readDocument,
  readRevisions,
  type Revisions,
} from '../../api/documents.ts';
import { ApiError } from '../../api/http.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { LazyPart } from '../../parts/lazy-page.tsx';
import { Name } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo, useRoute } from '../../router.ts';
import { JsonCompare } from './document-editor.tsx';

interface Props {
  readonly database: string;
  readonly id: string;
}

export function RevisionsView({ database, id }: Props) {
  const { parameters } = useRoute();
  const query = useQuery({
    queryKey: [...documentKey(database, id), 'revisions'],
    queryFn: ({ signal }) => readRevisions(database, id, signal),
  });
  const compared = parameters.get('compare');
  return (
    <>
      {query.isError && <ErrorNotice error={query.error} title="The revisions cannot be read" />}
      {query.isPending && <Waiting what="the revisions" />}
      {query.data !== undefined && (
        <>
          <Conflicts database={database} id={id} revisions={query.data} />
          <History database={database} id={id} revisions={query.data} />
          {compared !== null && (
            <Comparison key={compared} database={database} id={id} rev={compared} revisions={query.data} />
          )}
        </>
      )}
    </>
  );
}

interface PartProps extends Props {
  readonly revisions: Revisions;
}

function compareLink({ database, id }: Props, rev: string): string {
  return linkTo(['databases', database, 'documents', id], { show: 'revisions', compare: rev });
}

function Conflicts({ database, id, revisions: { conflicts } }: PartProps) {
  const queries = useQueryClient();
  const [removed, setRemoved] = useState<string>();
  if (conflicts.length === 0) return null;
  return (
    <div className="conflicts">
      <h2>{conflicts.length === 1 ? 'One revision is' : `${conflicts.length} revisions are`} in conflict</h2>
      <p>
        Two writers have changed the same revision, as replication allows. CouchDB shows one of them and keeps
        the others. Compare them, put what you need into the content, then remove the others.
      </p>
      <ul className="rows">
        {conflicts.map((rev) => (
          <li key={rev}>
            <Name of={rev} />
            <span className="row-buttons">
              <a href={compareLink({ database, id }, rev)} aria-label={`Compare ${rev}`}>
                Compare
              </a>
              <Button
                size="xs"
                variant="default"
                aria-label={`Remove the conflict ${rev}`}
                onClick={() => setRemoved(rev)}
              >
                Remove
              </Button>
            </span>
          </li>
        ))}
      </ul>
      {removed !== undefined && (
        <ConfirmDialog
          title="Remove a conflicting revision"
          action="Remove"
          run={async () => {
            await deleteRevision(database, id, removed);
            await queries.invalidateQueries({ queryKey: documentKey(database, id) });
          }}
          onClose={() => setRemoved(undefined)}
        >
          <p>
            The content of <Name of={removed} /> is lost. The document itself stays as it is.
          </p>
        </ConfirmDialog>
      )}
    </div>
  );
}

function History({ database, id, revisions: { history } }: PartProps) {
  const [winner, ...older] = history;
  const readable = older.filter(({ status }) => status === 'available');
  return (
    <>
      <h2>Earlier revisions</h2>
      {readable.length === 0 ? (
        <p>
          {older.length === 0
            ? 'This is the first revision.'
            : 'CouchDB has removed the content of the earlier revisions. Backups keep it.'}
        </p>
      ) : (
        <>
          <p className="hint">CouchDB keeps them until it compacts the database. They are no backup.</p>
          <ul className="rows">
            {readable.map(({ rev }) => (
              <li key={rev}>
                <Name of={rev} />
                <a href={compareLink({ database, id }, rev)} aria-label={`Compare ${rev}`}>
                  Compare with {winner?.rev.split('-')[0]}-…
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** The compared revision on the left, the winning one on the right. */
function Comparison({ database, id, rev }: PartProps & { readonly rev: string }) {
  const key = documentKey(database, id);
  const other = useQuery({
    queryKey: [...key, 'revision', rev],
    queryFn: ({ signal }) => readDocument(database, id, { rev, signal }),
    staleTime: Infinity,
  });
  const winner = useQuery({
    queryKey: key,
    queryFn: ({ signal }) => readDocument(database, id, { signal }),
  });
  if (other.isError) {
    const isGone = other.error instanceof ApiError && other.error.status === 404;
    return (
      <ErrorNotice
        error={other.error}
        title={isGone ? 'CouchDB no longer has the content of this revision' : 'This revision cannot be read'}
      />
    );
  }
  if (other.data === undefined || winner.data === undefined) return <Waiting what="the revision" />;
  return (
    <section aria-labelledby="comparison">
      <h2 id="comparison">Comparison</h2>
      <LazyPart what="the comparison">
        <JsonCompare
          left={{ title: `Revision ${rev}`, text: other.data.text }}
          right={{ title: `Now, ${winner.data.rev}`, text: winner.data.text }}
        />
      </LazyPart>
    </section>
  );
}
