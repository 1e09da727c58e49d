// The lines of the log as a table; each opens to all its fields.
import { Button } from '@mantine/core';
import { Fragment, type ReactNode, useState } from 'react';
import { type LogLine } from '../../api/log.ts';
import { CopyButton } from '../../parts/copy-button.tsx';
import { Label, useLabelOf } from '../../parts/labelled.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { pageAbout, refusalInWords } from '../../log-words.ts';
import { linkTo } from '../../router.ts';

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export function LogLines({ lines }: { readonly lines: readonly LogLine[] }) {
  const [opened, setOpened] = useState<string>();
  return (
    <table className="list log">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Who</th>
          <th scope="col">Request</th>
          <th scope="col">Answer</th>
          <th scope="col">
            <span className="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => {
          const key = `${textIn(line, 'time')} ${textIn(line, 'id')}`;
          const isOpen = opened === key;
          return (
            <Fragment key={key}>
              <LineRow line={line} isOpen={isOpen} onToggle={() => setOpened(isOpen ? undefined : key)} />
              {isOpen && <Whole line={line} />}
            </Fragment>
          );
        })}
      </tbody>
    </table>
  );
}

/** A field as text; every text in a line may be chosen by a client. */
function textIn(line: LogLine, field: string): string {
  const value = line[field];
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

interface RowProps {
  readonly line: LogLine;
  readonly isOpen: boolean;
  readonly onToggle: () => void;
}

function LineRow({ line, isOpen, onToggle }: RowProps) {
  const text = (field: string): string => textIn(line, field);
  const isDenied = text('decision') === 'deny';
  const query = text('rawQueryString');
  const about = isDenied ? pageAbout(line) : undefined;
  return (
    <tr>
      <td data-column="Time">
        <time dateTime={text('time')}>{day.format(Date.parse(text('time')))}</time>
      </td>
      <td data-column="Who">
        <Who line={line} />
        <span className="below hint">{text('clientIp')}</span>
      </td>
      <th scope="row" data-column="Request">
        <code>
          <Foreign text={`${text('httpMethod')} ${text('httpRequest')}${query === '' ? '' : `?${query}`}`} />
        </code>
        <span className="below hint">{text('operation')}</span>
      </th>
      <td data-column="Answer">
        <strong className={isDenied ? 'bad' : undefined}>
          {text('statusCode') === '0' ? 'no answer: the client left' : text('statusCode')}{' '}
          {isDenied ? 'denied' : ''}
        </strong>
        {isDenied && (
          <span className="below">
            <Foreign text={refusalInWords(line)} />
          </span>
        )}
        {isForRoles(line) && <TestLink line={line} database={text('dbName')} />}
        {about !== undefined && <a href={linkTo(about.segments, about.parameters)}>{about.words}</a>}
      </td>
      <td className="row-actions">
        <Button
          size="xs"
          variant="default"
          aria-expanded={isOpen}
          aria-label={`${isOpen ? 'Less' : 'More'} about the request ${text('id')}`}
          onClick={onToggle}
        >
          {isOpen ? 'Less' : 'More'}
        </Button>
      </td>
    </tr>
  );
}

/** The name leads to its key, or to all that it did. */
function Who({ line }: { readonly line: LogLine }) {
  const login = textIn(line, 'loginName');
  const name = textIn(line, 'principal');
  const kind = textIn(line, 'principalKind');
  const label = useLabelOf()(name);
  if (login !== '')
    return (
      <>
        refused login <Name of={login} />
      </>
    );
  const signedIn = signedInBy(line);
  if (signedIn !== '')
    return (
      <>
        <a href={linkTo(['log'], { principal: signedIn })}>
          <Name of={signedIn} />
        </a>{' '}
        <span className="hint">signed in</span>
      </>
    );
  if (kind === 'nobody') return <span className="hint">nobody: no password was sent</span>;
  if (name === '') return <span className="hint">not known</span>;
  return (
    <>
      <Label text={label} />
      <a href={kind === 'key' ? linkTo(['keys', name]) : linkTo(['log'], { principal: name })}>
        <Name of={name} />
      </a>{' '}
      <span className="hint">{kind === 'owner' ? 'server admin' : kind}</span>
    </>
  );
}

/** The request of a sign-in has its password in the body, so the line is one of nobody. */
function signedInBy({ change }: LogLine): string {
  const { action, name } = (change ?? {}) as { readonly action?: unknown; readonly name?: unknown };
  return action === 'login' && typeof name === 'string' ? name : '';
}

function Whole({ line }: { readonly line: LogLine }) {
  const json = JSON.stringify(line);
  const name = textIn(line, 'principal');
  const database = textIn(line, 'dbName');
  return (
    <tr className="whole">
      <td colSpan={5}>
        <dl className="facts">
          {Object.entries(line).map(([field, value]) => (
            <Field key={field} name={field}>
              {typeof value === 'string' ? value : JSON.stringify(value)}
            </Field>
          ))}
        </dl>
        <div className="actions">
          <CopyButton text={json} what="the line as JSON" />
          {name !== '' && <a href={linkTo(['log'], { principal: name })}>All of this name</a>}
          {database !== '' && <a href={linkTo(['log'], { database })}>All on this database</a>}
          {database !== '' && (
            <a href={linkTo(['databases', database, 'permissions'])}>Permissions of the database</a>
          )}
          {!isForRoles(line) && <TestLink line={line} database={database} />}
        </div>
      </td>
    </tr>
  );
}

/** True for a refusal that a role would end: the row itself leads on. */
function isForRoles(line: LogLine): boolean {
  return textIn(line, 'decision') === 'deny' && textIn(line, 'rule') === 'grant';
}

/** Asks the same question again, by the present permissions. */
function TestLink({ line, database }: { readonly line: LogLine; readonly database: string }) {
  const name = textIn(line, 'principalKind') === 'nobody' ? 'nobody' : textIn(line, 'principal');
  if (name === '' || database === '') return null;
  const question = {
    do: 'other',
    name,
    method: textIn(line, 'httpMethod'),
    path: textIn(line, 'httpRequest'),
  };
  const link = linkTo(['databases', database, 'permissions'], { show: 'test', ...question });
  return <a href={link}>Would it be allowed now?</a>;
}

function Field({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <code>{typeof children === 'string' ? <Foreign text={children} /> : children}</code>
      </dd>
    </>
  );
}
