// Lists the prefix grants; adds, changes and removes them.
import { Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type PrefixGrant, revokePrefixGrant } from '../../api/grants.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { QueryError } from '../../parts/error-notice.tsx';
import { Labelled, useLabelOf } from '../../parts/labelled.tsx';
import { Moment } from '../../parts/moment.tsx';
import {
  NoMatch,
  PAGE_SIZE,
  pageOf,
  Pager,
  SearchField,
  SortHead,
  sortedBy,
  useListState,
} from '../../parts/list.tsx';
import { Foreign, Name, visible } from '../../parts/name.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { prefixGrantsQuery } from '../../queries.ts';
import { titleOf } from '../../roles.ts';
import { EditPrefixGrant } from './edit-prefix-grant.tsx';

interface Props {
  /** Called with warnings of the server after a change. */
  readonly onSaved: (warnings: readonly string[]) => void;
}

type Action =
  { readonly kind: 'add' } | { readonly kind: 'change' | 'remove'; readonly grant: PrefixGrant } | undefined;

export function PrefixGrants({ onSaved }: Props) {
  const query = useQuery(prefixGrantsQuery);
  const [action, setAction] = useState<Action>();
  const close = (): void => setAction(undefined);
  return (
    <section aria-labelledby="prefix">
      <div className="section-head">
        <h2 id="prefix">Prefix grants</h2>
        <Button size="xs" onClick={() => setAction({ kind: 'add' })}>
          Add prefix grant
        </Button>
      </div>
      <p>
        Roles on every database whose name begins in the same way, such as <code>userdb-</code>, also on those
        that are made later. For applications that have one database for each of their users.
      </p>
      <QueryError query={query} title="The prefix grants cannot be read" />
      {query.isPending && <Waiting what="prefix grants" />}
      {query.data?.length === 0 && <p className="hint">There are none.</p>}
      {query.data !== undefined && query.data.length > 0 && (
        <GrantTable grants={query.data} onAct={setAction} />
      )}
      {action?.kind === 'add' && <EditPrefixGrant grant={undefined} onSaved={onSaved} onClose={close} />}
      {action?.kind === 'change' && (
        <EditPrefixGrant grant={action.grant} onSaved={onSaved} onClose={close} />
      )}
      {action?.kind === 'remove' && <RemoveGrant grant={action.grant} onClose={close} />}
    </section>
  );
}

interface TableProps {
  readonly grants: readonly PrefixGrant[];
  readonly onAct: (action: Action) => void;
}

const VALUES: Readonly<Record<string, (grant: PrefixGrant) => string>> = {
  name: ({ principal }) => principal,
  databases: ({ databases }) => databases,
  since: ({ at }) => at,
};

/** The list; search and pages only if it is long. */
function GrantTable({ grants, onAct }: TableProps) {
  const { search, sort, page } = useListState('name');
  const labelOf = useLabelOf();
  const wanted = search.toLowerCase();
  const found = sortedBy(
    grants.filter(({ principal, databases }) =>
      [principal, databases, labelOf(principal)].some((text) => text.toLowerCase().includes(wanted)),
    ),
    sort,
    VALUES,
  );
  return (
    <>
      {grants.length > PAGE_SIZE && (
        <div className="tools">
          <SearchField label="Search names and databases" />
          <Pager total={found.length} page={page} of={found.length === 1 ? 'grant' : 'grants'} />
        </div>
      )}
      {found.length === 0 ? (
        <NoMatch what="grant" />
      ) : (
        <GrantRows grants={pageOf(found, page)} sort={sort} onAct={onAct} />
      )}
    </>
  );
}

function GrantRows({ grants, sort, onAct }: TableProps & { readonly sort: string }) {
  return (
    <table className="list">
      <thead>
        <tr>
          <SortHead column="name" sort={sort}>
            Name
          </SortHead>
          <SortHead column="databases" sort={sort}>
            Databases
          </SortHead>
          <th scope="col">May</th>
          <SortHead column="since" sort={sort}>
            Since
          </SortHead>
          <th scope="col">
            <span className="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {grants.map((grant) => (
          <tr key={grant.id}>
            <th scope="row" data-column="Name">
              <Labelled name={grant.principal} />
            </th>
            <td data-column="Databases">
              <Name of={grant.databases} />
              {grant.in_force === false && (
                <span className="below bad">Not in force: {visible(grant.reason ?? '')}</span>
              )}
            </td>
            <td data-column="May">{mayOf(grant).join(', ')}</td>
            <td data-column="Since">
              <Moment at={grant.at === '' ? null : grant.at} absent="–" />
              <span className="below hint">
                by <Foreign text={grant.by} />
              </span>
            </td>
            <td>
              <span className="row-buttons">
                <Button
                  size="xs"
                  variant="default"
                  aria-label={`Change the grant on ${grant.databases} for ${grant.principal}`}
                  onClick={() => onAct({ kind: 'change', grant })}
                >
                  Change
                </Button>
                <Button
                  size="xs"
                  variant="default"
                  aria-label={`Remove the grant on ${grant.databases} for ${grant.principal}`}
                  onClick={() => onAct({ kind: 'remove', grant })}
                >
                  Remove
                </Button>
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function mayOf({ roles, create, delete: deletes, max_databases: most }: PrefixGrant): readonly string[] {
  return [
    ...roles.map(titleOf),
    ...(create ? [`Create (at most ${(most ?? 0).toLocaleString('en')})`] : []),
    ...(deletes ? ['Delete'] : []),
  ];
}

function RemoveGrant({ grant, onClose }: { readonly grant: PrefixGrant; readonly onClose: () => void }) {
  const queries = useQueryClient();
  return (
    <ConfirmDialog
      title="Remove prefix grant"
      action="Remove"
      run={() =>
        revokePrefixGrant(grant).finally(() =>
          queries.invalidateQueries({ queryKey: prefixGrantsQuery.queryKey }),
        )
      }
      onClose={onClose}
    >
      <p>
        <Name of={grant.principal} /> loses what this grant gives on <Name of={grant.databases} />, and its
        open feeds there end. What the databases themselves grant stays.
      </p>
    </ConfirmDialog>
  );
}
