// The dialog that gives a key a new password, with a choice of when the old one ends.
import { Radio } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type ApiKey, rotateKey, type Secret } from '../../api/keys.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { Name } from '../../parts/name.tsx';
import { LOSES_PASSWORD, SecretDialog } from '../../parts/secret-dialog.tsx';
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
  const run = async (): Promise<void> => {
    setSecret(await rotateKey(key, Number(overlap)));
    await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
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
    <FormDialog
      title="Rotate password"
      action="Rotate"
      failed="The password was not rotated"
      ifUnknown="The old password may have ended. Rotate again: nobody has the password that may have been made."
      leaving={LOSES_PASSWORD}
      run={run}
      onClose={onClose}
    >
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
    </FormDialog>
  );
}
