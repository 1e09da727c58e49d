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
];

const DECISIONS = [
  { value: '', label: 'Allowed and denied' },
  { value: 'deny', label: 'Denied' },
  { value: 'allow', label: 'Allowed' },
];

const FIELDS = [
  ['principal', 'Name', 'user or key'],
  ['database', 'Database', ''],
  ['operation', 'Operation', 'doc-get or write'],
  ['status', 'Status', '403 or 5xx'],
  ['address', 'Address', '192.0.2.7'],
] as const;

export function FilterForm({ filter }: { readonly filter: LogFilter }) {
  const [values, setValues] = useState(filter);
  const { parameters } = useRoute();
  const set = (name: string, value: string): void => setValues({ ...values, [name]: value });
  const apply = (next: LogFilter): void =>
    replaceParameters(
      Object.fromEntries(Object.entries(next).map(([name, value]) => [name, value.trim() || undefined])),
    );
  const choose = (name: string, value: string): void => {
    set(name, value);
    apply({ ...values, [name]: value });
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    apply(values);
  };
  const since = values['since'] ?? '';
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
        onChange={(event) => choose('decision', event.currentTarget.value)}
      />
      <NativeSelect
        label="Time"
        data={
          TIMES.some(({ value }) => value === since)
            ? TIMES
            : [...TIMES, { value: since, label: `Since ${since}` }]
        }
        value={since}
        onChange={(event) => choose('since', event.currentTarget.value)}
      />
      <Button type="submit">Search</Button>
      {Object.keys(filter).length > 0 && (
        <a href={linkTo(['log'], { follow: parameters.get('follow') ?? undefined })}>Clear the filter</a>
      )}
    </form>
  );
}
