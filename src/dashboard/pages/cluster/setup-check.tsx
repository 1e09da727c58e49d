// What `couchgate setup` would say about the settings of the nodes and the disks, on demand.
import { Alert, Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import {
  type CheckedNode,
  checkCluster,
  type InstallationReport,
  type SettingCheck,
} from '../../api/cluster.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { Check } from './check.tsx';

export function SetupCheck() {
  const query = useQuery({
    queryKey: ['cluster', 'check'],
    queryFn: ({ signal }) => checkCluster(signal),
    enabled: false,
  });
  return (
    <>
      <h2>Settings</h2>
      <p>
        Reads the settings of every node and tests them by the rules of <code>couchgate setup</code>. It
        changes nothing.
      </p>
      <p>
        <Button variant="default" loading={query.isFetching} onClick={() => void query.refetch()}>
          {query.data === undefined ? 'Check the settings' : 'Check again'}
        </Button>
      </p>
      {query.isError && <ErrorNotice error={query.error} title="The settings cannot be checked" />}
      {query.data !== undefined && <Checked checked={query.data} />}
    </>
  );
}

function Checked({
  checked: { checked_at: at, passed, nodes, folders },
}: {
  readonly checked: InstallationReport;
}) {
  const hasFailures = nodes.some(
    ({ state, checks }) => state === 'refused' || checks.some(({ result }) => result === 'failed'),
  );
  return (
    <div role="status">
      <Alert
        color={passed ? 'green' : 'yellow'}
        title={
          passed
            ? 'Every setting is right'
            : hasFailures
              ? 'Not all is right'
              : 'Not every node could be checked'
        }
      >
        Checked <Moment key={at} at={at} absent="" />.
        {hasFailures && (
          <>
            {' '}
            <code>couchgate setup</code> with the URLs of the nodes corrects what it can.
          </>
        )}
      </Alert>
      {nodes.map((node) => (
        <NodeChecks key={node.node} node={node} />
      ))}
      <h3>Disks of this server</h3>
      <ul className="checks">
        {folders.map(({ folder, encryption, reason }) => (
          <Check key={folder} outcome={encryption === 'encrypted' ? 'passed' : 'advice'}>
            {FOLDERS[folder] ?? <Foreign text={folder} />}:{' '}
            {encryption === 'encrypted' && 'encrypted by dm-crypt'}
            {encryption === 'plain' && 'not encrypted by dm-crypt'}
            {encryption === 'unseen' && `not known, ${reason ?? ''}`}
          </Check>
        ))}
      </ul>
      {folders.some(({ encryption }) => encryption !== 'encrypted') && (
        <p className="hint">
          A disk or a cloud volume may encrypt by itself, which cannot be seen from here.
        </p>
      )}
    </div>
  );
}

const FOLDERS: Readonly<Record<string, string>> = {
  'data: secrets': 'Secrets of Couchgate',
  configuration: 'Configuration files',
  access_log: 'Access log',
  backup_repository: 'Backups',
  CouchDB: 'Data of CouchDB',
};

const STATES: Readonly<Record<Exclude<CheckedNode['state'], 'checked'>, string>> = {
  away: 'It does not answer, so its settings are not known',
  refused: 'It refuses Couchgate’s token: run couchgate setup with its URL',
  'no settings': 'It shows no settings. An embedded node has none',
};

function NodeChecks({ node: { node, state, reason, checks } }: { readonly node: CheckedNode }) {
  const passed = checks.filter(({ result }) => result === 'passed');
  const others = checks.filter(({ result }) => result !== 'passed');
  return (
    <>
      <h3>
        <Name of={node} />
      </h3>
      {state !== 'checked' && (
        <ul className="checks">
          <Check outcome={state === 'no settings' ? 'advice' : 'failed'}>
            {STATES[state]}
            {reason !== null && (
              <>
                {' '}
                (<Foreign text={reason} />)
              </>
            )}
            .
          </Check>
        </ul>
      )}
      {others.length > 0 && (
        <ul className="checks">
          {others
            .toSorted((a, b) => Number(b.result === 'failed') - Number(a.result === 'failed'))
            .map((check) => (
              <OneCheck key={check.check} check={check} />
            ))}
        </ul>
      )}
      {passed.length > 0 && (
        <details>
          <summary>{passed.length} passed</summary>
          <ul className="checks">
            {passed.map((check) => (
              <OneCheck key={check.check} check={check} />
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

/** Numbers of hazards, for those who read the documentation. */
const HAZARDS = / \(H\d+(?:, H\d+)*\)$/;

function OneCheck({ check: { check, result, why, remedy } }: { readonly check: SettingCheck }) {
  return (
    <Check outcome={result} below={remedy === null ? undefined : <CodeText text={`To do: ${remedy}`} />}>
      <code>{check}</code>: <CodeText text={why.replace(HAZARDS, '')} />
    </Check>
  );
}

/** The server marks values by back-ticks. */
function CodeText({ text }: { readonly text: string }) {
  return text.split('`').map((part, at) => (at % 2 === 0 ? part : <code key={`${at} ${part}`}>{part}</code>));
}
