// The dialog that creates a database.
import { Checkbox, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { createDatabase } from '../../api/databases.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { databasesQuery } from '../../queries.ts';
import { goTo, linkTo } from '../../router.ts';

/** CouchDB's rule for names. */
const NAME = /^[a-z][a-z0-9_$()+/-]*$/;
const WRONG_NAME = 'Begin with a lower-case letter; then a–z, 0–9 and _ $ ( ) + - / are allowed.';

export function CreateDatabase({ onClose }: { readonly onClose: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [shards, setShards] = useState('');
  const [isPartitioned, setPartitioned] = useState(false);
  const wrongName = name === '' || NAME.test(name) ? undefined : WRONG_NAME;
  const wrongShards = shards === '' || /^[1-9]\d?$/.test(shards) ? undefined : 'A number from 1 to 99.';
  const create = async (): Promise<void> => {
    await createDatabase(name, { shards: shards === '' ? undefined : Number(shards), isPartitioned });
    await queries.invalidateQueries({ queryKey: databasesQuery.queryKey });
    onClose();
    goTo(linkTo(['databases', name, 'permissions']));
  };
  return (
    <FormDialog
      title="Create database"
      action="Create"
      isReady={name !== '' && wrongName === undefined && wrongShards === undefined}
      failed="The database was not created"
      run={create}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        data-autofocus
        autoComplete="off"
        spellCheck={false}
        value={name}
        error={wrongName}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Checkbox
        label="Partitioned"
        description="Documents are grouped by the part of their id before the colon. This cannot be changed later."
        checked={isPartitioned}
        onChange={(event) => setPartitioned(event.currentTarget.checked)}
      />
      <TextInput
        label="Shards (q)"
        description="Empty = the default of the cluster."
        inputMode="numeric"
        autoComplete="off"
        value={shards}
        error={wrongShards}
        onChange={(event) => setShards(event.currentTarget.value)}
      />
    </FormDialog>
  );
}
