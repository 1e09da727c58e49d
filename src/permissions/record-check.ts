// Compares the record of one database with its security object on every node, and repairs what differs.
import { type Couch } from '../couch/couch.ts';
import { type Agreement, inForceOf } from './in-force.ts';
import { objectsOfNodes } from './node-objects.ts';
import { type PermissionRecords } from './permission-records.ts';
import { type Finished } from './record-protocol.ts';
import { mirrorNameIn } from './security-document.ts';

/**
 * What differs.
 * - `no record`: the object is Couchgate's, and has no record yet, or the record was lost.
 * - `unfinished`: a change was left in the middle.
 * - `made again`: the record is that of an earlier database of the name.
 * - `old copy`: a node has an older object.
 * - `old record`: the object is newer than the record: the store was put back from a copy.
 * - `bypassed`: a writer that knows no records has changed the object (`setup --adopt`, or an earlier
 * version of Couchgate).
 * - `edited`: somebody has changed the object in CouchDB. `reset`: it is CouchDB's default again.
 */
export const DRIFTS = [
  'no record',
  'unfinished',
  'made again',
  'old copy',
  'old record',
  'bypassed',
  'edited',
  'reset',
] as const;

export type Drift = (typeof DRIFTS)[number];

export interface Finding {
  readonly database: string;
  readonly drift: Drift;
  /** URLs of the nodes whose object differs; empty if the record does. */
  readonly nodes: readonly string[];
}

export interface RecordCheckDeps {
  readonly couch: Pick<Couch, 'ask'>;
  readonly nodeUrls: readonly string[];
  readonly records: PermissionRecords;
}

const DRIFT_OF: Readonly<Record<Agreement, Drift | undefined>> = {
  same: undefined,
  unmirrored: undefined,
  'no record': undefined,
  gone: undefined,
  older: 'old copy',
  newer: 'old record',
  bypassed: 'bypassed',
  edited: 'edited',
  reset: 'reset',
};

/** Reads the record and the object of every node. `undefined` = nothing differs. Throws `Unavailable`. */
export async function checkDatabase(
  { couch, nodeUrls, records }: RecordCheckDeps,
  database: string,
): Promise<Finding | undefined> {
  const seen = await records.reader.read(database);
  if (seen === undefined) return undefined;
  const { record, object } = seen;
  if (record === undefined || seen.agreement === 'gone')
    return mirrorNameIn(object) === undefined ? undefined : { database, drift: 'no record', nodes: [] };
  if (!record.isAtRest) return { database, drift: 'unfinished', nodes: [] };
  const isMadeAgain = record.state.generation.start !== (await records.reader.startOf(database));
  if (isMadeAgain && seen.agreement !== 'bypassed') return { database, drift: 'made again', nodes: [] };
  const found = (await objectsOfNodes(couch, nodeUrls, database)).flatMap(({ node, object: held }) =>
    held === undefined || held === 'away'
      ? []
      : [{ node, agreement: inForceOf(record, held, database).agreement }],
  );
  const differing = found.filter(({ agreement }) => DRIFT_OF[agreement] !== undefined);
  const [first] = differing;
  if (first === undefined) return undefined;
  // CouchDB's default on one node of several is the copy of a node that was away.
  const isOldCopy = differing.every(({ agreement }) => agreement === 'older' || agreement === 'reset');
  const isPartly =
    differing.length < found.length || differing.some(({ agreement }) => agreement === 'older');
  const drift = isOldCopy && isPartly ? 'old copy' : worstOf(differing.map(({ agreement }) => agreement));
  return { database, drift, nodes: differing.map(({ node }) => node) };
}

/** The drift that needs most care: that of an object which another writer, or a person, has written. */
function worstOf(agreements: readonly Agreement[]): Drift {
  const order: readonly Agreement[] = ['bypassed', 'newer', 'edited', 'reset', 'older'];
  const worst = order.find((agreement) => agreements.includes(agreement)) ?? 'older';
  return DRIFT_OF[worst] ?? 'old copy';
}

/** Drifts that Couchgate repairs by itself: no person has chosen them. */
export const REPAIRED_ALONE: ReadonlySet<Drift> = new Set([
  'no record',
  'unfinished',
  'made again',
  'old copy',
  'old record',
  'bypassed',
]);

/**
 * Repairs a finding, never by permitting more than both sides do. Resolves with the change if what is in
 * force was written anew. `reset` is left alone: the database may be another one, and old grants must not
 * come back.
 */
export async function repairDatabase(
  { records }: RecordCheckDeps,
  { database, drift }: Finding,
): Promise<Finished | undefined> {
  const by = { by: '', via: 'repair' } as const;
  switch (drift) {
    case 'no record':
    case 'bypassed':
      return records.takeOver(database);
    case 'unfinished':
      return records.finisher.heal(database);
    case 'made again':
    case 'old record':
    case 'reset':
      return records.change(database, ({ security }) => security, by);
    case 'old copy':
    case 'edited':
      await records.finisher.mirrorAgain(database);
      return undefined;
  }
}
