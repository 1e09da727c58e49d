// The dialog that creates a database.
import { Button, Checkbox, TextInput } from '@mantine/core';
import { Dialog } from '../../parts/dialog.tsx';
import { useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { createDatabase } from '../../api/databases.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
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
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const wrongName = name === '' || NAME.test(name) ? undefined : WRONG_NAME;
  const wrongShards = shards === '' || /^[1-9]\d?$/.test(shards) ? undefined : 'A number from 1 to 99.';
  const create = async (): Promise<void> => {
    await createDatabase(name, { shards: shards === '' ? undefined : Number(shards), isPartitioned });
    await queries.invalidateQueries({ queryKey: databasesQuery.queryKey });
    onClose();
    goTo(linkTo(['databases', name, 'permissions']));
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setSending(true);
    create()
      .catch(setError)
      .finally(() => setSending(false));
  };
  return (
    <Dialog title="Create database" onClose={onClose}>
      <form className="form" onSubmit={submit}>
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
        {error !== undefined && <ErrorNotice error={error} title="The database was not created" />}
        <div className="actions">
          <Button
            type="submit"
            loading={isSending}
            disabled={name === '' || wrongName !== undefined || wrongShards !== undefined}
          >
            Create
          </Button>
          <Button variant="subtle" color="gray" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
