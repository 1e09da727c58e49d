// What can be done with a key: rename, change its end, rotate its password, revoke it. The page holds the
// dialog: a new read may move or drop the row of the key, and must not take a new password with it.
import { Button, Menu } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type ApiKey, revokeKey } from '../../api/keys.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { LazyPart, lazyPage } from '../../parts/lazy-page.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { RowMenu } from '../../parts/row-menu.tsx';
import { keysQuery } from '../../queries.ts';
import { ChangeExpiry, RenameKey } from './change-key.tsx';
import { RotateKey } from './rotate-key.tsx';

const ACTIONS = ['rename', 'expiry', 'rotate', 'copy', 'revoke'] as const;

type Action = (typeof ACTIONS)[number];

const WORDS: Readonly<Record<Action, string>> = {
  rename: 'Rename…',
  expiry: 'Change expiry…',
  rotate: 'Rotate password…',
  copy: 'Copy roles to another key…',
  revoke: 'Revoke…',
};

const CopyGrants = lazyPage(() => import('./copy-grants.tsx').then((page) => page.CopyGrants));

/** An action that was chosen for a key, as the key was then. */
export interface ChosenAction {
  readonly action: Action;
  readonly item: ApiKey;
}

interface Props {
  readonly item: ApiKey;
}

interface ChoiceProps extends Props {
  readonly onAct: (chosen: ChosenAction) => void;
}

/** The menu in the row of a key. The page shows `KeyDialog` for what is chosen. */
export function KeyMenu({ item, onAct }: ChoiceProps) {
  return (
    <RowMenu label={`Actions on the key ${item.label ?? item.key}`}>
      {ACTIONS.map((action) => (
        <Menu.Item
          key={action}
          {...(action === 'revoke' ? { className: 'bad' } : {})}
          onClick={() => onAct({ action, item })}
        >
          {WORDS[action]}
        </Menu.Item>
      ))}
    </RowMenu>
  );
}

/** The same actions in the open, for the page of a key. */
export function KeyButtons({ item, onAct }: ChoiceProps) {
  return (
    <div className="actions">
      {ACTIONS.map((action) => (
        <Button
          key={action}
          variant={action === 'revoke' ? 'subtle' : 'default'}
          {...(action === 'revoke' ? { color: 'red' } : {})}
          onClick={() => onAct({ action, item })}
        >
          {WORDS[action]}
        </Button>
      ))}
    </div>
  );
}

/** The dialog of the chosen action. */
export function KeyDialog({ action, item, onClose }: ChosenAction & { readonly onClose: () => void }) {
  switch (action) {
    case 'rename':
      return <RenameKey item={item} onClose={onClose} />;
    case 'expiry':
      return <ChangeExpiry item={item} onClose={onClose} />;
    case 'rotate':
      return <RotateKey item={item} onClose={onClose} />;
    case 'copy':
      return (
        <LazyPart what="the dialog">
          <CopyGrants item={item} onClose={onClose} />
        </LazyPart>
      );
    case 'revoke':
      return <RevokeKey item={item} onClose={onClose} />;
  }
}

/** Databases that are named; the others are counted. */
const MAX_NAMED = 10;

interface DialogProps extends Props {
  readonly onClose: () => void;
}

/**
 * Revokes; then offers to remove the rows with the name of the key, if the server says that some are left.
 */
function RevokeKey({ item: { key, label }, onClose }: DialogProps) {
  const queries = useQueryClient();
  const [left, setLeft] = useState<readonly string[]>([]);
  const run = async (): Promise<'done' | 'ask again'> => {
    const found = await revokeKey(key, { removesGrants: left.length > 0 });
    setLeft(found);
    const isRead = queries.invalidateQueries({ queryKey: keysQuery.queryKey });
    if (found.length > 0) return 'ask again';
    await isRead;
    return 'done';
  };
  return (
    <ConfirmDialog
      title={left.length === 0 ? 'Revoke API key' : 'The key is revoked'}
      action={left.length === 0 ? 'Revoke' : 'Remove its rows'}
      wayOut={left.length === 0 ? 'Cancel' : 'Keep them'}
      run={run}
      onClose={onClose}
    >
      <p>
        {label !== null && label !== '' && (
          <>
            <strong>
              <Foreign text={label} />
            </strong>{' '}
          </>
        )}
        <Name of={key} /> {left.length === 0 ? 'ends for good.' : 'has ended.'} Its name is never used again.
      </p>
      {left.length === 0 ? (
        <ul>
          <li>Its passwords stop working, and its sessions end.</li>
          <li>Its open feeds and running uploads are closed.</li>
          <li>Rows with its name stay on the databases that granted it roles, without effect.</li>
        </ul>
      ) : (
        <p>
          Rows with its name are left, without effect, on{' '}
          {left.slice(0, MAX_NAMED).map((database, at) => (
            <span key={database}>
              {at > 0 && ', '}
              <Name of={database} />
            </span>
          ))}
          {left.length > MAX_NAMED && ` and ${left.length - MAX_NAMED} more databases`}.
        </p>
      )}
    </ConfirmDialog>
  );
}
