// The dialog that gives a key a new password, with a choice of when the old one ends.
import { Button, Radio } from '@mantine/core';
import { Dialog } from '../../parts/dialog.tsx';
import { useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { type ApiKey, rotateKey, type Secret } from '../../api/keys.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { SecretDialog } from '../../parts/secret-dialog.tsx';
import { keysQuery } from '../../queries.ts';

/** Overlap in seconds, and its words. */
const OVERLAPS = [
  ['0', 'Now: what uses it is cut off at once'],
  ['3600', 'In an hour'],
  ['86400', 'In 24 hours'],
  ['604800', 'In 7 days'],
] as const;

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

interface Props {
  readonly item: ApiKey;
  readonly onClose: () => void;
}

export function RotateKey({ item: { key }, onClose }: Props) {
  const queries = useQueryClient();
  const [overlap, setOverlap] = useState('86400');
  const [secret, setSecret] = useState<Secret & { readonly oldValidUntil: string }>();
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setSending(true);
    rotateKey(key, Number(overlap))
      .then(async (made) => {
        setSecret(made);
        await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
      })
      .catch((thrown: unknown) => {
        setError(thrown);
        setSending(false);
      });
  };
  if (secret !== undefined)
    return (
      <SecretDialog
        title="New password"
        secret={secret}
        path="_session"
        note={
          overlap === '0'
            ? 'The old password no longer works.'
            : `The old password works until ${exact.format(Date.parse(secret.oldValidUntil))}.`
        }
        onClose={onClose}
      />
    );
  return (
    <Dialog title="Rotate password" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p>
          <Name of={key} /> gets a new password.
        </p>
        <Radio.Group label="The old password ends" value={overlap} onChange={setOverlap}>
          <div className="choices">
            {OVERLAPS.map(([value, words]) => (
              <Radio key={value} value={value} label={words} />
            ))}
          </div>
        </Radio.Group>
        {error !== undefined && <ErrorNotice error={error} title="The password was not rotated" />}
        <div className="actions">
          <Button type="submit" loading={isSending}>
            Rotate
          </Button>
          <Button variant="subtle" color="gray" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
