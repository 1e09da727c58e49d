// Generates an API key with its first grant, on the page of the database.
import { TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { createKey, type Secret } from '../../api/keys.ts';
import { ExpiryField, useExpiry } from '../../parts/expiry-field.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { RoleChoices } from '../../parts/role-choices.tsx';
import { LOSES_PASSWORD, SecretDialog } from '../../parts/secret-dialog.tsx';
import { keysQuery, permissionsQuery } from '../../queries.ts';
import { linkTo } from '../../router.ts';

interface Props {
  /** Undefined = a key without a grant. */
  readonly database: string | undefined;
  readonly onClose: () => void;
}

/** Asks for label, expiry and roles; then shows name and password once. */
export function GenerateKey({ database, onClose }: Props) {
  const queries = useQueryClient();
  const [secret, setSecret] = useState<Secret>();
  const created = async (made: Secret): Promise<void> => {
    setSecret(made);
    await queries.invalidateQueries({ queryKey: keysQuery.queryKey });
    if (database !== undefined)
      await queries.invalidateQueries({ queryKey: permissionsQuery(database).queryKey });
  };
  if (secret !== undefined)
    return (
      <SecretDialog
        title="API key generated"
        secret={secret}
        path={database === undefined ? '_session' : `${encodeURIComponent(database)}/_all_docs`}
        onClose={onClose}
      />
    );
  return <KeyForm database={database} onCreated={created} onClose={onClose} />;
}

interface FormProps extends Props {
  readonly onCreated: (secret: Secret) => Promise<void>;
}

function KeyForm({ database, onCreated, onClose }: FormProps) {
  const [label, setLabel] = useState('');
  const [roles, setRoles] = useState<readonly string[]>(database === undefined ? [] : ['_reader']);
  const expiry = useExpiry('90');
  const isGranted = database === undefined || roles.length > 0;
  return (
    <FormDialog
      title="Generate API key"
      isWide
      action="Generate API key"
      isReady={expiry.problem === undefined && isGranted}
      failed="No key was generated"
      ifUnknown="If the page API keys has the key, revoke it: nobody has its password."
      leaving={LOSES_PASSWORD}
      run={async () =>
        onCreated(
          await createKey({
            label: label.trim() === '' ? null : label.trim(),
            expires_at: expiry.value(),
            ...(database === undefined ? {} : { grants: { [database]: roles } }),
          }),
        )
      }
      onClose={onClose}
    >
      <TextInput
        label="Label"
        description="Who or what uses the key. Only server admins see it."
        data-autofocus
        autoComplete="off"
        maxLength={256}
        value={label}
        onChange={(event) => setLabel(event.currentTarget.value)}
      />
      <ExpiryField expiry={expiry} />
      {database === undefined && (
        <p>
          The key has access to nothing until a <a href={linkTo(['databases'])}>database</a> grants it roles.
          The page Permissions of a database generates a key with its roles in one step.
        </p>
      )}
      {database !== undefined && (
        <RoleChoices legend={`Roles on ${database}`} roles={roles} onChange={setRoles} />
      )}
    </FormDialog>
  );
}
