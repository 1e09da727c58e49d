// A dialog with a title: it holds the focus, and gives it back when it closes.
import { Button, Modal } from '@mantine/core';
import { createContext, type ReactNode, use, useEffect, useState } from 'react';

/** True in a dialog whose request runs. */
const Busy = createContext(false);

interface Content {
  readonly title: string;
  readonly isWide?: boolean;
  readonly children: ReactNode;
}

type Props = Content &
  (
    | {
        readonly onClose: () => void;
        /**
         * True: its request runs, and nothing closes it. The change would go on unseen, and the answer may be
         * a password that is shown once.
         */
        readonly isBusy: boolean;
      }
    /** Only a button inside closes it. */
    | { readonly isLocked: true }
  );

/** The head is no `header`: the page has one, and screen readers list it as a landmark. */
export function Dialog({ title, isWide = false, children, ...closing }: Props) {
  const isLocked = 'isLocked' in closing;
  const isBusy = !isLocked && closing.isBusy;
  const staysOpen = isLocked || isBusy;
  // A dialog is removed as a whole when it closes, so the library does not give the focus back.
  const [before] = useState(() => document.activeElement);
  useEffect(
    () => () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    },
    [before],
  );
  return (
    <Modal.Root
      opened
      onClose={staysOpen ? () => undefined : closing.onClose}
      closeOnEscape={!staysOpen}
      closeOnClickOutside={false}
      centered
      // Scroll locking and transitions would need styles inside the page, which the policy forbids.
      lockScroll={false}
      transitionProps={{ duration: 0 }}
      size={isWide ? 'lg' : 'md'}
    >
      <Modal.Overlay />
      <Modal.Content>
        <div className="dialog-head">
          <Modal.Title>{title}</Modal.Title>
          {!isLocked && <Modal.CloseButton aria-label="Close" disabled={isBusy} />}
        </div>
        <Modal.Body>
          <Busy value={isBusy}>{children}</Busy>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

interface WayOutProps {
  readonly words?: string;
  /** True: the dialog opens with the focus on it. */
  readonly isFirst?: boolean;
  readonly onClose: () => void;
}

/** The button that closes a dialog and does nothing. */
export function WayOut({ words = 'Cancel', isFirst = false, onClose }: WayOutProps) {
  return (
    <Button
      variant="subtle"
      color="gray"
      onClick={onClose}
      disabled={use(Busy)}
      data-autofocus={isFirst || undefined}
    >
      {words}
    </Button>
  );
}
