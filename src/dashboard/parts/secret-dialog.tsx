// Shows a new password once. It stays in the memory of this component: no address, cache or storage has it.
import { Alert, Button, Checkbox } from '@mantine/core';
import { Dialog } from './dialog.tsx';
import { useState } from 'react';
import { type Secret } from '../api/keys.ts';
import { API_ROOT } from '../api/http.ts';
import { useViewGuard } from '../router.ts';
import { CopyButton } from './copy-button.tsx';

interface Props {
  readonly title: string;
  readonly secret: Secret;
  /** Path of the example, such as a database. */
  readonly path: string;
  readonly note?: string;
  readonly onClose: () => void;
}

export const LOSES_PASSWORD = 'The new password is shown only here. Leave without it?';

/** Closes only after the person has said that the password is stored. */
export function SecretDialog({ title, secret, path, note, onClose }: Props) {
  const [isStored, setStored] = useState(false);
  useViewGuard(isStored ? undefined : LOSES_PASSWORD);
  const curl = `curl -u '${secret.key}:${secret.password}' ${API_ROOT}${path}`;
  return (
    <Dialog title={title} isWide isLocked>
      <Alert color="yellow">The password is shown now and never again. It cannot be retrieved.</Alert>
      {note !== undefined && <p>{note}</p>}
      <dl className="secret">
        <Line title="Key" value={secret.key} />
        <Line title="Password" value={secret.password} />
        <Line title="Try it" value={curl} />
      </dl>
      <Checkbox
        label="I have stored the password"
        checked={isStored}
        onChange={(event) => setStored(event.currentTarget.checked)}
      />
      <div className="actions">
        <Button disabled={!isStored} onClick={onClose}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}

function Line({ title, value }: { readonly title: string; readonly value: string }) {
  return (
    <>
      <dt>{title}</dt>
      <dd>
        <code>{value}</code>
        <CopyButton text={value} what={title.toLowerCase()} />
      </dd>
    </>
  );
}
