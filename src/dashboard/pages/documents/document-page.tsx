// The page of one document: its content, its revisions and its attachments.
import { useQuery } from '@tanstack/react-query';
import { ApiError } from '../../api/http.ts';
import { documentKey, type DocumentText, readDocument, readRevisions } from '../../api/documents.ts';
import { isReserved, isUnsendable, RESERVED } from '../../api/paths.ts';
import { Tab } from '../../parts/database-head.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo, useRoute } from '../../router.ts';
import { useSession } from '../../session/session.tsx';
import { Attachments } from './attachments.tsx';
import { DocumentBackups } from './document-backups.tsx';
import { DocumentEditor } from './document-editor.tsx';
import { NewDocument } from './new-document.tsx';
import { RevisionsView } from './revisions-view.tsx';

interface Props {
  readonly database: string;
  /** Empty = a new document. */
  readonly id: string;
}

export function DocumentPage({ database, id }: Props) {
  useTitle(id === '' ? `New document in ${database}` : id);
  return (
    <>
      <p className="crumbs">
        <a href={linkTo(['databases'])}>Databases</a> ›{' '}
        <a href={linkTo(['databases', database, 'documents'])}>
          <Name of={database} />
        </a>
      </p>
      {database === '_users' ? (
        <>
          <h1>A user</h1>
          <p>
            The document has the hash of a password. <a href={linkTo(['users'])}>Go to the page Users</a>
          </p>
        </>
      ) : id === '' ? (
        <NewDocument database={database} />
      ) : isReserved(id) ? (
        <>
          <h1>{visible(id)}</h1>
          <p role="alert">{RESERVED}</p>
        </>
      ) : (
        <Existing database={database} id={id} />
      )}
    </>
  );
}

const VIEWS = [
  ['Content', undefined],
  ['Revisions', 'revisions'],
  ['Attachments', 'attachments'],
  ['Backups', 'backups'],
] as const;

/** The views that need to send the id in a path. */
const BY_PATH: ReadonlySet<string | undefined> = new Set(['revisions', 'attachments']);

function Existing({ database, id }: Props) {
  const { parameters } = useRoute();
  const { person } = useSession();
  const show = parameters.get('show') ?? undefined;
  const query = useQuery({
    queryKey: documentKey(database, id),
    queryFn: ({ signal }) => readDocument(database, id, { signal }),
    staleTime: 0,
    // Edits are kept against the revision that was read; the save finds out what happened meanwhile.
    refetchOnWindowFocus: false,
  });
  const here = ['databases', database, 'documents', id];
  const isReadOnly = isUnsendable(id);
  const views = VIEWS.filter(
    ([, view]) => (view !== 'backups' || person.isOwner) && !(isReadOnly && BY_PATH.has(view)),
  );
  const isKnown = views.some(([, view]) => view === show);
  const { data: document } = query;
  // Nobody looks for a conflict that nothing tells of.
  const revisions = useQuery({
    queryKey: [...documentKey(database, id), 'revisions'],
    queryFn: ({ signal }) => readRevisions(database, id, signal),
    enabled: document !== undefined && !isReadOnly,
  });
  const conflicts = revisions.data?.conflicts.length ?? 0;
  return (
    <>
      <h1>{visible(id)}</h1>
      <nav className="tabs" aria-label="Views of the document">
        {views.map(([words, view]) => (
          <Tab
            key={words}
            words={`${words}${counted(view, document, conflicts)}`}
            link={linkTo(here, { show: view })}
            isHere={show === view}
          />
        ))}
      </nav>
      {show === 'backups' && person.isOwner ? (
        <DocumentBackups database={database} id={id} />
      ) : (
        <>
          {query.isError && (
            <Failure
              database={database}
              id={id}
              isOwner={person.isOwner}
              error={query.error}
              isOldShown={document !== undefined}
              retry={() => void query.refetch()}
            />
          )}
          {query.isPending && <Waiting what="the document" />}
        </>
      )}
      {document !== undefined && (
        <>
          {/* Hidden, not removed: neither a look at the revisions nor a failed read loses edits. */}
          <div hidden={show !== undefined && isKnown}>
            <DocumentEditor database={database} id={id} read={document} isReadOnly={isReadOnly} />
          </div>
          {isKnown && show === 'revisions' && <RevisionsView database={database} id={id} />}
          {isKnown && show === 'attachments' && (
            <Attachments database={database} id={id} document={document} />
          )}
        </>
      )}
    </>
  );
}

/** What a tab has to show, behind its words. */
function counted(view: string | undefined, document: DocumentText | undefined, conflicts: number): string {
  const attachments = document?.attachments.length ?? 0;
  if (view === 'attachments' && attachments > 0) return ` (${attachments})`;
  return view === 'revisions' && conflicts > 0 ? ` (${conflicts} in conflict)` : '';
}

interface FailureProps extends Props {
  readonly isOwner: boolean;
  readonly error: unknown;
  /** True: the document as it was read before is below, with the edits. */
  readonly isOldShown: boolean;
  readonly retry: () => void;
}

function Failure({ database, id, isOwner, error, isOldShown, retry }: FailureProps) {
  if (error instanceof ApiError && error.status === 404)
    return (
      <>
        <p role={isOldShown ? 'alert' : undefined}>
          {error.reason === 'deleted'
            ? 'This document was deleted.'
            : 'There is no document with this id in the database.'}
          {isOldShown && ' Below is what was read before, with your changes.'}
        </p>
        <p>
          {isOwner && (
            <>
              <a href={linkTo(['databases', database, 'documents', id], { show: 'backups' })}>
                Look for it in the backups
              </a>{' '}
              ·{' '}
            </>
          )}
          <a href={linkTo(['databases', database, 'documents', ''], { id })}>
            Create a document with this id
          </a>
        </p>
      </>
    );
  return (
    <ErrorNotice error={error} title="The document cannot be read" isOldShown={isOldShown} onRetry={retry} />
  );
}
