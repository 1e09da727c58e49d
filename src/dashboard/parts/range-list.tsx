// Searching and paging of lists that the server sorts: by the beginning of a name, and from a name on.
import { TextInput } from '@mantine/core';
import { linkTo, replaceParameters, useRoute } from '../router.ts';

export interface Range {
  /** What every name begins with; empty = anything. */
  readonly prefix: string;
  /** The first name of the page; empty = the beginning of the list. */
  readonly from: string;
}

/** Reads the range from the address. */
export function useRange(): Range {
  const { parameters } = useRoute();
  return { prefix: parameters.get('prefix') ?? '', from: parameters.get('from') ?? '' };
}

/** `what` = `ids`, `names`. */
export function PrefixField({ what }: { readonly what: string }) {
  const { prefix } = useRange();
  return (
    <TextInput
      type="search"
      className="search"
      aria-label={`Show ${what} that begin with`}
      placeholder={`${what.charAt(0).toUpperCase()}${what.slice(1)} that begin with …`}
      autoComplete="off"
      spellCheck={false}
      value={prefix}
      onChange={(event) => replaceParameters({ prefix: event.currentTarget.value, from: undefined })}
    />
  );
}

interface PagerProps {
  /** The page of the list. */
  readonly segments: readonly string[];
  /** The name that begins the next page; undefined = this is the last one. */
  readonly next: string | undefined;
}

/** Links, so that the back button leads to the page before. */
export function RangePager({ segments, next }: PagerProps) {
  const { prefix, from } = useRange();
  if (from === '' && next === undefined) return null;
  return (
    <nav className="tools" aria-label="Pages of the list">
      {from !== '' && <a href={linkTo(segments, { prefix })}>First page</a>}
      {next !== undefined && <a href={linkTo(segments, { prefix, from: next })}>Next page</a>}
    </nav>
  );
}
