// The bar that collects the edits, and the dialog that says what saving them changes.
import { Alert, Button, TextInput } from '@mantine/core';
import { useState } from 'react';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { Name } from '../../parts/name.tsx';
import { tidied } from '../../permission-edits.ts';
import { type Consequence, consequencesOf } from '../../permission-words.ts';
import { useReach } from '../../parts/use-reach.ts';
import { ChangedMeanwhile, type Editing } from './use-edits.ts';

interface Props {
  readonly database: string;
  readonly editing: Editing;
  /** Called with warnings of the server after a save. */
  readonly onSaved: (warnings: readonly string[]) => void;
}

export function SaveBar({ database, editing, onSaved }: Props) {
  const [isReviewing, setReviewing] = useState(false);
  // Here, so that it outlives a review that ends without a save.
  const [reason, setReason] = useState('');
  const { edits, conflicts } = editing;
  const count = edits.grants.size + (edits.couch === undefined ? 0 : 1);
  return (
    <div className="save-bar" role="region" aria-label="Unsaved changes">
      <span role="status">
        {count === 1 ? '1 unsaved change' : `${count} unsaved changes`}
        {conflicts.length > 0 && ': choose between theirs and mine first'}
      </span>
      <Button onClick={() => setReviewing(true)} disabled={conflicts.length > 0}>
        Review and save
      </Button>
      <Button variant="default" onClick={editing.discard}>
        Discard
      </Button>
      {isReviewing && (
        <Review
          database={database}
          editing={editing}
          reason={reason}
          onReason={setReason}
          onSaved={onSaved}
          onClose={() => setReviewing(false)}
        />
      )}
    </div>
  );
}

interface ReviewProps extends Props {
  readonly reason: string;
  readonly onReason: (reason: string) => void;
  readonly onClose: () => void;
}

function Review({ database, editing, reason, onReason, onSaved, onClose }: ReviewProps) {
  const { base, edits, conflicts, save } = editing;
  const { reach } = useReach(database);
  const consequences = consequencesOf(database, base.document, tidied(edits), reach);
  return (
    <FormDialog
      title={`Save permissions of ${database}`}
      isWide
      action="Save"
      isReady={conflicts.length === 0}
      firstFocus="action"
      wayOut="Go on editing"
      failed="The permissions were not saved"
      ifUnknown="The page reads them again. What was saved then leaves this list."
      failedMore={<p>Your changes are still here.</p>}
      place={(thrown) => {
        // The page shows theirs beside mine.
        if (thrown instanceof ChangedMeanwhile) onClose();
        return thrown instanceof ChangedMeanwhile;
      }}
      run={async () => {
        const warnings = await save(reason);
        onClose();
        onSaved(warnings);
      }}
      onClose={onClose}
    >
      <ul className="consequences">
        {consequences.map((consequence) => (
          <ConsequenceLine key={`${consequence.name ?? ''} ${consequence.text}`} consequence={consequence} />
        ))}
      </ul>
      {base.revision !== undefined && (
        <TextInput
          label="Reason (optional, kept in the history)"
          autoComplete="off"
          maxLength={512}
          value={reason}
          onChange={(event) => onReason(event.currentTarget.value)}
        />
      )}
      {conflicts.length > 0 && (
        <Alert color="yellow" role="alert" title="Somebody else has saved these permissions meanwhile">
          You both changed the same rows. Go on editing, and choose between theirs and yours.
        </Alert>
      )}
    </FormDialog>
  );
}

const SIGNS = { opens: '!', gives: '+', takes: '−' } as const;

function ConsequenceLine({ consequence: { tone, name, text } }: { readonly consequence: Consequence }) {
  return (
    <li className={tone}>
      <span className="sign" aria-hidden="true">
        {SIGNS[tone]}
      </span>
      <span>
        {name !== undefined && <Name of={name} />} {text}
      </span>
    </li>
  );
}
