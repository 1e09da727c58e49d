// The dialogs that change the label and the end of a key.
import { TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { type ApiKey, changeKey } from '../../api/keys.ts';
import { ExpiryField, useExpiry } from '../../parts/expiry-field.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { Name } from '../../parts/name.tsx';
import { keysQuery } from '../../queries.ts';

interface Props {
  readonly item: ApiKey;
  readonly onClose: () => void;
}

export function RenameKey({ item, onClose }: Props) {
  const [label, setLabel] = useState(item.label ?? '');
  const trimmed = label.trim();
  return (
    <ChangeDialog
      title="Rename API key"
      item={item}
      fields={() => ({ label: trimmed === '' ? null : trimmed })}
      onClose={onClose}
    >
      <TextInput
        label="Label"
        description="The name of the key itself never changes."
        data-autofocus
        autoComplete="off"
        maxLength={256}
        value={label}
        onChange={(event) => setLabel(event.currentTarget.value)}
      />
    </ChangeDialog>
  );
}

export function ChangeExpiry({ item, onClose }: Props) {
  const { expires_at: at } = item;
  const expiry = useExpiry(at === null ? 'never' : 'day', at === null ? '' : localDay(at));
  return (
    <ChangeDialog
      title="Change expiry"
      item={item}
      problem={expiry.problem}
      fields={() => ({ expires_at: expiry.value() })}
      onClose={onClose}
    >
      <ExpiryField expiry={expiry} />
      <p className="hint">An expired key works again when it gets a later end.</p>
    </ChangeDialog>
  );
}

/** `2030-01-31` in local time, as a date field has it. */
function localDay(iso: string): string {
  const date = new Date(iso);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

interface DialogProps extends Props {
  readonly title: string;
  readonly fields: () => Parameters<typeof changeKey>[1];
  readonly problem?: string | undefined;
  readonly children: ReactNode;
}

function ChangeDialog({ title, item: { key }, fields, problem, children, onClose }: DialogProps) {
  const queries = useQueryClient();
  return (
    <FormDialog
      title={title}
      action="Save"
      isReady={problem === undefined}
      failed="The key was not changed"
      run={async () => {
        await changeKey(key, fields());
        await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
        onClose();
      }}
      onClose={onClose}
    >
      <p>
        <Name of={key} />
      </p>
      {children}
    </FormDialog>
  );
}
