// Lists the monitors; adds and removes them.
import { Button } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { addMonitor, listServerGrants, removeMonitor } from '../../api/grants.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { ErrorNotice, QueryError } from '../../parts/error-notice.tsx';
import { Labelled } from '../../parts/labelled.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { PrincipalField, usePrincipal } from '../../parts/principal-field.tsx';
import { Waiting } from '../../parts/waiting.tsx';

const QUERY_KEY = ['server grants'];

interface Props {
  /** Called with warnings of the server after a change. */
  readonly onSaved: (warnings: readonly string[]) => void;
}

export function Monitors({ onSaved }: Props) {
  const query = useQuery({ queryKey: QUERY_KEY, queryFn: ({ signal }) => listServerGrants(signal) });
  const [removed, setRemoved] = useState<string>();
  return (
    <section aria-labelledby="monitors">
      <h2 id="monitors">Monitors</h2>
      <p>
        May read numbers about the cluster and the sizes of all databases: for Prometheus, Telegraf, Datadog.
        They read no documents and no permissions, and write nothing.
      </p>
      <QueryError query={query} title="The monitors cannot be read" />
      {query.isPending && <Waiting what="monitors" />}
      {query.data?.length === 0 && <p className="hint">There are none.</p>}
      <AddMonitor
        isPresent={(name) => query.data?.some((each) => each.principal === name) === true}
        onSaved={onSaved}
      />
      {query.data !== undefined && query.data.length > 0 && (
        <ul className="rows">
          {query.data.map(({ principal, by, at }) => (
            <li key={principal}>
              <span>
                <Labelled name={principal} />
                <span className="below hint">
                  since <Moment at={at === '' ? null : at} absent="–" /> by <Foreign text={by} />
                </span>
              </span>
              <Button
                size="xs"
                variant="default"
                aria-label={`Remove the monitor ${principal}`}
                onClick={() => setRemoved(principal)}
              >
                Remove
              </Button>
            </li>
          ))}
        </ul>
      )}
      {removed !== undefined && <RemoveMonitor name={removed} onClose={() => setRemoved(undefined)} />}
    </section>
  );
}

interface AddProps extends Props {
  readonly isPresent: (name: string) => boolean;
}

function AddMonitor({ isPresent, onSaved }: AddProps) {
  const queries = useQueryClient();
  const [text, setText] = useState('');
  const choice = usePrincipal(text);
  const isHere = choice.name !== '' && isPresent(choice.name);
  const add = useMutation({
    mutationFn: addMonitor,
    onSuccess: async (warnings) => {
      setText('');
      await queries.invalidateQueries({ queryKey: QUERY_KEY });
      onSaved(warnings);
    },
  });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (choice.name !== '' && !isHere) add.mutate(choice.name);
  };
  return (
    <>
      <form className="add-name" onSubmit={submit}>
        <PrincipalField
          label="Add a monitor: user name or API key"
          choice={choice}
          text={text}
          onChange={setText}
          error={isHere ? 'This name is a monitor already.' : undefined}
          description={choice.isUnknown ? 'No key and no user has this name.' : undefined}
        />
        <Button
          type="submit"
          variant="default"
          loading={add.isPending}
          disabled={choice.name === '' || isHere}
        >
          Add
        </Button>
      </form>
      {add.isError && <ErrorNotice error={add.error} title="The monitor was not added" />}
    </>
  );
}

function RemoveMonitor({ name, onClose }: { readonly name: string; readonly onClose: () => void }) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title="Remove monitor"
      action="Remove"
      run={async () => {
        await removeMonitor(name);
        await queries.invalidateQueries({ queryKey: QUERY_KEY });
      }}
      onClose={onClose}
    >
      <p>
        <Name of={name} /> can no longer read numbers about the cluster. What databases grant to it stays.
      </p>
    </ConfirmDialog>
  );
}
