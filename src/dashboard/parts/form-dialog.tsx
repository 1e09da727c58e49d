// A dialog whose button sends a request. It stays open until the answer is there.
import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, type SyntheticEvent, useState } from 'react';
import { ApiError } from '../api/api-error.ts';
import { Dialog, WayOut } from './dialog.tsx';
import { useViewGuard } from '../router.ts';
import { ErrorNotice } from './error-notice.tsx';

interface Props {
  readonly title: string;
  /** Words of the button. */
  readonly action: string;
  readonly isReady?: boolean;
  /** True: the action ends or deletes something. */
  readonly isDangerous?: boolean;
  readonly isWide?: boolean;
  /** Words of the way out; by default "Cancel". */
  readonly wayOut?: string;
  /** The button on which the focus is at first; undefined = a field has it. */
  readonly firstFocus?: 'action' | 'way out' | undefined;
  /** Title of the notice if `run` rejects. */
  readonly failed: string;
  /** What to do if it is not known whether it was done. */
  readonly ifUnknown?: string;
  /** What the notice says besides. */
  readonly failedMore?: ReactNode;
  /** Shows an error beside a field; true = it did. */
  readonly place?: (error: unknown) => boolean;
  /** Does it, then closes the dialog or shows another one in its place. */
  readonly run: () => Promise<unknown>;
  /** Asked before the page is left while the request runs; undefined = its answer can be read later. */
  readonly leaving?: string;
  readonly onClose: () => void;
  /** Beside the buttons. */
  readonly hint?: ReactNode;
  readonly children: ReactNode;
}

/** A failure is shown, and nothing that was typed is lost. */
export function FormDialog({
  title,
  action,
  isReady = true,
  isDangerous = false,
  isWide = false,
  wayOut,
  firstFocus,
  failed,
  ifUnknown = 'Look at what there is now before you try again.',
  failedMore,
  place,
  run,
  leaving,
  onClose,
  hint,
  children,
}: Props) {
  const queries = useQueryClient();
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  useViewGuard(isBusy ? leaving : undefined);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    run()
      .catch((thrown: unknown) => {
        if (place?.(thrown) === true) return;
        setError(thrown);
        if (thrown instanceof ApiError && thrown.isOutcomeUnknown) void queries.invalidateQueries();
      })
      .finally(() => setBusy(false));
  };
  return (
    <Dialog title={title} onClose={onClose} isWide={isWide} isBusy={isBusy}>
      <form className="form" onSubmit={submit}>
        {children}
        {error !== undefined && (
          <ErrorNotice error={error} title={failed} ifUnknown={ifUnknown}>
            {failedMore}
          </ErrorNotice>
        )}
        <div className="actions">
          <Button
            type="submit"
            {...(isDangerous ? { color: 'red' } : {})}
            loading={isBusy}
            disabled={!isReady}
            data-autofocus={firstFocus === 'action' || undefined}
          >
            {action}
          </Button>
          <WayOut
            {...(wayOut === undefined ? {} : { words: wayOut })}
            isFirst={firstFocus === 'way out'}
            onClose={onClose}
          />
          {hint}
        </div>
      </form>
    </Dialog>
  );
}
