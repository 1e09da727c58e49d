// The page Cluster: whether Couchgate can serve, the state of every node, and the load.
import { Alert } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type Cluster, type ClusterNode, readCluster } from '../../api/cluster.ts';
import { QueryError } from '../../parts/error-notice.tsx';
import { Moment } from '../../parts/moment.tsx';
import { Foreign, Name } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { Check } from './check.tsx';
import { SetupCheck } from './setup-check.tsx';

const REFRESH_MS = 5000;

export function ClusterPage() {
  useTitle('Cluster');
  const query = useQuery({
    queryKey: ['cluster'],
    queryFn: ({ signal }) => readCluster(signal),
    refetchInterval: REFRESH_MS,
  });
  return (
    <>
      <h1>Cluster</h1>
      <QueryError query={query} title="The state cannot be read" />
      {query.isPending && <Waiting what="the state of the cluster" />}
      {query.data !== undefined && <State cluster={query.data} />}
    </>
  );
}

function State({ cluster }: { readonly cluster: Cluster }) {
  return (
    <>
      <Headline cluster={cluster} />
      <h2>CouchDB nodes</h2>
      <table className="list nodes">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col">Since</th>
            <th scope="col">Version</th>
            <th scope="col" className="number" title="Time to answer the last health check">
              Latency
            </th>
            <th scope="col" className="number" title="Requests at the node now">
              Running
            </th>
            <th scope="col" className="number" title="Requests that wait for a free connection">
              Waiting
            </th>
            <th scope="col" className="number" title="Open change feeds">
              Feeds
            </th>
          </tr>
        </thead>
        <tbody>
          {cluster.nodes.map((node) => (
            <NodeRow key={node.node} node={node} />
          ))}
        </tbody>
      </table>
      <p className="hint">In front of them: Couchgate {cluster.version}</p>
      <Checks cluster={cluster} />
      <SetupCheck />
      <Load cluster={cluster} />
    </>
  );
}

/** The answer to "is the cluster well?" in one sentence. */
function Headline({ cluster: { ready, checks, nodes, caches } }: { readonly cluster: Cluster }) {
  const down = nodes.filter(({ state }) => state !== 'up');
  if (!ready)
    return (
      <Alert color="red" role="status" title="Couchgate cannot serve">
        {checks['draining'] === true
          ? 'It is stopping: it finishes what runs and takes nothing new.'
          : 'No CouchDB node is up. Requests are answered with 503 until one is.'}
      </Alert>
    );
  if (down.length > 0)
    return (
      <Alert color="yellow" role="status" title="Couchgate serves, with fewer nodes">
        {down.length} of {nodes.length} nodes {down.length === 1 ? 'is' : 'are'} not up. The others take the
        requests.
      </Alert>
    );
  if (!caches.invalidation_feed_up || checks['store_majority'] === false)
    return <Alert color="yellow" role="status" title="Couchgate serves, but a check below fails" />;
  return (
    <Alert color="green" role="status" title="All is well">
      {nodes.length === 1 ? 'The node is up' : `All ${nodes.length} nodes are up`}, and every check passes.
    </Alert>
  );
}

const STATES: Readonly<Record<ClusterNode['state'], readonly [words: string, className: string]>> = {
  up: ['Up', 'good'],
  'half-open': ['Recovering', 'warn'],
  draining: ['In maintenance', 'warn'],
  down: ['Down', 'bad'],
  unknown: ['Not probed yet', 'hint'],
};

function NodeRow({ node }: { readonly node: ClusterNode }) {
  const [words, className] = STATES[node.state];
  const whyNot = node.state === 'up' ? null : node.reason;
  return (
    <tr>
      <th scope="row" data-column="Node">
        <Name of={node.node} />
      </th>
      <td data-column="State">
        <strong className={className}>{words}</strong>
        {whyNot !== null && (
          <span className="below">
            <Foreign text={whyNot} />
          </span>
        )}
      </td>
      <td data-column="Since">
        <Moment key={node.since} at={node.since} absent="" />
      </td>
      <td data-column="Version">{node.version ?? '–'}</td>
      <td className="number" data-column="Latency">
        {node.latency_ms === null ? 'no answer' : `${node.latency_ms.toLocaleString('en')} ms`}
      </td>
      <td className="number" data-column="Running">
        {node.running.toLocaleString('en')}
      </td>
      <td className="number" data-column="Waiting">
        {node.waiting.toLocaleString('en')}
      </td>
      <td className="number" data-column="Feeds">
        {node.feeds.toLocaleString('en')}
      </td>
    </tr>
  );
}

function Checks({ cluster: { checks, caches, nodes } }: { readonly cluster: Cluster }) {
  const up = Number(checks['nodes_up'] ?? 0);
  return (
    <>
      <h2>Checks</h2>
      <ul className="checks">
        <TwoWays isGood={up > 0} good={`${up} of ${nodes.length} nodes up`} bad="No node is up" />
        <TwoWays
          isGood={caches.invalidation_feed_up}
          good="Changes of keys and permissions arrive at once"
          bad="Changes made by other processes arrive late: the feed of the store is down"
        />
        <TwoWays
          isGood={checks['keys_known'] === true}
          good="API keys can be checked"
          bad="API keys cannot be checked: the store is not readable"
        />
        <TwoWays
          isGood={up > 0 && checks['store_majority'] === true}
          good="Permissions can be changed"
          bad="Permissions cannot be changed: too few copies of the store are up"
        />
        <TwoWays isGood={checks['draining'] !== true} good="Not stopping" bad="Stopping" />
      </ul>
    </>
  );
}

interface TwoWaysProps {
  readonly isGood: boolean;
  readonly good: string;
  readonly bad: string;
}

function TwoWays({ isGood, good, bad }: TwoWaysProps) {
  return <Check outcome={isGood ? 'passed' : 'failed'}>{isGood ? good : bad}</Check>;
}

function Load({ cluster }: { readonly cluster: Cluster }) {
  const { feeds, caches, access_log: log, configuration, process } = cluster;
  const reads = caches.permission_hits + caches.permission_misses;
  const waiting = cluster.nodes.reduce((sum, node) => sum + node.waiting, 0);
  const count = (value: number): string => value.toLocaleString('en');
  return (
    <>
      <h2>Load of this process</h2>
      <dl className="facts">
        <dt>Open change feeds</dt>
        <dd>{count(feeds.open)}</dd>
        <dt>Waiting requests</dt>
        <dd>{count(waiting)}</dd>
        <dt>Permission cache</dt>
        <dd>
          {count(caches.permission_records)} {caches.permission_records === 1 ? 'record' : 'records'}
          {reads > 0 && `, ${Math.floor((100 * caches.permission_hits) / reads)} % of reads from memory`}
        </dd>
        <dt>Access log</dt>
        <dd>
          {log.enabled ? (log.accepting ? 'written' : 'cannot be written') : 'off'}
          {log.dropped_lines > 0 && (
            <strong className="bad">, {count(log.dropped_lines)} lines were lost</strong>
          )}
        </dd>
        <dt>Configuration</dt>
        <dd>
          {configuration.reloads === 0
            ? 'not reloaded since the start'
            : `reloaded ${timesInWords(configuration.reloads)} since the start`}
          {configuration.failed_reloads > 0 && (
            <strong className="bad">
              , {timesInWords(configuration.failed_reloads)} a file was wrong: see the operational log
            </strong>
          )}
        </dd>
        <dt>Process</dt>
        <dd>
          number {process.pid}, up for {durationInWords(process.uptime_seconds)}, Node.js {process.node}
        </dd>
      </dl>
      <p className="hint">
        These numbers are of the process that answered. With several workers or replicas, /metrics adds them
        up.
      </p>
    </>
  );
}

const timesInWords = (count: number): string =>
  count === 1 ? 'once' : `${count.toLocaleString('en')} times`;

function durationInWords(seconds: number): string {
  if (seconds < 120) return `${seconds} seconds`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} minutes`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} hours`;
  return `${Math.floor(seconds / 86_400)} days`;
}
