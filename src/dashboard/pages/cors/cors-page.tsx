// The page CORS: which web pages may call this server from a browser.
import { Alert, Button, Checkbox, Radio } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changeCors, type CorsDocument, readCors } from '../../api/cors.ts';
import { ConfirmDialog } from '../../parts/confirm-dialog.tsx';
import { ErrorNotice, QueryError } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { CorsTester } from './cors-tester.tsx';
import { Origins } from './origins.tsx';

const KEY = ['cors'];

export function CorsPage() {
  useTitle('CORS');
  const query = useQuery({ queryKey: KEY, queryFn: ({ signal }) => readCors(signal) });
  return (
    <>
      <h1>CORS</h1>
      <p>
        A browser lets a web page of another site call this server only if its origin is allowed here.
        Programs outside browsers are not affected, and every caller still needs its password.
      </p>
      <QueryError
        query={query}
        title="The CORS settings cannot be read"
        isOldShown={query.data !== undefined}
      />
      {query.isPending && <Waiting what="the CORS settings" />}
      {query.data !== undefined && <Editor cors={query.data} />}
      <CorsTester />
    </>
  );
}

type Apply = (now: CorsDocument) => CorsDocument;

interface Changing {
  readonly apply: Apply;
  /** False: what a person has typed stays in its field until it is saved. */
  readonly isShownAtOnce: boolean;
}

const FOR_ALL = { origins: ['*'], allow_credentials: false } as const;

/** Saves a change at once, as on Cloudant. Rejects if it was not saved. */
export type Change = (apply: Apply) => Promise<unknown>;

function Editor({ cors }: { readonly cors: CorsDocument }) {
  const queries = useQueryClient();
  const saving = useMutation({
    mutationKey: KEY,
    // One after the other: each starts from what the one before it has saved.
    scope: { id: 'cors' },
    mutationFn: ({ apply }: Changing) => changeCors(apply),
    // A choice is shown at once; put back if it was not saved.
    onMutate: async ({ apply, isShownAtOnce }) => {
      // An answer that is under way has the settings before this change.
      await queries.cancelQueries({ queryKey: KEY });
      if (isShownAtOnce) queries.setQueryData<CorsDocument>(KEY, (now) => apply(now ?? cors));
    },
    onError: () => queries.invalidateQueries({ queryKey: KEY }),
    onSuccess: (next) => {
      // The answer to an earlier change does not hide a later one.
      if (queries.isMutating({ mutationKey: KEY }) === 1) queries.setQueryData(KEY, next);
      void queries.invalidateQueries({ queryKey: ['cors-test'] });
    },
  });
  const choose = (apply: Apply): void =>
    // A failure is shown below; nothing of it is thrown.
    void saving.mutateAsync({ apply, isShownAtOnce: true }).catch(() => undefined);
  const set = (fields: Partial<CorsDocument>): void => choose((now) => ({ ...now, ...fields }));
  const { enable_cors: isOn, allow_credentials: hasCredentials, origins } = cors;
  const isForAll = origins.includes('*');
  const [isAsking, setAsking] = useState(false);
  /** What all origins have taken the place of, for this visit. */
  const [before, setBefore] = useState<Pick<CorsDocument, 'origins' | 'allow_credentials'>>();
  const chooseWho = (value: string): void => {
    if (value === 'listed') set(before ?? { origins: [] });
    // An arrow key chooses at once: nobody loses a list by it.
    else if (origins.length > 0) setAsking(true);
    else set(FOR_ALL);
  };
  return (
    <>
      <div className="state-line">
        <p>
          <strong>CORS is {isOn ? 'on' : 'off'}.</strong> {stateInWords(cors)}
        </p>
        <Button
          variant={isOn ? 'default' : 'filled'}
          loading={saving.isPending}
          // Credentials for every origin can be stored while CORS is off, but not be in force.
          onClick={() =>
            set({ enable_cors: !isOn, allow_credentials: hasCredentials && (isOn || !isForAll) })
          }
        >
          Turn CORS {isOn ? 'off' : 'on'}
        </Button>
      </div>
      {/* The field of an origin shows its own. */}
      {saving.isError && saving.variables.isShownAtOnce && (
        <ErrorNotice error={saving.error} title="The change was not saved" />
      )}
      {isOn && (
        <Radio.Group label="Allowed origins" value={isForAll ? 'all' : 'listed'} onChange={chooseWho}>
          <div className="choices">
            <Radio value="all" label="All origins: pages of every web site, without cookies" />
            <Radio value="listed" label="Only the origins listed here" />
          </div>
        </Radio.Group>
      )}
      {isAsking && (
        <ConfirmDialog
          title="Allow all origins"
          action="Allow all origins"
          run={async () => {
            await saving.mutateAsync({ apply: (now) => ({ ...now, ...FOR_ALL }), isShownAtOnce: false });
            setBefore({ origins, allow_credentials: hasCredentials });
          }}
          onClose={() => setAsking(false)}
        >
          <p>Pages of every web site may then call this server, without cookies. This list ends:</p>
          <ul>
            {origins.map((origin) => (
              <li key={origin}>
                <Name of={origin} />
              </li>
            ))}
          </ul>
          <p>Until you leave this page, “Only the origins listed here” puts it back.</p>
        </ConfirmDialog>
      )}
      {/* Hidden, not removed: somebody else may turn it off while an origin is typed. */}
      <div className="spaced" hidden={!isOn || isForAll}>
        <Origins
          origins={isForAll ? [] : origins}
          change={(apply) => saving.mutateAsync({ apply, isShownAtOnce: false })}
          choose={choose}
        />
        <Checkbox
          className="spaced"
          label="Pages may send cookies and passwords of the browser (credentials)"
          checked={hasCredentials}
          onChange={(event) => set({ allow_credentials: event.currentTarget.checked })}
        />
      </div>
      {isOn && isForAll && (
        <Alert color="yellow" className="spaced">
          Any web site can read what is public here with the browser of its visitors. Prefer a list if you
          know your sites.
        </Alert>
      )}
    </>
  );
}

function stateInWords({ enable_cors: isOn, origins }: CorsDocument): string {
  if (!isOn) return 'Browsers refuse calls from pages of other sites.';
  if (origins.includes('*')) return 'Pages of every site may call this server.';
  if (origins.length === 0) return 'No origin is listed yet, so no page of another site may call.';
  return `Pages of ${origins.length === 1 ? 'one origin' : `${origins.length} origins`} may call this server.`;
}
