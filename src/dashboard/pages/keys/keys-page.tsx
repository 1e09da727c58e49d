// The page API keys: every key with its life, and what can be done with it.
import { Button, NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useState } from 'react';
import { type ApiKey, MAX_LISTED } from '../../api/keys.ts';
import { QueryError } from '../../parts/error-notice.tsx';
import { Label } from '../../parts/labelled.tsx';
import {
  NoMatch,
  PAGE_SIZE,
  pageOf,
  Pager,
  SearchField,
  SortHeads,
  useListState,
} from '../../parts/list.tsx';
import { LastUse, Moment } from '../../parts/moment.tsx';
import { Name } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { areAllKeysQuery, firstKeysQuery, foundKeysQuery, keysQuery } from '../../queries.ts';
import { linkTo, replaceParameters, useRoute } from '../../router.ts';
import { GenerateKey } from '../permissions/generate-key.tsx';
import { type ChosenAction, KeyDialog, KeyMenu } from './key-actions.tsx';
import { chosen, type Filter, filterNamed, FILTERS, isExpired } from './key-filter.ts';

export function KeysPage() {
  useTitle('API keys');
  const keys = useQuery(keysQuery);
  const [isGenerating, setGenerating] = useState(false);
  const [action, setAction] = useState<ChosenAction>();
  return (
    <>
      <div className="head">
        <h1>API keys</h1>
        <Button onClick={() => setGenerating(true)}>Generate API key</Button>
      </div>
      {isGenerating && <GenerateKey database={undefined} onClose={() => setGenerating(false)} />}
      {action !== undefined && <KeyDialog {...action} onClose={() => setAction(undefined)} />}
      <QueryError query={keys} title="The keys cannot be read" isOldShown={keys.data !== undefined} />
      {keys.isPending && <FirstKeys />}
      {keys.data !== undefined &&
        (keys.data.length === 0 ? (
          <p>
            There are no API keys yet. A key is a name and a password for a program; databases grant it roles.
          </p>
        ) : (
          <KeyList keys={keys.data} onAct={setAction} />
        ))}
    </>
  );
}

/** Milliseconds until the first keys are shown alone: shorter waits would let the rows jump. */
const PATIENCE_MS = 300;

/** The first keys by name, while all of them are read. Their rows move, so they have no actions yet. */
function FirstKeys() {
  const first = useQuery(firstKeysQuery(PAGE_SIZE));
  const [now] = useState(Date.now);
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  if (first.data === undefined || first.data.length === 0 || !isLate) return <Waiting what="keys" />;
  return (
    <>
      <p role="status">Reading all keys … Meanwhile, these are the first ones by name.</p>
      <table className="list keys">
        <thead>
          <tr>
            {COLUMNS.map(([column, words]) => (
              <th key={column} scope="col">
                {words}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first.data.map((key) => (
            <KeyRow key={key.key} item={key} now={now} />
          ))}
        </tbody>
      </table>
    </>
  );
}

const COLUMNS = [
  ['label', 'Key'],
  ['created', 'Created'],
  ['used', 'Last used'],
  ['expires', 'Expires'],
] as const;

/** Keys that the server finds, if there are too many to read all of them. */
const MAX_FOUND = 1000;

interface ListProps {
  readonly keys: readonly ApiKey[];
  readonly onAct: (chosen: ChosenAction) => void;
}

function KeyList({ keys: listed, onAct }: ListProps) {
  const { parameters } = useRoute();
  const { search, sort, page } = useListState('label');
  const filter = filterNamed(parameters.get('show'));
  const areAll = useQuery(areAllKeysQuery).data ?? true;
  const isSearch = !areAll && (search !== '' || filter !== 'all');
  const sought = useQuery({ ...foundKeysQuery(MAX_FOUND, search, filter), enabled: isSearch });
  const keys = isSearch ? (sought.data?.keys ?? NONE) : listed;
  // The time when the list was read: a list that changes while it is looked at would jump.
  const [now] = useState(Date.now);
  const found = useMemo(() => chosen(keys, { search, filter, sort, now }), [keys, search, filter, sort, now]);
  return (
    <>
      <div className="tools">
        <SearchField label="Search labels and names" />
        <NativeSelect
          aria-label="Which keys"
          data={Object.entries(FILTERS).map(([value, label]) => ({ value, label }))}
          value={filter}
          onChange={(event) => {
            const show = event.currentTarget.value as Filter;
            replaceParameters({ show: show === 'all' ? undefined : show, page: undefined });
          }}
        />
        <Pager total={found.length} page={page} of={found.length === 1 ? 'key' : 'keys'} />
      </div>
      {!areAll && <p>{partNotice(isSearch, sought.data?.isComplete)}</p>}
      {isSearch && <QueryError query={sought} title="The search failed" />}
      {isSearch && sought.isPending ? (
        <Waiting what="keys that match" />
      ) : found.length === 0 ? (
        <NoMatch what="key" without={{ q: undefined, show: undefined }} />
      ) : (
        <table className="list keys">
          <thead>
            <tr>
              <SortHeads columns={COLUMNS} sort={sort} />
              <th scope="col">
                <span className="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {pageOf(found, page).map((key) => (
              <KeyRow key={key.key} item={key} now={now} onAct={onAct} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

const NONE: readonly ApiKey[] = [];

function partNotice(isSearch: boolean, isComplete: boolean | undefined): string {
  const count = (value: number): string => value.toLocaleString('en');
  if (!isSearch)
    return `There are more than ${count(MAX_LISTED)} keys. The list has the first ones by name; a search looks at all.`;
  return isComplete === false
    ? `More than ${count(MAX_FOUND)} keys match; the list has the first ones by name.`
    : 'The search looks at all keys, which may take a while.';
}

interface RowProps {
  readonly item: ApiKey;
  readonly now: number;
  /** Undefined = the row has no actions. */
  readonly onAct?: (chosen: ChosenAction) => void;
}

function KeyRow({ item, now, onAct }: RowProps) {
  const { key, label, created_at, last_used, expires_at } = item;
  return (
    <tr>
      <th scope="row" data-column="Key">
        <a href={linkTo(['keys', key])}>
          <Label text={label} />
          <Name of={key} />
        </a>
      </th>
      <td data-column="Created">
        <Moment at={created_at} absent="" />
      </td>
      <td data-column="Last used">
        <LastUse hour={last_used} />
      </td>
      <td data-column="Expires">
        {isExpired(item, now) ? (
          <span className="bad">
            expired <Moment at={expires_at} absent="" />
          </span>
        ) : (
          <Moment at={expires_at} absent="never" />
        )}
      </td>
      {onAct !== undefined && (
        <td className="row-actions">
          <KeyMenu item={item} onAct={onAct} />
        </td>
      )}
    </tr>
  );
}
