// Says whether a name may do something on the database, why, and which role would allow it.
import { Alert, Button, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { explain } from '../../api/explain.ts';
import {
  afterwardsOf,
  OPERATIONS,
  type Question,
  requestsOf,
  rolesInWords,
  TITLES,
  type Verdict,
  verdictOf,
  whyOf,
} from '../../explain-words.ts';
import { QueryError } from '../../parts/error-notice.tsx';
import { useLabelOf } from '../../parts/labelled.tsx';
import { Foreign, Name, visible } from '../../parts/name.tsx';
import { PrincipalField, usePrincipal } from '../../parts/principal-field.tsx';
import { Waiting } from '../../parts/waiting.tsx';
import { hasEdits, rolesShown } from '../../permission-edits.ts';
import { replaceParameters, useRoute } from '../../router.ts';
import { useSession } from '../../session/session.tsx';
import { type Editing } from './use-edits.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH', 'OPTIONS'];
const EVERYONE = { name: 'nobody', words: 'Everyone without a password' };

interface Props {
  readonly database: string;
  readonly editing: Editing;
}

/** The question is in the address, so that the log can lead to it, and a colleague can open it. */
export function TestAccess({ database, editing }: Props) {
  const { parameters } = useRoute();
  const asked: Question = {
    name: parameters.get('name') ?? '',
    operation: parameters.get('do') ?? 'read',
    method: parameters.get('method') ?? 'GET',
    path: parameters.get('path') ?? '',
  };
  // A link leads to another question: the form begins again. A question from the form keeps it and its
  // focus.
  const [form, setForm] = useState({ address: textOf(asked), count: 0 });
  if (form.address !== textOf(asked)) setForm({ address: textOf(asked), count: form.count + 1 });
  const requests = asked.name === '' ? [] : requestsOf(database, asked);
  const { revision } = editing.base;
  const verdict = useQuery({
    // After a save the answer may be another one.
    queryKey: ['explain', asked, revision],
    queryFn: async ({ signal }) => {
      const answers = requests.map(
        async (request) => [request, await explain(asked.name, request, signal)] as const,
      );
      return verdictOf(await Promise.all(answers)) ?? null;
    },
    enabled: requests.length > 0,
    staleTime: 0,
  });
  return (
    <>
      <p>
        May a name do something on this database? Couchgate runs the rules of a real request, and sends
        nothing.
      </p>
      <QuestionForm
        key={form.count}
        database={database}
        asked={asked}
        editing={editing}
        onAsk={(question) => {
          setForm({ ...form, address: textOf(question) });
          replaceParameters({ ...addressOf(question) });
          void verdict.refetch();
        }}
      />
      {requests.length > 0 && verdict.isPending && <Waiting what="the answer" />}
      <QueryError query={verdict} title="This cannot be answered" />
      {verdict.data != null && <Answer name={asked.name} verdict={verdict.data} editing={editing} />}
    </>
  );
}

function addressOf({ name, operation, method, path }: Question): Record<string, string | undefined> {
  const isOther = operation === 'other';
  return { name, do: operation, method: isOther ? method : undefined, path: isOther ? path : undefined };
}

function textOf(question: Question): string {
  return JSON.stringify(Object.values(addressOf(question)));
}

interface FormProps extends Props {
  readonly asked: Question;
  readonly onAsk: (question: Question) => void;
}

function QuestionForm({ database, asked, editing, onAsk }: FormProps) {
  const names = Object.keys(editing.base.document.cloudant ?? {}).filter((name) => name !== 'nobody');
  const extra = [EVERYONE, ...names.map((name) => ({ name, words: visible(name) }))];
  const [who, setWho] = useState(asked.name === 'nobody' ? EVERYONE.words : asked.name);
  const [operation, setOperation] = useState(asked.operation);
  const [method, setMethod] = useState(asked.method);
  const [path, setPath] = useState(asked.path === '' ? `/${encodeURIComponent(database)}/` : asked.path);
  const choice = usePrincipal(who, { extra });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (choice.name !== '') onAsk({ name: choice.name, operation, method, path: path.trim() });
  };
  return (
    <form className="question" onSubmit={submit}>
      <PrincipalField
        label="Who"
        choice={choice}
        text={who}
        onChange={setWho}
        isRequired
        placeholder="User, API key, or everyone"
      />
      <NativeSelect
        label="What"
        data={OPERATIONS.map(({ id, words }) => ({ value: id, label: words }))}
        value={operation}
        onChange={(event) => setOperation(event.currentTarget.value)}
      />
      {operation === 'other' && (
        <>
          <NativeSelect
            label="Method"
            data={METHODS}
            value={method}
            onChange={(event) => setMethod(event.currentTarget.value)}
          />
          <TextInput
            label="Path"
            autoComplete="off"
            spellCheck={false}
            required
            value={path}
            onChange={(event) => setPath(event.currentTarget.value)}
          />
        </>
      )}
      <Button type="submit">Test</Button>
    </form>
  );
}

const COLOURS = { allow: 'green', deny: 'red', unknown: 'yellow' } as const;

interface AnswerProps {
  readonly name: string;
  readonly verdict: Verdict;
  readonly editing: Editing;
}

function Answer({ name, verdict, editing }: AnswerProps) {
  const { request, explanation, ways } = verdict;
  const { decision, status } = explanation;
  const known = status === undefined ? '' : ` with ${status}`;
  return (
    <>
      <Alert className="spaced" color={COLOURS[decision]} role="status" title={`${TITLES[decision]}${known}`}>
        <p>
          <Whom name={name} />: {visible(whyOf(verdict))}
        </p>
        {afterwardsOf(explanation).map((words) => (
          <p key={words}>{words}</p>
        ))}
        {hasEdits(editing.edits) && <p>This is what is saved. Your unsaved changes do not count yet.</p>}
      </Alert>
      <Ways name={name} ways={ways} editing={editing} />
      <Details request={request} explanation={explanation} />
    </>
  );
}

/** The name with its label, as far as the person may know it. */
function Whom({ name, isShort = false }: { readonly name: string; readonly isShort?: boolean }) {
  const label = useLabelOf()(name);
  if (name === 'nobody') return isShort ? 'everyone' : EVERYONE.words;
  return (
    <>
      {label !== '' && (
        <strong>
          <Foreign text={label} />{' '}
        </strong>
      )}
      {(label === '' || !isShort) && <Name of={name} />}
    </>
  );
}

/** The roles that would allow it; a button puts them into the unsaved edits. */
function Ways({ name, ways, editing }: Omit<AnswerProps, 'verdict'> & Pick<Verdict, 'ways'>) {
  const { base, edits, set } = editing;
  const has = rolesShown(base.document, edits, name);
  const isAdded = ways.some((way) => way.every((role) => has.includes(role)));
  if (ways.length === 0) return null;
  if (isAdded)
    return (
      <p role="status">
        <strong>The role is among your unsaved changes.</strong> Review and save them below; then this page
        answers again.
      </p>
    );
  return (
    <section aria-label="What would allow it">
      <div className="actions">
        {ways.map((way, at) => (
          <Button
            key={way.join()}
            variant={at === 0 ? 'filled' : 'default'}
            onClick={() => set(name, [...has, ...way])}
          >
            {at > 0 && 'or '}Grant {rolesInWords(way)} to&nbsp;
            <Whom name={name} isShort />
          </Button>
        ))}
      </div>
      <p className="hint spaced">It is added to your unsaved changes. Nothing is in force before you save.</p>
    </section>
  );
}

function Details({ request, explanation }: Pick<Verdict, 'request' | 'explanation'>) {
  const { isOwner } = useSession().person;
  const { rule, reason, operation, needed, held } = explanation;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Request', `${request.method} ${request.path}`],
    ['Rule, as in the access log', rule],
    ['Reason', reason],
    ['Endpoint', operation],
    ['Needs', needed],
    ['Has on this database', held.length === 0 ? 'no role' : held.join(', ')],
  ];
  return (
    <details className="spaced">
      <summary>In the words of the access log</summary>
      <dl className="facts">
        {facts.map(
          ([title, value]) =>
            value !== undefined && (
              <div key={title} className="fact">
                <dt>{title}</dt>
                <dd>
                  <code>
                    <Foreign text={value} />
                  </code>
                </dd>
              </div>
            ),
        )}
      </dl>
      {!isOwner && <p className="hint">The answer is for a key of that name: whose it is, is not told.</p>}
    </details>
  );
}
