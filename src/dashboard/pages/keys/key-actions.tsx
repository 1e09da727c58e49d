// What can be done with a key: rename, change its end, rotate its password, revoke it.
import { ActionIcon, Menu } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type ApiKey, revokeKey } from '../../api/keys.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { keysQuery } from '../../queries.ts';
import { ChangeExpiry, RenameKey } from './change-key.tsx';
import { RotateKey } from './rotate-key.tsx';

type Action = 'rename' | 'expiry' | 'rotate' | 'revoke';

const WORDS: Readonly<Record<Action, string>> = {
  rename: 'Rename…',
  expiry: 'Change expiry…',
  rotate: 'Rotate password…',
  revoke: 'Revoke…',
};

interface Props {
  readonly item: ApiKey;
}

export function KeyMenu({ item }: Props) {
  const [action, setAction] = useState<Action>();
  const close = (): void => setAction(undefined);
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon aria-label={`Actions on the key ${item.label ?? item.key}`}>⋯</ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {(['rename', 'expiry', 'rotate', 'revoke'] as const).map((each) => (
            <Menu.Item
              key={each}
              {...(each === 'revoke' ? { className: 'bad' } : {})}
              onClick={() => setAction(each)}
            >
              {WORDS[each]}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      {action !== undefined && <KeyAction action={action} item={item} onClose={close} />}
    </>
  );
}

function KeyAction({
  action,
  item,
  onClose,
}: Props & { readonly action: Action; readonly onClose: () => void }) {
  switch (action) {
    case 'rename':
      return <RenameKey item={item} onClose={onClose} />;
    case 'expiry':
      return <ChangeExpiry item={item} onClose={onClose} />;
    case 'rotate':
      return <RotateKey item={item} onClose={onClose} />;
    case 'revoke':
      return <RevokeKey item={item} onClose={onClose} />;
  }
}

interface DialogProps extends Props {
  readonly onClose: () => void;
}

function RevokeKey({ item: { key, label }, onClose }: DialogProps) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title="Revoke API key"
      action="Revoke"
      run={async () => {
        await revokeKey(key);
        await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
      }}
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
        <Name of={key} /> ends for good. Its name is never used again.
      </p>
      <ul>
        <li>Its passwords stop working, and its sessions end.</li>
        <li>Its open feeds and running uploads are closed.</li>
        <li>Rows with its name stay on the databases that granted it roles, without effect.</li>
      </ul>
    </ConfirmDialog>
  );
}
