// Paging, sorting and searching of lists. Their state is in the address.
import { Button, TextInput } from '@mantine/core';
import { type ReactNode, useDeferredValue } from 'react';
import { replaceParameters, useRoute } from '../router.ts';

/** Rows of a page. */
export const PAGE_SIZE = 50;

export interface ListState {
  readonly search: string;
  /** Column, and `-` before it for the other direction. */
  readonly sort: string;
  /** From 0. */
  readonly page: number;
}

/** Reads the state of the list from the address. The search lags behind while a person types. */
export function useListState(usualSort: string): ListState {
  const { parameters } = useRoute();
  const page = Number(parameters.get('page') ?? '1');
  return {
    search: useDeferredValue(parameters.get('q') ?? ''),
    sort: parameters.get('sort') ?? usualSort,
    page: Number.isInteger(page) && page > 0 ? page - 1 : 0,
  };
}

/** The rows of a page; a page beyond the end becomes the last one. */
export function pageOf<Row>(rows: readonly Row[], page: number): readonly Row[] {
  const last = Math.max(0, Math.ceil(rows.length / PAGE_SIZE) - 1);
  const first = Math.min(page, last) * PAGE_SIZE;
  return rows.slice(first, first + PAGE_SIZE);
}

/**
 * Sorts by the column of the address; `values` has what each column compares. Rows with equal values keep
 * their order. An unknown column sorts nothing.
 */
export function sortedBy<Row>(
  rows: readonly Row[],
  sort: string,
  values: Readonly<Record<string, (row: Row) => string | number>>,
): readonly Row[] {
  const isReversed = sort.startsWith('-');
  const value = values[isReversed ? sort.slice(1) : sort];
  if (value === undefined) return rows;
  const sign = isReversed ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [first, second] = [value(a), value(b)];
    return first === second ? 0 : first < second ? -sign : sign;
  });
}

export function SearchField({ label }: { readonly label: string }) {
  const { parameters } = useRoute();
  return (
    <TextInput
      type="search"
      className="search"
      aria-label={label}
      placeholder={label}
      value={parameters.get('q') ?? ''}
      onChange={(event) => replaceParameters({ q: event.currentTarget.value, page: undefined })}
    />
  );
}

interface NoMatchProps {
  /** `database`, `grant`. */
  readonly what: string;
  /** What the whole list is without. */
  readonly without?: Parameters<typeof replaceParameters>[0];
}

/** Where a search has found nothing: the way back to the whole list. */
export function NoMatch({ what, without = { q: undefined, page: undefined } }: NoMatchProps) {
  return (
    <p>
      No {what} matches.{' '}
      <Button size="xs" variant="default" onClick={() => replaceParameters(without)}>
        Show all
      </Button>
    </p>
  );
}

interface PagerProps {
  readonly total: number;
  readonly page: number;
  /** `databases`, `API keys`. */
  readonly of: string;
}

/** `51–100 of 10,000 databases`, and the ways to the other pages. */
export function Pager({ total, page, of }: PagerProps) {
  const pages = Math.max(1, Math.ceil(total / PAGE_SIZE));
  const shown = Math.min(page, pages - 1);
  const first = shown * PAGE_SIZE;
  const count = (value: number): string => value.toLocaleString('en');
  const show = (next: number) => replaceParameters({ page: next === 0 ? undefined : String(next + 1) });
  return (
    <nav className="pager" aria-label="Pages of the list">
      <span role="status">
        {total <= PAGE_SIZE
          ? `${count(total)} ${of}`
          : `${count(first + 1)}–${count(Math.min(first + PAGE_SIZE, total))} of ${count(total)} ${of}`}
      </span>
      {pages > 1 && (
        <>
          <Button size="xs" variant="default" disabled={shown === 0} onClick={() => show(shown - 1)}>
            Previous
          </Button>
          <Button size="xs" variant="default" disabled={shown === pages - 1} onClick={() => show(shown + 1)}>
            Next
          </Button>
        </>
      )}
    </nav>
  );
}

interface HeadProps {
  readonly column: string;
  readonly sort: string;
  /** Undefined = sorting by this column is not possible at present, for this reason. */
  readonly whyNot?: string | undefined;
  readonly children: ReactNode;
  readonly className?: string;
}

/** The head of a column that sorts. */
export function SortHead({ column, sort, whyNot, children, className }: HeadProps) {
  const direction = sort === column ? 'ascending' : sort === `-${column}` ? 'descending' : undefined;
  const next = direction === 'ascending' ? `-${column}` : column;
  return (
    <th scope="col" aria-sort={direction} className={className}>
      {whyNot === undefined ? (
        <button
          type="button"
          className="sort"
          onClick={() => replaceParameters({ sort: next, page: undefined })}
        >
          {children}
          <span aria-hidden="true">
            {direction === 'ascending' ? ' ↑' : direction === 'descending' ? ' ↓' : ''}
          </span>
        </button>
      ) : (
        <span title={whyNot}>{children}</span>
      )}
    </th>
  );
}

interface HeadsProps {
  /** The columns by which the list can be sorted, and their words. */
  readonly columns: readonly (readonly [column: string, words: string])[];
  readonly sort: string;
}

/** The heads of columns that sort. */
export function SortHeads({ columns, sort }: HeadsProps) {
  return columns.map(([column, words]) => (
    <SortHead key={column} column={column} sort={sort}>
      {words}
    </SortHead>
  ));
}
