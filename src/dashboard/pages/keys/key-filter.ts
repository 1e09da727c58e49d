// Filters and sorts the list of keys. Pure functions.
import { type ApiKey } from '../../api/keys.ts';

export const FILTERS = {
  all: 'All keys',
  expired: 'Expired',
  expiring: 'Expire in 30 days',
  unused: 'Not used for 90 days',
} as const;

export type Filter = keyof typeof FILTERS;

const DAY_MS = 86_400_000;

export function filterNamed(text: string | null): Filter {
  return text !== null && Object.hasOwn(FILTERS, text) ? (text as Filter) : 'all';
}

/** True if the key has expired at `now`, in milliseconds since 1970. */
export function isExpired({ expires_at: at }: ApiKey, now: number): boolean {
  return at !== null && Date.parse(at) <= now;
}

/** A key that was never used counts from its creation. */
function isUnused({ last_used: used, created_at: created }: ApiKey, now: number): boolean {
  return Date.parse(used ?? created) < now - 90 * DAY_MS;
}

function isExpiring(key: ApiKey, now: number): boolean {
  return key.expires_at !== null && !isExpired(key, now) && Date.parse(key.expires_at) < now + 30 * DAY_MS;
}

const RULES: Readonly<Record<Filter, (key: ApiKey, now: number) => boolean>> = {
  all: () => true,
  expired: isExpired,
  expiring: isExpiring,
  unused: isUnused,
};

const VALUES: Readonly<Record<string, (key: ApiKey) => string>> = {
  // Keys without a label come last.
  label: ({ label, key }) => `${label === null || label === '' ? '\uffff' : label.toLowerCase()} ${key}`,
  created: ({ created_at: at }) => at,
  // A key that was never used comes first.
  used: ({ last_used: at }) => at ?? '',
  // A key that never expires comes last.
  expires: ({ expires_at: at }) => at ?? '9',
};

/** The keys to list; `sort` = a column, with `-` before it for the other direction. */
export function chosen(
  keys: readonly ApiKey[],
  { search, filter, sort, now }: { search: string; filter: Filter; sort: string; now: number },
): readonly ApiKey[] {
  const wanted = search.toLowerCase();
  const found = keys.filter(
    (key) =>
      RULES[filter](key, now) &&
      (key.key.includes(wanted) || key.label?.toLowerCase().includes(wanted) === true),
  );
  const value = VALUES[sort.replace('-', '')] ?? VALUES['label'];
  if (value === undefined) return found;
  const sign = sort.startsWith('-') ? -1 : 1;
  return found
    .map((key) => [value(key), key] as const)
    .sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0))
    .map(([, key]) => key);
}
