// The page Documents of a database: the ids in CouchDB's order, from a beginning that the address names.
import { Button, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { type DocumentList, listDocuments } from '../../api/documents.ts';
import { DatabaseHead } from '../../parts/database-head.tsx';
import { QueryError } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { PrefixField, RangePager, useRange } from '../../parts/range-list.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { goTo, linkTo, replaceParameters } from '../../router.ts';

const USERS = '_users';

export function DocumentsPage({ database }: { readonly database: string }) {
  useTitle(`Documents of ${database}`);
  return (
    <>
      <DatabaseHead database={database} view="documents" title={`Documents of ${database}`} />
      {database === USERS ? (
        <p>
          The documents of this database are the users and the hashes of their passwords.{' '}
          <a href={linkTo(['users'])}>Go to the page Users</a>
        </p>
      ) : (
        <Documents database={database} />
      )}
    </>
  );
}

function Documents({ database }: { readonly database: string }) {
  const { prefix, from } = useRange();
  const query = useQuery({
    queryKey: ['documents', database, prefix, from],
    queryFn: ({ signal }) => listDocuments(database, { from, prefix }, signal),
    placeholderData: (before) => before,
  });
  const here = ['databases', database, 'documents'];
  return (
    <>
      <div className="tools">
        <PrefixField what="ids" />
        <OpenById database={database} />
        <Button component="a" href={linkTo([...here, ''])}>
          Create document
        </Button>
      </div>
      <QueryError query={query} title="The documents cannot be read" />
      {query.isPending && <Waiting what="documents" />}
      {query.data !== undefined && !query.isError && (
        <Rows database={database} list={query.data} isFiltered={prefix !== ''} from={from} />
      )}
    </>
  );
}

interface RowsProps {
  readonly database: string;
  readonly list: DocumentList;
  readonly isFiltered: boolean;
  readonly from: string;
}

function Rows({ database, list: { documents, next }, isFiltered, from }: RowsProps) {
  const here = ['databases', database, 'documents'];
  if (documents.length === 0)
    return isFiltered ? (
      <p>
        No id begins so.{' '}
        <Button size="xs" variant="default" onClick={() => replaceParameters({ prefix: undefined })}>
          Show all
        </Button>
      </p>
    ) : (
      <p>
        There are no documents{from === '' ? ' yet. Create one, or write with the API.' : ' after this id.'}
      </p>
    );
  return (
    <>
      <table className="list documents">
        <thead>
          <tr>
            <th scope="col">Id</th>
            <th scope="col">Revision</th>
          </tr>
        </thead>
        <tbody>
          {documents.map(({ id, rev }) => (
            <tr key={id}>
              <th scope="row" data-column="Id">
                <a href={linkTo([...here, id])}>
                  <Name of={id} />
                </a>
                {id.startsWith('_design/') && <span className="tag">design</span>}
              </th>
              <td data-column="Revision">
                <code className="hint">{rev.slice(0, rev.indexOf('-') + 9)}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <RangePager segments={here} next={next} />
      {from === '' && next === undefined && (
        <p className="hint">
          {documents.length} {documents.length === 1 ? 'document' : 'documents'}
        </p>
      )}
    </>
  );
}

function OpenById({ database }: { readonly database: string }) {
  const [id, setId] = useState('');
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (id !== '') goTo(linkTo(['databases', database, 'documents', id]));
  };
  return (
    <form className="add-name" onSubmit={submit}>
      <TextInput
        aria-label="Open a document by its id"
        placeholder="Open by id"
        autoComplete="off"
        spellCheck={false}
        value={id}
        onChange={(event) => setId(event.currentTarget.value)}
      />
      <Button type="submit" variant="default" disabled={id === ''}>
        Open
      </Button>
    </form>
  );
}
