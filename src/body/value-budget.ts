// Limits the JSON values that CouchDB parses at the same time for all callers together (H20).
import { type BodyBudget, createBudget } from './budget.ts';

/** CouchDB needs up to 550 bytes of memory for each. */
const MAX_VALUES = 2_000_000;
/** CouchDB processes a body completely, also if the client has disconnected: up to 40 µs for a value. */
const DISCONNECTED_MS = 60_000;

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
