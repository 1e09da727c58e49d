// Asks when a key expires: a usual span, a day, or never.
import { NativeSelect, TextInput } from '@mantine/core';
import { useState } from 'react';

const SPANS = [
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
  { value: 'day', label: 'On a day …' },
  { value: 'never', label: 'Never' },
];

const DAY_MS = 86_400_000;

export interface Expiry {
  readonly span: string;
  readonly day: string;
  readonly setSpan: (span: string) => void;
  readonly setDay: (day: string) => void;
  /** Why the choice is not complete. */
  readonly problem: string | undefined;
  /** ISO 8601; null = never. */
  readonly value: () => string | null;
}

/** `initial` = a span of the list; `day` = the end of the day `initialDay`, as `2030-01-31`, local time. */
export function useExpiry(initial: string, initialDay = ''): Expiry {
  const [span, setSpan] = useState(initial);
  const [day, setDay] = useState(initialDay);
  // The time when the dialog was opened is near enough: the server checks again.
  const [opened] = useState(Date.now);
  const problem = span === 'day' && !(endOf(day) > opened) ? 'Choose a day from today on.' : undefined;
  return {
    span,
    day,
    setSpan,
    setDay,
    problem,
    value() {
      if (span === 'never') return null;
      return new Date(span === 'day' ? endOf(day) : Date.now() + Number(span) * DAY_MS).toISOString();
    },
  };
}

/** Milliseconds since 1970; NaN if the day is incomplete. */
function endOf(day: string): number {
  return Date.parse(`${day}T23:59:59`);
}

export function ExpiryField({
  expiry: { span, day, setSpan, setDay, problem },
}: {
  readonly expiry: Expiry;
}) {
  return (
    <div className="pair">
      <NativeSelect
        label="Expires"
        data={SPANS}
        value={span}
        onChange={(event) => setSpan(event.currentTarget.value)}
      />
      {span === 'day' && (
        <TextInput
          type="date"
          label="Last day"
          value={day}
          error={day === '' ? undefined : problem}
          onChange={(event) => setDay(event.currentTarget.value)}
        />
      )}
    </div>
  );
}
