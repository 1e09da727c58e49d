// The menu of a row. It is made when it is opened: fifty menus would delay the first rows of a list.
import { Menu } from '@mantine/core';
import { type ReactNode, type Ref, useRef, useState } from 'react';

interface Props {
  /** Name of the button and of the menu. */
  readonly label: string;
  /** Items of the menu. */
  readonly children: ReactNode;
}

export function RowMenu({ label, children }: Props) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  // At once: a dialog that an item opens gives the focus back to where it is now.
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <span className="row-menu">
      {/* Fifty buttons of the library would cost more than the rest of their rows. */}
      <button
        ref={button}
        type="button"
        className="row-menu-button"
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        // A click outside closes the menu; this one would open it again.
        onMouseDown={(event) => event.stopPropagation()}
        onClick={() => (isOpen ? close() : setOpen(true))}
      >
        ⋯
      </button>
      {isOpen && (
        <Menu position="bottom-end" opened onClose={close}>
          <Menu.Target>
            <Anchor label={label} />
          </Menu.Target>
          <Menu.Dropdown>{children}</Menu.Dropdown>
        </Menu>
      )}
    </span>
  );
}

interface AnchorProps {
  readonly label: string;
  readonly id?: string;
  readonly ref?: Ref<HTMLSpanElement>;
}

/** Where the menu is, and what names it. The button is what opens and closes it. */
function Anchor({ label, id, ref }: AnchorProps) {
  return (
    <span ref={ref} id={id} aria-hidden="true" className="row-menu-anchor">
      <span className="unseen">{label}</span>
    </span>
  );
}
