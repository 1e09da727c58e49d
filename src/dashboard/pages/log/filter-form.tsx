// The filter of the access log. Its state is in the address.
import { Button, NativeSelect, TextInput } from '@mantine/core';
import { type SyntheticEvent, useState } from 'react';
import { type LogFilter } from '../../api/log.ts';
import { linkTo, replaceParameters, useRoute } from '../../router.ts';

const TIMES = [
  { value: '', label: 'Any time' },
  { value: '15m', label: 'Last 15 minutes' },
  { value: '2h', label: 'Last 2 hours' },
  { value: '1d', label: 'Last day' },
  { value: '7d', label: 'Last 7 days' },
  { value: 'between', label: 'Between two times …' },
];

const DECISIONS = [
  { value: '', label: 'Any' },
  { value: 'deny', label: 'Denied' },
  { value: 'allow', label: 'Allowed' },
];

const ENDS = [
  ['since', 'From'],
  ['until', 'Until'],
] as const;

/** `2030-01-31T12:00` in local time, as a field has it; empty for what is no time, such as `2h`. */
function localMinute(iso: string): string {
  const at = /^\d{4}-/.test(iso) ? new Date(iso) : undefined;
  if (at === undefined || Number.isNaN(at.getTime())) return '';
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The other way; empty if the field is not complete. */
function isoOf(local: string): string {
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString();
}

/** True if the filter names a moment, and no span before now. */
function hasEnds({ since = '', until = '' }: LogFilter): boolean {
  return until !== '' || localMinute(since) !== '';
}

/** The usual times, and a span that only the address names. */
function timesWith(since: string): typeof TIMES {
  const isUsual = localMinute(since) !== '' || TIMES.some(({ value }) => value === since);
  return isUsual ? TIMES : [...TIMES, { value: since, label: `Since ${since}` }];
}

const FIELDS = [
  ['principal', 'Name', 'user or key'],
  ['database', 'Database', ''],
  ['operation', 'Operation', 'doc-get or write'],
  ['status', 'Status', '403 or 5xx'],
  ['address', 'Address', '192.0.2.7'],
] as const;

export function FilterForm({ filter }: { readonly filter: LogFilter }) {
  const [values, setValues] = useState(filter);
  const [shown, setShown] = useState(filter);
  const [isBetween, setBetween] = useState(hasEnds(filter));
  const { parameters } = useRoute();
  // A link has led to another filter. The fields stay, and the focus with them.
  if (JSON.stringify(filter) !== JSON.stringify(shown)) {
    setShown(filter);
    setValues(filter);
    setBetween(hasEnds(filter));
  }
  const set = (name: string, value: string): void => setValues({ ...values, [name]: value });
  const apply = (next: LogFilter): void =>
    replaceParameters(
      Object.fromEntries(Object.entries(next).map(([name, value]) => [name, value.trim() || undefined])),
    );
  const choose = (changes: LogFilter): void => {
    setValues({ ...values, ...changes });
    apply({ ...values, ...changes });
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    apply(values);
  };
  return (
    <form className="tools filter" onSubmit={submit}>
      {FIELDS.map(([name, label, placeholder]) => (
        <TextInput
          key={name}
          label={label}
          placeholder={placeholder}
          autoComplete="off"
          spellCheck={false}
          value={values[name] ?? ''}
          onChange={(event) => set(name, event.currentTarget.value)}
        />
      ))}
      <NativeSelect
        label="Decision"
        data={DECISIONS}
        value={values['decision'] ?? ''}
        onChange={(event) => choose({ decision: event.currentTarget.value })}
      />
      <NativeSelect
        label="Time"
        data={timesWith(values['since'] ?? '')}
        value={isBetween ? 'between' : (values['since'] ?? '')}
        onChange={(event) => {
          const chosen = event.currentTarget.value;
          setBetween(chosen === 'between');
          if (chosen === 'between') setValues({ ...values, since: '', until: '' });
          else choose({ since: chosen, until: '' });
        }}
      />
      {isBetween &&
        ENDS.map(([name, label]) => (
          <TextInput
            key={name}
            type="datetime-local"
            label={label}
            value={localMinute(values[name] ?? '')}
            onChange={(event) => set(name, isoOf(event.currentTarget.value))}
          />
        ))}
      <Button type="submit">Search</Button>
      {Object.keys(filter).length > 0 && (
        <a href={linkTo(['log'], { follow: parameters.get('follow') ?? undefined })}>Clear the filter</a>
      )}
    </form>
  );
}
