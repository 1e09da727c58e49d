// The list of allowed origins: add, edit, remove.
import { Button, TextInput } from '@mantine/core';
import { type SyntheticEvent, useState } from 'react';
import { ApiError } from '../../api/http.ts';
import { RequestId } from '../../parts/error-notice.tsx';
import { Name, visible } from '../../parts/name.tsx';
import { type CorsDocument } from '../../api/cors.ts';
import { type Change } from './cors-page.tsx';

interface Props {
  readonly origins: readonly string[];
  readonly change: Change;
  /** As `change`, and shown before it is saved. */
  readonly choose: (apply: (now: CorsDocument) => CorsDocument) => void;
}

/** The list with `next` in place of `origin`, which somebody else may have removed meanwhile. */
function replaced(origins: readonly string[], origin: string, next: string): readonly string[] {
  return origins.includes(origin)
    ? origins.map((each) => (each === origin ? next : each))
    : [...origins, next];
}

export function Origins({ origins, change, choose }: Props) {
  const [edited, setEdited] = useState<string>();
  const remove = (origin: string): void =>
    choose((now) => ({ ...now, origins: now.origins.filter((each) => each !== origin) }));
  // A form stays open, with what was typed, also if the list loses its origin.
  const rows = edited === undefined || origins.includes(edited) ? origins : [...origins, edited];
  return (
    <>
      <OriginForm
        key="new"
        label="Add an origin"
        action="Add origin"
        initial=""
        isTaken={(origin) => origins.includes(origin)}
        save={(origin) => change((now) => ({ ...now, origins: [...now.origins, origin] }))}
      />
      {rows.length === 0 ? (
        <p className="hint">No origin is listed. Add the address of your web page, without a path.</p>
      ) : (
        <ul className="rows" aria-label="Allowed origins">
          {rows.map((origin) =>
            edited === origin ? (
              <li key={origin}>
                <OriginForm
                  label={`Change ${visible(origin)}`}
                  isBare
                  action="Save"
                  initial={origin}
                  isTaken={(next) => next !== origin && origins.includes(next)}
                  save={async (next) => {
                    await change((now) => ({ ...now, origins: replaced(now.origins, origin, next) }));
                    setEdited(undefined);
                  }}
                  onCancel={() => setEdited(undefined)}
                />
              </li>
            ) : (
              <li key={origin}>
                <Name of={origin} />
                <span className="row-buttons">
                  <Button
                    size="xs"
                    variant="default"
                    aria-label={`Edit ${visible(origin)}`}
                    onClick={() => setEdited(origin)}
                  >
                    Edit
                  </Button>
                  <Button
                    size="xs"
                    variant="default"
                    aria-label={`Remove ${visible(origin)}`}
                    onClick={() => remove(origin)}
                  >
                    Remove
                  </Button>
                </span>
              </li>
            ),
          )}
        </ul>
      )}
    </>
  );
}

interface FormProps {
  readonly label: string;
  readonly action: string;
  readonly initial: string;
  /** True: the label is for screen readers. */
  readonly isBare?: boolean;
  readonly isTaken: (origin: string) => boolean;
  readonly save: (origin: string) => Promise<unknown>;
  readonly onCancel?: () => void;
}

/** What a browser sends has no path and no slash at its end; people paste whole addresses. */
function originIn(text: string): string {
  const trimmed = text.trim();
  const match = /^(https?:\/\/[^/?#]+)(?:[/?#].*)?$/i.exec(trimmed);
  return match?.[1]?.toLowerCase() ?? trimmed;
}

function OriginForm({ label, action, initial, isBare = false, isTaken, save, onCancel }: FormProps) {
  const [text, setText] = useState(initial);
  const [error, setError] = useState<ApiError>();
  const [isSaving, setSaving] = useState(false);
  const origin = originIn(text);
  const taken = origin !== '' && !isSaving && isTaken(origin);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setSaving(true);
    setError(undefined);
    save(origin)
      .then(
        () => setText(''),
        (thrown: unknown) => setError(thrown instanceof ApiError ? thrown : undefined),
      )
      .finally(() => setSaving(false));
  };
  return (
    <form className="add-name" onSubmit={submit}>
      <TextInput
        {...(isBare ? { 'aria-label': label } : { label })}
        placeholder="https://app.example.com"
        autoComplete="off"
        spellCheck={false}
        value={text}
        error={taken ? 'It is in the list.' : error?.reason}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setError(undefined);
        }}
      />
      <Button type="submit" variant="default" loading={isSaving} disabled={origin === '' || taken}>
        {action}
      </Button>
      {onCancel !== undefined && (
        <Button variant="subtle" color="gray" onClick={onCancel}>
          Cancel
        </Button>
      )}
      <RequestId id={error?.requestId} />
    </form>
  );
}
