// Shows times: how long ago or ahead, with the exact time beside it on request.
import { useState } from 'react';

const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const;

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

/** `3 days ago`, `in 2 months`, `just now`. `now` in milliseconds since 1970. */
export function relativeTime(iso: string, now: number): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  for (const [unit, size] of UNITS)
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  return seconds > 0 ? 'in less than a minute' : 'just now';
}

/** A time that may be absent. */
export function Moment({ at, absent }: { readonly at: string | null; readonly absent: string }) {
  // The time when it is first shown: a text that changes by itself would be read aloud again.
  const [now] = useState(Date.now);
  if (at === null) return <span className="hint">{absent}</span>;
  return (
    <time dateTime={at} title={exact.format(Date.parse(at))}>
      {relativeTime(at, now)}
    </time>
  );
}
