// Limits what CouchDB keeps of the bodies of all callers at the same time, counted in JSON values (H20).
import { type ServerResponse } from 'node:http';
import { type Unavailable } from '../http-errors.ts';
import { type BodyBudget, createBudget, type Reserve } from './budget.ts';

/** CouchDB needs up to 550 bytes of memory for each. */
const MAX_VALUES = 2_000_000;
/** CouchDB processes a body completely, also if the client has disconnected: up to 40 µs for a value. */
const DISCONNECTED_MS = 60_000;
/** Bodies with fewer values reserve nothing. */
const FREE_VALUES = 10_000;
/** So many bytes count as one value: CouchDB collects a body, joins it and copies its texts. */
const BYTES_PER_VALUE = 256;

/**
 * Creates the budget of one process. A limit per body does not limit memory: one key could send many bodies
 * at once.
 */
export function createValueBudget(total = MAX_VALUES): BodyBudget {
  return createBudget({
    total,
    busy: { reason: 'Too many large request bodies are being written at once.', retryAfterSeconds: 5 },
    disconnectedMs: DISCONNECTED_MS,
  });
}

/** The exchange of a body, for the budget of values. */
export interface ValueHolder {
  readonly valueBudget: BodyBudget;
  readonly res: ServerResponse;
  readonly caller: string;
}

/**
 * What one body holds of the budget, while it arrives. A text of 64 MiB is one value and white space is none,
 * so bytes count too. Pinned by test/hostile/h20-body-bytes.test.ts.
 */
export class HeldValues {
  readonly #holder: ValueHolder | undefined;
  #reserve: Reserve | undefined;
  #bytes = 0;
  #held = 0;

  constructor(holder: ValueHolder | undefined) {
    this.#holder = holder;
  }

  /** Counts a piece of the body, which has so many values so far. Returns why it is refused. */
  add({ length }: Buffer, values: number): Unavailable | undefined {
    this.#bytes += length;
    const amount = Math.max(values, Math.ceil(this.#bytes / BYTES_PER_VALUE));
    const more = amount - this.#held;
    if (more < FREE_VALUES || this.#holder === undefined) return undefined;
    const { valueBudget, res, caller } = this.#holder;
    this.#held = amount;
    this.#reserve ??= valueBudget(res, caller);
    return this.#reserve(more);
  }
}
