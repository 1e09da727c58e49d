// Checks the form of what a repository says about its snapshots: the repository may be hostile (H38).
import { isCount } from './index-shape.ts';
import { isContentName } from './repository.ts';
import { type PartialRun, type Snapshot, type Verification } from './snapshot.ts';

type Fields = Readonly<Record<string, unknown>>;

export function isSnapshot(value: unknown): value is Snapshot {
  const { format, id, started, finished, full, parent, complete, properties, counts } = fieldsIn(value);
  const { added_bytes: added, unread = [] } = fieldsIn(value);
  const { q, n, partitioned, revs_limit: limit, purged_infos_limit: purged } = fieldsIn(properties);
  const { documents, deleted, leaves, attachments } = fieldsIn(counts);
  return (
    format === 1 &&
    isText(id) &&
    isTime(started) &&
    isTime(finished) &&
    typeof full === 'boolean' &&
    (parent === null || isText(parent)) &&
    typeof complete === 'boolean' &&
    typeof partitioned === 'boolean' &&
    [q, n, limit, purged, documents, deleted, leaves, attachments].every(isCount) &&
    (added === undefined || isCount(added)) &&
    Array.isArray(unread) &&
    unread.every(isText) &&
    isChainState(value)
  );
}

export function isPartialRun(value: unknown): value is PartialRun {
  const { format, parent, started, added_bytes: added } = fieldsIn(value);
  return (
    format === 1 &&
    (parent === null || isText(parent)) &&
    isTime(started) &&
    (added === undefined || isCount(added)) &&
    isChainState(value)
  );
}

export function isVerification(value: unknown): value is Verification {
  const { snapshot, verified_at: at, leaves, attachments } = fieldsIn(value);
  return isText(snapshot) && isTime(at) && isCount(leaves) && isCount(attachments);
}

function isChainState(value: unknown): boolean {
  const { database, instance_start_time: start, since, purge_seq: purge, index, problems } = fieldsIn(value);
  const { purges, copies = '', more_problems: more } = fieldsIn(value);
  return (
    [database, start, since, purge, copies].every(isText) &&
    (purges === undefined ||
      (typeof purges === 'object' && Object.values(fieldsIn(purges)).every(isCount))) &&
    isListOf(index, ({ name, entries }) => isContentName(name) && isCount(entries)) &&
    (more === undefined || isCount(more)) &&
    isListOf(problems, ({ id, reason }) => isText(id) && isText(reason))
  );
}

/** A time as Couchgate writes it. */
export function isTime(value: unknown): value is string {
  return isText(value) && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) && !Number.isNaN(Date.parse(value));
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isListOf(value: unknown, isItem: (item: Fields) => boolean): boolean {
  return Array.isArray(value) && value.every((item: unknown) => isItem(fieldsIn(item)));
}

/** The fields of an object; none of anything else. */
export function fieldsIn(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
