// The page Permissions of a database.
import { Alert, Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { ApiError } from '../../api/http.ts';
import { DatabaseHead } from '../../parts/database-head.tsx';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { LazyPart, lazyPage } from '../../parts/lazy-page.tsx';
import { pageOf, Pager, PAGE_SIZE, SearchField, useListState } from '../../parts/list.tsx';
import { visible } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { useReach } from '../../parts/use-reach.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { accessIn, couchRulesIn, hasEdits, rolesIn, rolesShown } from '../../permission-edits.ts';
import { keysByNameQuery } from '../../queries.ts';
import { canOf, ROLES } from '../../roles.ts';
import { listed } from '../../permission-words.ts';
import { useRoute } from '../../router.ts';
import { useSession } from '../../session/session.tsx';
import { AddName } from './add-name.tsx';
import { CarriedOver, Conflicts } from './conflicts.tsx';
import { CouchRules } from './couch-rules.tsx';
import { GenerateKey } from './generate-key.tsx';
import { History, useHasHistory } from './history.tsx';
import { Matrix, type MatrixRow } from './matrix.tsx';
import { OwnRoles } from './own-roles.tsx';
import { PrefixRows } from './prefix-rows.tsx';
import { SaveBar } from './save-bar.tsx';
import { type Editing, useEdits } from './use-edits.ts';

const TestAccess = lazyPage(() => import('./test-access.tsx').then((page) => page.TestAccess));

export function PermissionsPage({ database }: { readonly database: string }) {
  useTitle(`Permissions of ${database}`);
  const { parameters } = useRoute();
  const { query, editing } = useEdits(database);
  const [saved, setSaved] = useState<readonly string[]>();
  const hasHistory = useHasHistory(database, editing?.base.revision !== undefined);
  const show = parameters.get('show');
  const view = show === 'test' || (show === 'history' && hasHistory) ? show : 'permissions';
  return (
    <>
      <DatabaseHead
        database={database}
        title={`Permissions of ${database}`}
        view={view}
        hasHistory={hasHistory}
      />
      {query.isError && (
        <ReadError
          database={database}
          error={query.error}
          isOldShown={editing !== undefined}
          onRetry={() => void query.refetch()}
        />
      )}
      {query.isPending && <Waiting what="permissions" />}
      {editing !== undefined && (
        <>
          {view === 'history' && <History database={database} revision={editing.base.revision} />}
          {view === 'test' && (
            <LazyPart what="the test">
              <TestAccess database={database} editing={editing} />
            </LazyPart>
          )}
          {view === 'permissions' && <Editor database={database} editing={editing} />}
          {saved !== undefined && !hasEdits(editing.edits) && <Saved warnings={saved} />}
          {hasEdits(editing.edits) && <SaveBar database={database} editing={editing} onSaved={setSaved} />}
        </>
      )}
    </>
  );
}

interface ReadErrorProps {
  readonly database: string;
  readonly error: unknown;
  readonly isOldShown: boolean;
  readonly onRetry: () => void;
}

function ReadError({ database, error, isOldShown, onRetry }: ReadErrorProps) {
  const isRefused = error instanceof ApiError && error.status === 403;
  return (
    <ErrorNotice
      error={error}
      title="The permissions cannot be read"
      isOldShown={isOldShown}
      onRetry={onRetry}
    >
      {isRefused && (
        <>
          <p>
            Whoever holds <code>_security</code> or <code>_admin</code> on the database may see them.
          </p>
          <OwnRoles database={database} />
        </>
      )}
    </ErrorNotice>
  );
}

function Saved({ warnings }: { readonly warnings: readonly string[] }) {
  return (
    <Alert color={warnings.length > 0 ? 'yellow' : 'green'} role="status" className="saved">
      Saved. It is in force now.
      {warnings.map((warning) => (
        <p key={warning}>{visible(warning)}</p>
      ))}
    </Alert>
  );
}

function Editor({ database, editing }: { readonly database: string; readonly editing: Editing }) {
  const { person } = useSession();
  const [isGenerating, setGenerating] = useState(false);
  const [added, setAdded] = useState<readonly string[]>([]);
  const { search, page } = useListState('name');
  const { base, edits, set } = editing;
  const { reach } = useReach(database);
  const rows = useRows(editing, added);
  const others = rows.filter(({ name, key }) => matches(search, name, key?.label));
  const isLong = rows.length > PAGE_SIZE;
  const isInert = edits.couch?.after.isOn ?? couchRulesIn(base.document).isOn;
  const forget = useCallback(
    (name: string) => {
      setAdded((now) => now.filter((each) => each !== name));
      set(name, []);
    },
    [set],
  );
  return (
    <>
      <AccessLine editing={editing} reaching={reach.length} />
      {editing.conflicts.length > 0 && <Conflicts editing={editing} />}
      {editing.wasCarriedOver && editing.conflicts.length === 0 && <CarriedOver />}
      <div className="tools" hidden={isInert}>
        <AddName
          isPresent={(name) => name === 'nobody' || rows.some((row) => row.name === name)}
          onAdd={(name) => setAdded([name, ...added])}
        />
        {person.isOwner && <Button onClick={() => setGenerating(true)}>Generate API key</Button>}
      </div>
      {isLong && (
        <div className="tools">
          <SearchField label="Search names and labels" />
          <Pager total={others.length} page={page} of="names" />
        </div>
      )}
      <Matrix
        rows={[everyone(editing), ...pageOf(others, page)]}
        isInert={isInert}
        onChange={set}
        onForget={forget}
      />
      <RoleMeanings />
      <PrefixRows database={database} isInert={isInert} />
      <CouchRules editing={editing} />
      {isGenerating && <GenerateKey database={database} onClose={() => setGenerating(false)} />}
    </>
  );
}

/** The rows of all names but `nobody`: new ones first, then in the order of their names. */
function useRows({ base: { document }, edits }: Editing, added: readonly string[]): readonly MatrixRow[] {
  const { person } = useSession();
  const { data: known } = useQuery({ ...keysByNameQuery, enabled: person.isOwner, staleTime: 60_000 });
  return useMemo(() => {
    const stored = Object.keys(document.cloudant ?? {}).filter((name) => rolesIn(document, name).length > 0);
    const names = new Set([...added, ...[...new Set([...stored, ...edits.grants.keys()])].sort()]);
    names.delete('nobody');
    return [...names].map((name) => ({
      name,
      key: known?.get(name),
      roles: rolesShown(document, edits, name),
      before: rolesIn(document, name),
    }));
  }, [document, edits, added, known]);
}

function everyone({ base: { document }, edits }: Editing): MatrixRow {
  return {
    name: 'nobody',
    key: undefined,
    roles: rolesShown(document, edits, 'nobody'),
    before: rolesIn(document, 'nobody'),
  };
}

function matches(search: string, name: string, label: string | null | undefined): boolean {
  const wanted = search.toLowerCase();
  return name.toLowerCase().includes(wanted) || label?.toLowerCase().includes(wanted) === true;
}

/** For those who cannot point at the head of a column. */
function RoleMeanings() {
  return (
    <details className="spaced">
      <summary>What the roles mean</summary>
      <dl className="facts">
        {ROLES.map(({ role, title, meaning }) => (
          <div key={role} className="fact">
            <dt>{title}</dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

interface LineProps {
  readonly editing: Editing;
  /** How many prefix grants reach the database. */
  readonly reaching: number;
}

/** The state that is saved, in one sentence. */
function AccessLine({ editing: { base }, reaching }: LineProps) {
  const access = accessIn(base.document);
  const isReached = reaching > 0;
  switch (access.kind) {
    case 'couchdb':
      return <p>CouchDB decides who has access to this database.</p>;
    case 'owner':
      return isReached ? (
        <p>No name has a role by these permissions. Prefix grants, below, give some.</p>
      ) : (
        <p>Only server admins have access. Add a name, or generate an API key, to share the database.</p>
      );
    case 'public':
      return (
        <p className="public-line">
          <strong>This database is public.</strong> Everyone without a password can{' '}
          {listed(access.roles.map(canOf))}.
        </p>
      );
    case 'names':
      return <p>The names below have access. Nobody gets in without a password.</p>;
  }
}
