// The page Access log: who did what, and why it was refused.
import { Alert, Button, Checkbox } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { ApiError } from '../../api/http.ts';
import { type LogFilter, type LogPage as Page, readLog } from '../../api/log.ts';
import { QueryError } from '../../parts/error-notice.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { linkTo, replaceParameters, useRoute } from '../../router.ts';
import { FilterForm } from './filter-form.tsx';
import { LogLines } from './log-lines.tsx';

const FOLLOW_MS = 3000;
/** The reads of the log by this page, and the files of the dashboard, would hide everything else. */
const OWN_READS = 'api-log,dashboard';

/** Names of the conditions in the address and in the API. */
export const CONDITIONS = [
  'principal',
  'database',
  'operation',
  'decision',
  'status',
  'address',
  'management',
  'since',
  'until',
] as const;

const PRESETS: readonly (readonly [words: string, filter: LogFilter])[] = [
  ['Everything', {}],
  ['Denied', { decision: 'deny' }],
  ['Changes by admins', { management: 'true' }],
  ['Failed on the server', { status: '5xx' }],
];

export function LogPage() {
  useTitle('Access log');
  const { parameters } = useRoute();
  const filter: LogFilter = Object.fromEntries<string>(
    CONDITIONS.map((name) => [name, parameters.get(name) ?? ''] as const).filter(([, value]) => value !== ''),
  );
  const follows = parameters.get('follow') === 'true';
  const query = useInfiniteQuery({
    queryKey: ['log', filter],
    queryFn: ({ signal, pageParam }) => readLog({ ...filter, without: OWN_READS }, pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    staleTime: 0,
    refetchOnWindowFocus: false,
    refetchInterval: ({ state: { data: read, error } }) => {
      const isAway = error instanceof ApiError && error.isTemporary;
      return isAway || (follows && (read?.pages.length ?? 0) < 2) ? FOLLOW_MS : false;
    },
  });
  const { data } = query;
  return (
    <>
      <div className="head">
        <h1>Access log</h1>
        <Checkbox
          label="Follow"
          description="Shows new lines as they come"
          checked={follows}
          onChange={(event) =>
            replaceParameters({ follow: event.currentTarget.checked ? 'true' : undefined })
          }
        />
        <Button
          variant="default"
          loading={query.isRefetching && !follows}
          onClick={() => void query.refetch()}
        >
          Refresh
        </Button>
      </div>
      <Presets filter={filter} />
      <FilterForm filter={filter} />
      <QueryError query={query} title="The log cannot be read" />
      {query.isPending && <Waiting what="the log" />}
      {data !== undefined && (
        <Found
          pages={data.pages}
          isFiltered={Object.keys(filter).length > 0}
          isSearching={query.isFetchingNextPage}
          onMore={() => void query.fetchNextPage()}
        />
      )}
    </>
  );
}

function Presets({ filter }: { readonly filter: LogFilter }) {
  const isSame = (preset: LogFilter): boolean =>
    JSON.stringify(Object.entries(preset)) === JSON.stringify(Object.entries(filter));
  return (
    <nav className="tabs" aria-label="Usual questions">
      {PRESETS.map(([words, preset]) => (
        <a key={words} href={linkTo(['log'], preset)} aria-current={isSame(preset) ? 'page' : undefined}>
          {words}
        </a>
      ))}
    </nav>
  );
}

interface FoundProps {
  readonly pages: readonly Page[];
  readonly isFiltered: boolean;
  readonly isSearching: boolean;
  readonly onMore: () => void;
}

function Found({ pages, isFiltered, isSearching, onMore }: FoundProps) {
  const last = pages.at(-1);
  const lines = pages.flatMap((page) => page.lines);
  if (last === undefined) return null;
  if (last.source === 'off')
    return (
      <p>
        The access log is off. Set <code>access_log</code> to <code>stdout</code> or to a file.
      </p>
    );
  return (
    <>
      {pages.some(({ rotated }) => rotated) && (
        <Alert color="yellow" role="status" className="spaced">
          The file was rotated while you read. What follows may have a gap: older files are on the server.
        </Alert>
      )}
      {lines.length > 0 && <LogLines lines={lines} />}
      <div className="actions">
        {last.next !== null ? (
          <Button variant="default" loading={isSearching} onClick={onMore}>
            {lines.length === 0 ? 'Search further back' : 'Older lines'}
          </Button>
        ) : (
          lines.length === 0 && <p>{isFiltered ? 'No line matches.' : 'The log has no lines yet.'}</p>
        )}
        <span className="hint" role="status">
          {last.searched_to !== null && `Searched back to ${exact(last.searched_to)}.`}
          {last.source === 'memory' &&
            ' The log goes to stdout: these are the last lines of the process that answered.'}
        </span>
      </div>
    </>
  );
}

const format = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
const exact = (iso: string): string => format.format(Date.parse(iso));
