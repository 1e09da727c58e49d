// A dialog with a title: it holds the focus, and gives it back when it closes.
import { Modal } from '@mantine/core';
import { type ReactNode, useEffect, useState } from 'react';

interface Props {
  readonly title: string;
  readonly onClose: () => void;
  readonly isWide?: boolean;
  /** True: only a button inside closes it. */
  readonly isLocked?: boolean;
  readonly children: ReactNode;
}

/** The head is no `header`: the page has one, and screen readers list it as a landmark. */
export function Dialog({ title, onClose, isWide = false, isLocked = false, children }: Props) {
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
      onClose={isLocked ? () => undefined : onClose}
      closeOnEscape={!isLocked}
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
          {!isLocked && <Modal.CloseButton aria-label="Close" />}
        </div>
        <Modal.Body>{children}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
