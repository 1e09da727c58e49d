// Times in words. Pure functions.

/** Each unit in seconds, and from where on it is used: a half of the next smaller unit below one. */
const UNITS = [
  ['year', 31_536_000, 31_536_000 - 1_296_000],
  ['month', 2_592_000, 2_592_000 - 43_200],
  ['day', 86_400, 86_400 - 1800],
  ['hour', 3600, 3600 - 30],
  ['minute', 60, 60],
] as const;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** `3 days ago`, `in 2 months`, `just now`. `now` in milliseconds since 1970. */
export function relativeTime(iso: string, now: number): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  for (const [unit, size, from] of UNITS)
    if (Math.abs(seconds) >= from) return relative.format(Math.round(seconds / size), unit);
  return seconds > 0 ? 'in less than a minute' : 'just now';
}

export const HOUR_MS = 3_600_000;

/** `in the last hour`, `5 hours ago`: a time of which only the hour that begins at `iso` is known. */
export function relativeHour(iso: string, now: number): string {
  const hours = Math.floor((now - Date.parse(iso)) / HOUR_MS);
  if (hours < 1) return 'in the last hour';
  return hours < 2 ? 'in the last 2 hours' : relativeTime(iso, now);
}
