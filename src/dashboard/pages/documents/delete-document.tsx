// The dialog that deletes the shown revision of a document, and says what becomes of the document.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { deleteRevision, documentKey, type DocumentText, readRevisions } from '../../api/documents.ts';
import { afterDeletion } from '../../document-words.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Name } from '../../parts/name.tsx';
import { goTo, linkTo } from '../../router.ts';

interface Props {
  readonly database: string;
  readonly id: string;
  readonly document: DocumentText;
  /** Called before the page is left: nothing is left to lose. */
  readonly onDeleted: () => void;
  readonly onClose: () => void;
}

export function DeleteDocument({ database, id, document, onDeleted, onClose }: Props) {
  const queries = useQueryClient();
  const revisions = useQuery({
    queryKey: [...documentKey(database, id), 'revisions'],
    queryFn: ({ signal }) => readRevisions(database, id, signal),
    // Replication may have brought a conflict since the page was opened.
    staleTime: 0,
  });
  const conflicts = revisions.isError ? undefined : revisions.data?.conflicts.length;
  const action = conflicts === 0 ? 'Delete document' : 'Delete this revision';
  return (
    <ConfirmDialog
      title={action}
      action={action}
      run={async () => {
        await deleteRevision(database, id, document.rev);
        onDeleted();
        await queries.invalidateQueries({ queryKey: ['documents', database] });
        // With conflicts there still is a document: the page shows which one.
        if (conflicts === 0) goTo(linkTo(['databases', database, 'documents']));
        else await queries.invalidateQueries({ queryKey: documentKey(database, id) });
      }}
      onClose={onClose}
    >
      <p>
        <Name of={id} /> {afterDeletion(conflicts, document.attachments.length > 0)}
      </p>
    </ConfirmDialog>
  );
}
