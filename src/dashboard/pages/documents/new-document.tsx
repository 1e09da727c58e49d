// The form of a new document.
import { Button, TextInput } from '@mantine/core';
import { type SyntheticEvent, useEffect, useState } from 'react';
import { ApiError } from '../../api/http.ts';
import { newId, saveDocument } from '../../api/documents.ts';
import { isReserved, isUnsendable, RESERVED } from '../../api/paths.ts';
import { ErrorNotice, RequestId } from '../../parts/error-notice.tsx';
import { JsonEditor } from '../../parts/json-editor.tsx';
import { goTo, guardLeaving, linkTo, useRoute } from '../../router.ts';
import { contentProblem } from './document-editor.tsx';

const START = '{\n  \n}';

export function NewDocument({ database }: { readonly database: string }) {
  const { parameters } = useRoute();
  const [id, setId] = useState(parameters.get('id') ?? '');
  const [text, setText] = useState(START);
  const [error, setError] = useState<unknown>();
  const [saved, setSaved] = useState<string>();
  const [isSaving, setSaving] = useState(false);
  const problem = contentProblem(text);
  const idProblem = isReserved(id)
    ? RESERVED
    : isUnsendable(id)
      ? 'Browsers cannot send this id.'
      : undefined;
  const isTaken = error instanceof ApiError && error.status === 409;
  const isEdited = text !== START && saved === undefined;
  useEffect(
    () => (isEdited ? guardLeaving(() => 'The document is not saved. Leave anyway?') : undefined),
    [isEdited],
  );
  // Only after the guard has gone: the way to the saved document asks nothing.
  useEffect(() => {
    if (saved !== undefined) goTo(linkTo(['databases', database, 'documents', saved]));
  }, [saved, database]);
  const create = async (): Promise<void> => {
    const chosen = id === '' ? await newId() : id;
    await saveDocument(database, chosen, { text, rev: undefined, reserved: [] });
    setSaved(chosen);
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setSaving(true);
    setError(undefined);
    create()
      .catch(setError)
      .finally(() => setSaving(false));
  };
  return (
    <>
      <h1>New document</h1>
      <form className="form" onSubmit={submit}>
        <TextInput
          className="narrow"
          label="Id"
          description="Left empty, CouchDB makes one."
          autoComplete="off"
          spellCheck={false}
          value={id}
          error={idProblem ?? (isTaken ? 'A document with this id exists.' : undefined)}
          onChange={(event) => {
            setId(event.currentTarget.value);
            setError(undefined);
          }}
        />
        {isTaken && <RequestId id={error.requestId} />}
        <JsonEditor label="Content of the document" value={text} onChange={setText} />
        {text !== START && problem !== undefined && (
          <p className="bad" role="status">
            {problem}
          </p>
        )}
        {error !== undefined && !isTaken && (
          <ErrorNotice error={error} title="The document was not created" />
        )}
        <div className="actions">
          <Button
            type="submit"
            loading={isSaving}
            disabled={problem !== undefined || idProblem !== undefined}
          >
            Create document
          </Button>
          <a href={linkTo(['databases', database, 'documents'])}>Cancel</a>
        </div>
      </form>
    </>
  );
}
