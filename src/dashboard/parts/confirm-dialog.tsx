// Asks before something that cannot be undone.
import { Button, TextInput } from '@mantine/core';
import { Dialog } from './dialog.tsx';
import { type ReactNode, type SyntheticEvent, useState } from 'react';
import { ErrorNotice } from './error-notice.tsx';
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
export function ConfirmDialog({
  title,
  children,
  action,
  wayOut = 'Cancel',
  isHarmless = false,
  typed,
  run,
  onClose,
}: Props) {
  const [text, setText] = useState('');
  const [error, setError] = useState<unknown>();
  const [isRunning, setRunning] = useState(false);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setRunning(true);
    setError(undefined);
    run()
      .then((result) => {
        if (result !== 'ask again') onClose();
      }, setError)
      .finally(() => setRunning(false));
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="form" onSubmit={submit}>
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
        {error !== undefined && <ErrorNotice error={error} title="It was not done" />}
        <div className="actions">
          <Button
            type="submit"
            {...(isHarmless ? {} : { color: 'red' })}
            loading={isRunning}
            // Nobody can type a character that is not seen.
            disabled={typed !== undefined && text !== typed && text !== visible(typed)}
          >
            {action}
          </Button>
          <Button
            variant="subtle"
            color="gray"
            onClick={onClose}
            data-autofocus={typed === undefined || undefined}
          >
            {wayOut}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
