// Exports metrics in Prometheus format, of one process or of all workers.
import { AggregatorRegistry, collectDefaultMetrics, Registry, type Metric } from 'prom-client';
import {
  ACTIONS,
  BUCKETS_SECONDS,
  DECISIONS,
  counterIndex,
  STATUSES,
  type Durations,
  type RequestMetrics,
} from './request-metrics.ts';

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

/** A metric that is read when Prometheus scrapes. Label values must come from a bounded set. */
export interface MetricSource {
  /** Without the prefix `couchgate_`; the name of a counter ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** How the values of the workers are combined; the sum by default. */
  readonly aggregator?: 'sum' | 'max' | 'min' | 'average';
  readonly read: () => number | readonly Sample[];
}

interface NamedSample extends Sample {
  readonly metricName?: string;
}

/**
 * Creates the registry of this process: Couchgate's own metrics, `sources`, and Node's (event-loop delay,
 * memory, CPU).
 */
export function createRegistry(metrics: RequestMetrics, sources: readonly MetricSource[]): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const source of [...ownSources(metrics), ...sources])
    register(
      registry,
      `couchgate_${source.name}`,
      source.help,
      source.type,
      source.aggregator ?? 'sum',
      () => {
        const read = source.read();
        return typeof read === 'number' ? [{ value: read }] : read;
      },
    );
  registerDurations(
    registry,
    'couchgate_request_duration_seconds',
    'Time from the request head to the end of the answer.',
    () => ACTIONS.map((action, index) => [{ action }, metrics.durations[index]] as const),
  );
  registerDurations(
    registry,
    'couchgate_node_duration_seconds',
    'Time from sending a request to a node to the head of its answer.',
    () => [...metrics.nodes].map(([node, { durations }]) => [{ node }, durations] as const),
  );
  return registry;
}

function ownSources(metrics: RequestMetrics): readonly MetricSource[] {
  return [
    {
      name: 'requests_total',
      help: 'Finished requests, by operation class, decision and status class.',
      type: 'counter',
      read: () => requestSamples(metrics),
    },
    {
      name: 'requests_in_flight',
      help: 'Requests that are running, feeds included.',
      type: 'gauge',
      read: () => metrics.inFlight,
    },
    {
      name: 'address_refusals_total',
      help: 'Requests refused by the IP whitelist.',
      type: 'counter',
      read: () => metrics.addressRefusals,
    },
    {
      name: 'node_answers_total',
      help: 'Exchanges with CouchDB nodes, by status class; cut = no answer.',
      type: 'counter',
      read: () =>
        [...metrics.nodes].flatMap(([node, { statuses }]) =>
          STATUSES.map((status, index) => ({ labels: { node, status }, value: statuses[index] ?? 0 })),
        ),
    },
  ];
}

function requestSamples(metrics: RequestMetrics): readonly Sample[] {
  const samples: Sample[] = [];
  ACTIONS.forEach((action, a) => {
    DECISIONS.forEach((decision, d) => {
      STATUSES.forEach((status, s) => {
        const value = metrics.requests[counterIndex(a, d, s)] ?? 0;
        if (value > 0) samples.push({ labels: { action, decision, status }, value });
      });
    });
  });
  return samples;
}

/** Registers values that are stored elsewhere. The registry calls only `get` and `reset` of a metric. */
function register(
  registry: Registry,
  name: string,
  help: string,
  type: 'gauge' | 'counter' | 'histogram',
  aggregator: string,
  read: () => readonly NamedSample[],
): void {
  const get = (): unknown => ({
    name,
    help,
    type,
    aggregator,
    values: read().map((sample) => ({ ...sample, labels: sample.labels ?? {} })),
  });
  const metric = { name, help, type, aggregator, get, reset: () => undefined };
  registry.registerMetric(metric as unknown as Metric);
}

function registerDurations(
  registry: Registry,
  name: string,
  help: string,
  read: () => readonly (readonly [Labels, Durations | undefined])[],
): void {
  register(registry, name, help, 'histogram', 'sum', () =>
    read().flatMap(([labels, durations]) =>
      durations === undefined ? [] : buckets(name, labels, durations),
    ),
  );
}

/** Cumulates the buckets, as Prometheus histograms require. No samples before the first observation. */
function buckets(name: string, labels: Labels, { counts, sumSeconds }: Durations): readonly NamedSample[] {
  let total = 0;
  const samples = Array.from(counts, (count, index) => {
    total += count;
    const le = BUCKETS_SECONDS[index];
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: le === undefined ? '+Inf' : String(le) },
      value: total,
    };
  });
  if (total === 0) return [];
  return [
    ...samples,
    { metricName: `${name}_sum`, labels, value: sumSeconds },
    { metricName: `${name}_count`, labels, value: total },
  ];
}

/**
 * In a worker process: makes this registry available to the primary. The constructor registers the listener
 * that answers the primary's requests for metrics.
 */
export function offerToPrimary(registry: Registry): void {
  AggregatorRegistry.setRegistries(registry);
  new AggregatorRegistry();
}

/** In the primary: returns a function that reads the combined metrics of all workers, as Prometheus text. */
export function readWorkers(): () => Promise<string> {
  const aggregator = new AggregatorRegistry();
  return () => aggregator.clusterMetrics();
}
