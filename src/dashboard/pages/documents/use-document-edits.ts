// Holds the edits of a document, and what somebody else has saved meanwhile.
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { type DocumentText, documentKey, readDocument, saveDocument } from '../../api/documents.ts';
import { ApiError } from '../../api/http.ts';
import { guardLeaving } from '../../router.ts';

export interface DocumentEdits {
  /** What the edits began with. */
  readonly base: DocumentText;
  readonly text: string;
  readonly setText: (text: string) => void;
  /** The revision that a save has met; undefined = none. */
  readonly theirs: DocumentText | undefined;
  readonly isEdited: boolean;
  readonly isSaving: boolean;
  readonly error: unknown;
  /** The revision of the last save. */
  readonly saved: string | undefined;
  readonly save: () => Promise<void>;
  readonly discard: () => void;
  /** Goes on from their revision, with my text or with theirs. */
  readonly settle: (whose: 'mine' | 'theirs') => void;
}

function useLeavingGuard(isEdited: boolean): void {
  useEffect(
    () => (isEdited ? guardLeaving(() => 'The document has unsaved changes. Leave anyway?') : undefined),
    [isEdited],
  );
}

export function useDocumentEdits(database: string, id: string, read: DocumentText): DocumentEdits {
  const queries = useQueryClient();
  const [base, setBase] = useState(read);
  const [text, setText] = useState(read.text);
  const [theirs, setTheirs] = useState<DocumentText>();
  const [error, setError] = useState<unknown>();
  const [saved, setSaved] = useState<string>();
  const [isSaving, setSaving] = useState(false);
  const isEdited = text !== base.text;
  // A newer revision arrives while nothing is edited: it is shown.
  if (read.rev !== base.rev && !isEdited && !isSaving && theirs === undefined) {
    setBase(read);
    setText(read.text);
  }
  useLeavingGuard(isEdited);
  const queryKey = documentKey(database, id);
  // If the next read fails, the page goes on with this revision, and not with the one before it.
  const remember = (document: DocumentText): void => void queries.setQueryData(queryKey, document);
  const save = async (): Promise<void> => {
    setSaving(true);
    setError(undefined);
    setSaved(undefined);
    try {
      const rev = await saveDocument(database, id, { ...base, text });
      const written = { ...base, rev, text };
      setBase(written);
      setSaved(rev);
      remember(written);
      await queries.invalidateQueries({ queryKey });
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.status === 409)
        await readDocument(database, id).then((now) => {
          setTheirs(now);
          remember(now);
        }, setError);
      else setError(thrown);
    } finally {
      setSaving(false);
    }
  };
  return {
    base,
    text,
    setText,
    theirs,
    isEdited,
    isSaving,
    error,
    saved,
    save,
    discard() {
      setText(base.text);
      setError(undefined);
    },
    settle(whose) {
      if (theirs === undefined) return;
      setBase(theirs);
      if (whose === 'theirs') setText(theirs.text);
      setTheirs(undefined);
    },
  };
}
