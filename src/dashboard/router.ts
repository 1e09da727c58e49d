// Reads and writes the address of the page: its fragment names the page and the filters. The fragment stays
// in the browser, so names of databases reach no log, and links to Cloudant's dashboard.html keep theirs.
import { useEffect, useSyncExternalStore } from 'react';

export interface Route {
  /** Decoded segments: `#/databases/fruit/permissions`. */
  readonly segments: readonly string[];
  readonly parameters: URLSearchParams;
}

interface Guard {
  /** Returns the question to ask before the page is left; undefined = nothing would be lost. */
  readonly ask: () => string | undefined;
  /** True: another view of the same page loses it too. */
  readonly isOfView: boolean;
}

const guards = new Set<Guard>();
let shown = location.hash;
const listeners = new Set<() => void>();

/** Parses a fragment; one that cannot be decoded leads to the first page. */
export function parseRoute(fragment: string): Route {
  const [path = '', query = ''] = fragment.replace(/^#\/?/, '').split('?', 2);
  const parameters = new URLSearchParams(query);
  try {
    return { segments: (path === '' ? [] : path.split('/')).map(decodeURIComponent), parameters };
  } catch {
    return { segments: [], parameters };
  }
}

/** Makes the fragment of a page. Parameters without a value are left out. */
export function linkTo(
  segments: readonly string[],
  parameters: Readonly<Record<string, string | undefined>> = {},
): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== '') query.set(name, value);
  const text = query.size === 0 ? '' : `?${query.toString()}`;
  return `#/${segments.map(encodeURIComponent).join('/')}${text}`;
}

/** Goes to a page, as a click on a link does. */
export function goTo(link: string): void {
  location.hash = link;
}

/** Replaces the parameters of this page without a new entry in the history. */
export function replaceParameters(changes: Readonly<Record<string, string | undefined>>): void {
  const { segments, parameters } = parseRoute(location.hash);
  const merged = { ...Object.fromEntries(parameters), ...changes };
  history.replaceState(null, '', linkTo(segments, merged));
  shown = location.hash;
  tell();
}

/** Sets a question that is asked before the page is left or closed. Returns the end of it. */
export function guardLeaving(ask: Guard['ask'], { isOfView = false } = {}): () => void {
  const guard = { ask, isOfView };
  guards.add(guard);
  return () => void guards.delete(guard);
}

/** Asks before the page, or another view of it, takes the place of a dialog; undefined = nothing is lost. */
export function useViewGuard(question: string | undefined): void {
  useEffect(
    () => (question === undefined ? undefined : guardLeaving(() => question, { isOfView: true })),
    [question],
  );
}

/** True if the page may be left: nothing would be lost, or the person accepts each loss. */
export function mayLeave(): boolean {
  return accepts([...guards]);
}

const accepts = (asked: readonly Guard[]): boolean =>
  asked.every(({ ask }) => {
    const question = ask();
    return question === undefined || confirm(question);
  });

window.addEventListener('beforeunload', (event) => {
  if ([...guards].some(({ ask }) => ask() !== undefined)) event.preventDefault();
});

window.addEventListener('hashchange', () => {
  if (location.hash === shown) return;
  const leavesPage = pathOf(location.hash) !== pathOf(shown);
  const asked = [...guards].filter(({ isOfView }) => leavesPage || isOfView);
  if (!accepts(asked)) {
    // The entry of the history is already made; this one takes its place.
    history.pushState(null, '', shown === '' ? '#/' : shown);
    return;
  }
  // What stays on the page keeps its guard, for example a password that is shown once.
  if (leavesPage) for (const guard of asked) guards.delete(guard);
  shown = location.hash;
  tell();
});

const pathOf = (fragment: string): string => fragment.split('?', 1)[0] ?? '';

function tell(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The route that is shown. The component renders again when it changes. */
export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(subscribe, () => shown));
}
