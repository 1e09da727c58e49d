// The dialog that gives another key the roles that this one has.
import { Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type SyntheticEvent, useEffect, useRef, useState } from 'react';
import { type ApiKey } from '../../api/keys.ts';
import { type AccessEntry } from '../../api/access.ts';
import { addRoles } from '../../api/permissions.ts';
import { Dialog, WayOut } from '../../parts/dialog.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { PrincipalField, usePrincipal } from '../../parts/principal-field.tsx';
import { accessQuery } from '../../queries.ts';
import { titlesOf } from '../../roles.ts';

interface Props {
  readonly item: ApiKey;
  readonly onClose: () => void;
}

export function CopyGrants({ item: { key, label }, onClose }: Props) {
  const access = useQuery(accessQuery(key));
  const grants = (access.data?.databases ?? []).filter(({ source }) => source === '_security');
  const [isRunning, setRunning] = useState(false);
  return (
    <Dialog title="Copy roles to another key" onClose={onClose} isBusy={isRunning}>
      {access.isPending && <Waiting what="its databases" />}
      {access.isError && <ErrorNotice error={access.error} title="Its databases cannot be read" />}
      {access.data !== undefined &&
        (grants.length === 0 ? (
          <p>
            No database grants <Name of={label ?? key} /> a role, so there is nothing to copy.
          </p>
        ) : (
          <CopyForm
            from={key}
            grants={grants}
            isRunning={isRunning}
            setRunning={setRunning}
            onClose={onClose}
          />
        ))}
    </Dialog>
  );
}

/** Databases that are named; the others are counted. */
const MAX_NAMED = 20;

interface FormProps {
  readonly from: string;
  readonly grants: readonly AccessEntry[];
  readonly isRunning: boolean;
  readonly setRunning: (isRunning: boolean) => void;
  readonly onClose: () => void;
}

/**
 * Each database is one change of its own: what has failed is named, and can be tried again. "Stop" ends after
 * the change that runs.
 */
function CopyForm({ from, grants, isRunning, setRunning, onClose }: FormProps) {
  const queries = useQueryClient();
  const [text, setText] = useState('');
  const choice = usePrincipal(text, { onlyKeys: true });
  const { name: to } = choice;
  const problem =
    to === from ? 'This is the key itself.' : choice.isUnknown ? 'No key has this name or label.' : undefined;
  const [done, setDone] = useState<ReadonlySet<string>>(new Set());
  const [failed, setFailed] = useState<{ readonly database: string; readonly error: unknown }>();
  const isStopped = useRef(false);
  // A page that is left ends it too.
  useEffect(() => () => void (isStopped.current = true), []);
  /** Resolves with true if nothing is left to copy. */
  const copyRest = async (): Promise<boolean> => {
    for (const { database, roles } of grants.filter((each) => !done.has(each.database))) {
      if (isStopped.current) return false;
      try {
        await addRoles(database, to, roles, `copied from ${from}`);
        setDone((now) => new Set([...now, database]));
      } catch (error) {
        setFailed({ database, error });
        return false;
      }
    }
    return true;
  };
  const run = async (): Promise<void> => {
    setFailed(undefined);
    isStopped.current = false;
    const isDone = await copyRest();
    await queries.invalidateQueries({ queryKey: ['permissions'] });
    await queries.invalidateQueries({ queryKey: accessQuery(to).queryKey });
    if (isDone) onClose();
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setRunning(true);
    void run().finally(() => setRunning(false));
  };
  return (
    <form className="form" onSubmit={submit}>
      <PrincipalField
        label="To the key"
        placeholder="Label or name of a key"
        choice={choice}
        text={text}
        onChange={setText}
        error={problem}
        isDisabled={isRunning || done.size > 0}
      />
      <p>It gets these roles in addition to its own:</p>
      <ul className="consequences">
        {grants.slice(0, MAX_NAMED).map(({ database, roles }) => (
          <li key={database} className="gives">
            <span className="sign" aria-hidden="true">
              {done.has(database) ? '✓' : '+'}
            </span>
            <span>
              <Name of={database} />: {titlesOf(roles)}
            </span>
          </li>
        ))}
        {grants.length > MAX_NAMED && (
          <li>and those on {(grants.length - MAX_NAMED).toLocaleString('en')} more databases</li>
        )}
      </ul>
      {(isRunning || done.size > 0) && grants.length > MAX_NAMED && (
        <p role="status">
          {done.size.toLocaleString('en')} of {grants.length.toLocaleString('en')} databases are done.
          <progress className="progress" aria-label="Databases" max={grants.length} value={done.size} />
        </p>
      )}
      {failed !== undefined && (
        <ErrorNotice
          error={failed.error}
          title={`The roles on ${visible(failed.database)} were not copied`}
        />
      )}
      <div className="actions">
        <Button type="submit" loading={isRunning} disabled={!choice.isKnown || to === from}>
          {done.size === 0 && failed === undefined ? 'Copy roles' : 'Copy the rest'}
        </Button>
        {isRunning ? (
          <Button variant="default" onClick={() => (isStopped.current = true)}>
            Stop
          </Button>
        ) : (
          <WayOut words={done.size === 0 ? 'Cancel' : 'Close'} onClose={onClose} />
        )}
      </div>
    </form>
  );
}
