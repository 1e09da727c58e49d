// Shows times: how long ago or ahead, with the exact time beside it on request.
import { useState } from 'react';
import { HOUR_MS, relativeHour, relativeTime } from '../time-words.ts';

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });

/** When a key was last used. */
export function LastUse({ hour }: { readonly hour: string | null }) {
  const [now] = useState(Date.now);
  if (hour === null) return <span className="hint moment">never used</span>;
  const from = Date.parse(hour);
  return (
    <time
      className="moment"
      dateTime={hour}
      title={`between ${exact.format(from)} and ${exact.format(from + HOUR_MS)}`}
    >
      {relativeHour(hour, now)}
    </time>
  );
}

/** A time that may be absent. */
export function Moment({ at, absent }: { readonly at: string | null; readonly absent: string }) {
  // The time when it is first shown: a text that changes by itself would be read aloud again.
  const [now] = useState(Date.now);
  if (at === null) return <span className="hint moment">{absent}</span>;
  return (
    <time className="moment" dateTime={at} title={exact.format(Date.parse(at))}>
      {relativeTime(at, now)}
    </time>
  );
}
