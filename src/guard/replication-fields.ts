// Validates the fields of a replication job: an allow-list with types and ranges (H20).
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { BadRequest } from '../http-errors.ts';

/** Returns the value for CouchDB. Throws Problem. */
type Check = (value: unknown) => unknown;

class Problem extends Error {}

const flag = typed('true or false', (value) => typeof value === 'boolean');
const text = typed('a string', (value) => typeof value === 'string');
const object = typed('an object', isJsonObject);
const list = typed('an array', Array.isArray);
const texts = typed('an array of strings', (value) => value === null || isTexts(value));
const sequence = typed(
  'a sequence',
  (value) => typeof value === 'string' || typeof value === 'number' || Array.isArray(value),
);

/**
 * Fields that CouchDB documents, and fields of documents that clients send back.
 * Source: docs.couchdb.org/en/stable/json-structure.html#replication-settings
 *
 * Absent on purpose: `socket_options`. CouchDB parses it as Erlang terms, and each new word stays in the
 * node's atom table for good: a body of 2 MiB ends the node. Pinned by test/hostile/h20-parsers.test.ts.
 */
const FIELDS: ReadonlyMap<string, Check> = new Map<string, Check>([
  // replication-endpoint.ts and replication-jobs.ts check these.
  ...['source', 'target', 'user_ctx', 'owner'].map((name) => [name, (value: unknown) => value] as const),
  ...['continuous', 'create_target', 'cancel', 'use_checkpoints', 'use_bulk_get'].map(
    (name) => [name, flag] as const,
  ),
  ...['winning_revs_only', '_deleted'].map((name) => [name, flag] as const),
  ...['filter', 'id', 'replication_id', '_local_id', '_id', '_rev'].map((name) => [name, text] as const),
  ...['_replication_id', '_replication_state', '_replication_state_reason'].map(
    (name) => [name, text] as const,
  ),
  ['_replication_state_time', typed('a time', isTime)],
  ['_replication_start_time', typed('a time', isTime)],
  ['_replication_stats', object],
  ['_revisions', object],
  ['_attachments', object],
  ...['_conflicts', '_deleted_conflicts', '_revs_info'].map((name) => [name, list] as const),
  ['_local_seq', sequence],
  ['doc_ids', texts],
  ['selector', object],
  ['query_params', object],
  ['since_seq', sequence],
  ['create_target_params', targetParameters],
  ['worker_processes', whole(1, 20)],
  ['worker_batch_size', whole(1, 5000)],
  ['http_connections', whole(1, 100)],
  ['connection_timeout', whole(1, 300_000)],
  ['retries_per_request', whole(0, 50)],
  ['checkpoint_interval', whole(1, 86_400_000)],
]);

const TARGET_FIELDS: ReadonlyMap<string, Check> = new Map([
  ['q', whole(1, 256)],
  ['n', whole(1, 16)],
  ['partitioned', flag],
]);

/** Returns the job with its fields as CouchDB gets them. Throws BadRequest that names all problems. */
export function guardFields(job: JsonObject): JsonObject {
  const problems: string[] = [];
  const checked = checkFields('', job, FIELDS, problems);
  if (problems.length > 0) throw new BadRequest(problems.join(' '));
  return checked;
}

/** So many problems are named: a body may have 100 000. */
const MAX_PROBLEMS = 20;

function checkFields(
  prefix: string,
  object: JsonObject,
  fields: ReadonlyMap<string, Check>,
  problems: string[],
): JsonObject {
  const checked: [string, unknown][] = [];
  for (const [name, value] of Object.entries(object)) {
    if (problems.length >= MAX_PROBLEMS) break;
    const check = fields.get(name);
    if (check === undefined)
      problems.push(`\`${prefix}${shortened(name)}\` is not allowed in a replication.`);
    else {
      try {
        checked.push([name, check(value)]);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        problems.push(error.message.replaceAll('$', `${prefix}${name}`));
      }
    }
  }
  return Object.fromEntries(checked);
}

function shortened(name: string): string {
  return name.length > 64 ? `${name.slice(0, 64)}…` : name;
}

function typed(what: string, isRight: (value: unknown) => boolean): Check {
  return (value) => {
    if (!isRight(value)) throw new Problem(`\`$\` must be ${what}.`);
    return value;
  };
}

/** CouchDB also takes the digits as a string. */
function whole(least: number, most: number): Check {
  return (value) => {
    const number = typeof value === 'string' && /^\d{1,9}$/u.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most)
      throw new Problem(`\`$\` must be a whole number from ${least} to ${most}.`);
    return number;
  };
}

function targetParameters(value: unknown): unknown {
  if (!isJsonObject(value)) throw new Problem('`$` must be an object.');
  const problems: string[] = [];
  const checked = checkFields('$.', value, TARGET_FIELDS, problems);
  if (problems.length > 0) throw new Problem(problems.join(' '));
  return checked;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number';
}
