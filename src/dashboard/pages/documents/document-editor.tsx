// Edits the content of a document, and shows what somebody else has changed meanwhile.
import { Alert, Button } from '@mantine/core';
import { useState } from 'react';
import { type DocumentText } from '../../api/documents.ts';
import { problemIn, membersOf } from '../../json-text.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { JsonEditor } from '../../parts/json-editor.tsx';
import { LazyPart, lazyPage } from '../../parts/lazy-page.tsx';
import { Name } from '../../parts/name.tsx';
import { DeleteDocument } from './delete-document.tsx';
import { useDocumentEdits } from './use-document-edits.ts';

export const JsonCompare = lazyPage(() =>
  import('../../parts/json-compare.tsx').then((page) => page.JsonCompare),
);

interface Props {
  readonly database: string;
  readonly id: string;
  readonly read: DocumentText;
  readonly isReadOnly: boolean;
}

/** Why the text cannot be saved. Fields of CouchDB are not part of the content. */
export function contentProblem(text: string): string | undefined {
  const problem = problemIn(text);
  if (problem !== undefined) return problem;
  const reserved = membersOf(text).find(({ name }) => name.startsWith('_'));
  return reserved === undefined
    ? undefined
    : `CouchDB keeps names that begin with an underscore for itself: remove ${JSON.stringify(reserved.name)}.`;
}

export function DocumentEditor({ database, id, read, isReadOnly }: Props) {
  const edits = useDocumentEdits(database, id, read);
  const { base, text, setText, theirs, error, saved, isEdited, isSaving } = edits;
  const [isDeleting, setDeleting] = useState(false);
  const problem = contentProblem(text);
  return (
    <>
      <dl className="facts">
        <dt>Revision</dt>
        <dd>
          <Name of={base.rev} />
        </dd>
      </dl>
      {isReadOnly && (
        <Alert color="yellow">
          Browsers cannot send the id <Name of={id} />: they take it as a step in a path. Use another program
          to change this document.
        </Alert>
      )}
      {theirs === undefined ? (
        <JsonEditor
          label="Content of the document"
          value={text}
          onChange={isReadOnly ? undefined : setText}
        />
      ) : (
        <Meanwhile
          theirs={theirs}
          mine={text}
          onChange={setText}
          onAccept={() => edits.settle('mine')}
          onDrop={() => edits.settle('theirs')}
        />
      )}
      {isEdited && problem !== undefined && (
        <p className="bad" role="status">
          {problem}
        </p>
      )}
      {error !== undefined && <ErrorNotice error={error} title="The document was not saved" />}
      {saved !== undefined && !isEdited && (
        <Alert color="green" role="status" className="saved">
          Saved as revision <Name of={saved} />.
        </Alert>
      )}
      {!isReadOnly && theirs === undefined && (
        <div className="actions">
          <Button
            disabled={!isEdited || problem !== undefined}
            loading={isSaving}
            onClick={() => void edits.save()}
          >
            Save
          </Button>
          <Button variant="default" disabled={!isEdited} onClick={edits.discard}>
            Discard changes
          </Button>
          <Button variant="subtle" color="red" onClick={() => setDeleting(true)}>
            Delete document…
          </Button>
        </div>
      )}
      {isDeleting && (
        <DeleteDocument
          database={database}
          id={id}
          document={base}
          onDeleted={edits.discard}
          onClose={() => setDeleting(false)}
        />
      )}
    </>
  );
}

interface MeanwhileProps {
  readonly theirs: DocumentText;
  readonly mine: string;
  readonly onChange: (text: string) => void;
  readonly onAccept: () => void;
  readonly onDrop: () => void;
}

/** Theirs beside mine. Mine stays editable, and parts of theirs can be taken over. */
function Meanwhile({ theirs, mine, onChange, onAccept, onDrop }: MeanwhileProps) {
  // The comparison starts with mine as it is now; later edits are its own.
  const [start] = useState(mine);
  return (
    <div className="conflicts" role="alert">
      <h2>Somebody else has changed this document</h2>
      <p>
        Nothing was written. The revision in the database is now <Name of={theirs.rev} />. Take over what you
        need with the arrows in the middle, then go on with your text or drop it.
      </p>
      <LazyPart what="the comparison">
        <JsonCompare
          left={{ title: 'In the database now', text: theirs.text }}
          right={{ title: 'Yours', text: start }}
          onChange={onChange}
        />
      </LazyPart>
      <div className="actions">
        <Button onClick={onAccept}>Go on with mine</Button>
        <Button variant="default" onClick={onDrop}>
          Drop mine, show theirs
        </Button>
      </div>
    </div>
  );
}
