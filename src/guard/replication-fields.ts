// Validates the fields of a replication job: types and ranges of the known ones, and what becomes of others
// (H20).
import { isJsonObject, type JsonObject } from '../json/object.ts';
import { BadRequest } from '../http-errors.ts';
import { SHORT_TEXT_BYTES } from '../body/document-fields.ts';
import { isSmallSelector } from './replication-selector.ts';

/** Returns the value for CouchDB; undefined = CouchDB does not get the field. Throws Problem. */
type Check = (value: unknown) => unknown;

class Problem extends Error {}

const flag = typed('true or false', (value) => typeof value === 'boolean');
const text = typed('a string', (value) => typeof value === 'string');
const object = typed('an object', isJsonObject);
const keep: Check = (value) => value;
const drop: Check = () => undefined;
const revision = typed('a short string', (value) => typeof value === 'string' && isShort(value));
const smallSelector = typed('an object with fewer values, or shorter names', isSmallSelector);
const list = typed('an array', Array.isArray);
const texts = typed('an array of strings', (value) => value === null || isTexts(value));
const sequence = typed(
  'a sequence',
  (value) => typeof value === 'string' || typeof value === 'number' || Array.isArray(value),
);

/**
 * Fields that CouchDB 3.5 or Cloudant reads, and fields of documents that clients send back.
 * Sources: couch_replicator_parse.erl, convert_options;
 * docs.couchdb.org/en/stable/json-structure.html#replication-settings
 *
 * Absent on purpose: `socket_options`. CouchDB parses it as Erlang terms, and each new word stays in the
 * node's atom table for good: a body of 2 MiB ends the node. Pinned by test/hostile/h20-parsers.test.ts.
 */
const FIELDS: ReadonlyMap<string, Check> = new Map<string, Check>([
  // replication-endpoint.ts and replication-jobs.ts check these.
  ...['source', 'target', 'user_ctx', 'owner'].map((name) => [name, keep] as const),
  ...['continuous', 'create_target', 'cancel', 'use_checkpoints', 'use_bulk_get'].map(
    (name) => [name, flag] as const,
  ),
  ...['winning_revs_only', '_deleted'].map((name) => [name, flag] as const),
  ...['filter', 'id', 'replication_id', '_local_id', '_id'].map((name) => [name, text] as const),
  ...['_replication_id', '_replication_state', '_replication_state_reason'].map(
    (name) => [name, text] as const,
  ),
  ['_rev', revision],
  ['_replication_state_time', typed('a time', isTime)],
  ['_replication_start_time', typed('a time', isTime)],
  ['_replication_stats', object],
  ['_revisions', object],
  ['_attachments', object],
  ...['_conflicts', '_deleted_conflicts', '_revs_info'].map((name) => [name, list] as const),
  ['_local_seq', sequence],
  ['doc_ids', texts],
  ['selector', (value: unknown) => smallSelector(object(value))],
  ['query_params', object],
  ['since_seq', sequence],
  ['create_target_params', targetParameters],
  ['worker_processes', whole(1, 20)],
  ['worker_batch_size', whole(1, 5000)],
  ['http_connections', whole(1, 100)],
  ['connection_timeout', whole(1, 300_000)],
  ['retries_per_request', whole(0, 50)],
  ['checkpoint_interval', whole(1, 86_400_000)],
  ['request_compression', typed('`gzip` or `none`', (value) => value === 'gzip' || value === 'none')],
]);

/** Names that users give to notes of their own; none of them could make a later CouchDB do harm. */
const NOTES: ReadonlySet<string> = new Set([
  ...['comment', 'description', 'label', 'labels', 'name', 'note', 'notes', 'tags', 'title'],
]);
/** Special fields of CouchDB, and options of the connection: a job without them would do something else. */
const REFUSED_NAME = /^_|proxy|socket|socks|ibrowse|ssl|tls/iu;
/** Every option of CouchDB is spelled so. */
const OPTION_NAME = /^[a-z0-9_]*$/u;

/**
 * The check of a field that is not listed; undefined = it is refused. CouchDB skips unknown options, but a
 * later version may read one that nobody has judged here. So CouchDB gets only fields that can be no option.
 */
function checkOfUnknown(name: string): Check | undefined {
  if (REFUSED_NAME.test(name)) return undefined;
  return NOTES.has(name) || !OPTION_NAME.test(name) ? keep : drop;
}

const TARGET_FIELDS: ReadonlyMap<string, Check> = new Map([
  ['q', whole(1, 256)],
  ['n', whole(1, 16)],
  ['partitioned', flag],
]);

/** Returns the job with its fields as CouchDB gets them. Throws BadRequest that names all problems. */
export function guardFields(job: JsonObject): JsonObject {
  const problems: string[] = [];
  const checked = checkFields('', job, (name) => FIELDS.get(name) ?? checkOfUnknown(name), problems);
  if (problems.length > 0) throw new BadRequest(problems.join(' '));
  return checked;
}

/** So many problems are named: a body may have 100 000. */
const MAX_PROBLEMS = 20;

function checkFields(
  prefix: string,
  object: JsonObject,
  checkOf: (name: string) => Check | undefined,
  problems: string[],
): JsonObject {
  const checked: [string, unknown][] = [];
  for (const [name, value] of Object.entries(object)) {
    if (problems.length >= MAX_PROBLEMS) break;
    const check = checkOf(name);
    if (check === undefined)
      problems.push(`\`${prefix}${shortened(name)}\` is not allowed in a replication.`);
    else {
      try {
        const passed = check(value);
        if (passed !== undefined) checked.push([name, passed]);
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
  const checked = checkFields('$.', value, (name) => TARGET_FIELDS.get(name), problems);
  if (problems.length > 0) throw new Problem(problems.join(' '));
  return checked;
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

/** CouchDB makes a list of characters of it (H20). */
function isShort(value: string): boolean {
  return value.length <= SHORT_TEXT_BYTES;
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number';
}
