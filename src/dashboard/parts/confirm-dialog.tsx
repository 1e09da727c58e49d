// Asks before something that cannot be undone.
import { TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { FormDialog } from './form-dialog.tsx';
import { visible } from './name.tsx';

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  /** Words of the button. */
  readonly action: string;
  /** Words of the way out; by default "Cancel". */
  readonly wayOut?: string;
  /** True: nothing is lost that cannot be had again. */
  readonly isHarmless?: boolean;
  /** What the person must type; undefined = nothing. */
  readonly typed?: string;
  /** Resolves with `ask again` to stay open: `children` then say what else there is to know. */
  readonly run: () => Promise<unknown>;
  readonly onClose: () => void;
}

/** Runs the action and closes; a failure is shown and nothing is lost. */
export function ConfirmDialog({ children, isHarmless = false, typed, run, onClose, ...words }: Props) {
  const [text, setText] = useState('');
  return (
    <FormDialog
      {...words}
      isDangerous={!isHarmless}
      // Nobody can type a character that is not seen.
      isReady={typed === undefined || text === typed || text === visible(typed)}
      firstFocus={typed === undefined ? 'way out' : undefined}
      failed="It was not done"
      run={async () => {
        if ((await run()) !== 'ask again') onClose();
      }}
      onClose={onClose}
    >
      <div>{children}</div>
      {typed !== undefined && (
        <TextInput
          label={`Type ${visible(typed)} to confirm`}
          autoComplete="off"
          spellCheck={false}
          data-autofocus
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      )}
    </FormDialog>
  );
}
