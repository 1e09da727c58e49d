// Counts finished requests. Every label has a bounded set of values: never a path, a database or a name.
import { type Context } from '../context.ts';
import { interpret } from './outcome.ts';
import { AUDIT_ACTIONS, type AuditAction } from '../catalogue/endpoint.ts';

/** Operation classes in the order of their counters; `none` = the request matched no endpoint. */
export const ACTIONS: readonly (AuditAction | 'none')[] = [...AUDIT_ACTIONS, 'none'];
/** `refused` = ended before authorize decided: unknown address, malformed request, wrong credentials. */
export const DECISIONS = ['allow', 'deny', 'refused'] as const;
/** `cut` = no answer. */
export const STATUSES = ['cut', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
/** Upper bounds of the duration histograms, in seconds; the last bucket has no upper bound. */
export const BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 3600,
] as const;

const INDEX = new Map<string, number>(ACTIONS.map((action, index) => [action, index]));
const NO_ACTION = ACTIONS.length - 1;
/** Limits memory in case a label is not from the configured nodes. */
const MAX_NODES = 256;

/** A histogram; `counts` are not cumulative. */
export class Durations {
  readonly counts = new Float64Array(BUCKETS_SECONDS.length + 1);
  sumSeconds = 0;

  add(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    let bucket = 0;
    while (bucket < BUCKETS_SECONDS.length && seconds > (BUCKETS_SECONDS[bucket] ?? 0)) bucket += 1;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sumSeconds += seconds;
  }
}

export interface NodeCounts {
  readonly statuses: Float64Array;
  readonly durations: Durations;
}

/** The counters are plain numbers: a labelled prom-client counter hashes its labels at every increment. */
export class RequestMetrics {
  inFlight = 0;
  addressRefusals = 0;
  readonly requests = new Float64Array(ACTIONS.length * DECISIONS.length * STATUSES.length);
  readonly durations: readonly Durations[] = ACTIONS.map(() => new Durations());
  readonly nodes = new Map<string, NodeCounts>();

  requestStarted(): void {
    this.inFlight += 1;
  }

  /** Counts a finished request; `status` 0 = no answer. */
  requestEnded(context: Context, status: number, endedAt: number): void {
    this.inFlight -= 1;
    const { operation, outcome, upstream } = context;
    const action = operation === undefined ? NO_ACTION : (INDEX.get(operation.endpoint.action) ?? NO_ACTION);
    const decided = DECISIONS.indexOf(interpret(context, status).counted);
    const counter = counterIndex(action, decided, statusIndex(status));
    this.requests[counter] = (this.requests[counter] ?? 0) + 1;
    this.durations[action]?.add(endedAt - context.startedAt);
    if (outcome.refusal?.rule === 'address') this.addressRefusals += 1;
    if (upstream.node !== undefined) this.#countNode(upstream.node, context);
  }

  #countNode(node: string, { upstream: { status, sentAt, answeredAt } }: Context): void {
    let counts = this.nodes.get(node);
    if (counts === undefined) {
      if (this.nodes.size >= MAX_NODES) return;
      counts = { statuses: new Float64Array(STATUSES.length), durations: new Durations() };
      this.nodes.set(node, counts);
    }
    const index = statusIndex(status ?? 0);
    counts.statuses[index] = (counts.statuses[index] ?? 0) + 1;
    if (sentAt !== undefined && answeredAt !== undefined) counts.durations.add(answeredAt - sentAt);
  }
}

/** Index of the counter for a combination of labels. */
export function counterIndex(action: number, decision: number, status: number): number {
  return (action * DECISIONS.length + decision) * STATUSES.length + status;
}

function statusIndex(status: number): number {
  const index = Math.floor(status / 100);
  return index >= 1 && index <= 5 ? index : 0;
}
