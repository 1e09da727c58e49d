// Decides what the leaves of a permission record say together. CouchDB's choice of a winner decides nothing.
import { type JsonObject } from '../json/object.ts';
import { compareRevisions } from '../couch/revision.ts';
import { intersectionOf, closed } from './intersection.ts';
import { documentOf, type Leaf, type RecordState, stateIn } from './record-document.ts';

/** What a majority of the copies has of one record. */
export interface PermissionRecord {
  /** The leaves that count, in the order of CouchDB: its winner comes first. */
  readonly leaves: readonly [Leaf, ...Leaf[]];
  /** The revisions (`_rev`) of withdrawn leaves that do not count: a later change stands beside them. */
  readonly superseded: readonly string[];
  /** The revisions of deleted leaves. */
  readonly deleted: readonly string[];
  /** What is in force. Its `state` is `done` only if the record is at rest. */
  readonly state: RecordState;
  /** False while a change is under way, or was left unfinished. */
  readonly isAtRest: boolean;
}

/** A leaf as `open_revs` returns it. */
export interface RawLeaf {
  readonly _id: string;
  readonly _rev: string;
  readonly _deleted?: boolean;
  readonly [field: string]: unknown;
}

/**
 * The document of a leaf that replaces one of a writer that did not succeed, and holds the state from which
 * the writer started. It is not deleted, because CouchDB refuses to write onto a leaf of a deleted document:
 * if all writers withdrew at the same time, no change could ever follow.
 */
export function withdrawnDocumentOf(state: RecordState): Readonly<Record<string, unknown>> {
  return { ...documentOf(state), withdrawn: true };
}

/**
 * Sums the leaves up; `undefined` = no record.
 *
 * A withdrawn leaf says which state was in force when its writer began. A change with a higher revision began
 * there or later, so the withdrawn leaf does not count beside it. Beside an older leaf it does: a node that
 * was away can bring one back that has grants which were revoked since.
 */
export function recordOf(raw: readonly RawLeaf[]): PermissionRecord | undefined {
  const sorted = raw.toSorted((a, b) => compareRevisions(b._rev, a._rev));
  const live = sorted.filter(({ _deleted }) => _deleted !== true).map(leafIn);
  const newest = Math.max(...live.map(({ revision }) => revision));
  const [first, ...others] = live.filter((leaf) => !leaf.isWithdrawn || leaf.revision === newest);
  if (first === undefined) return undefined;
  const leaves = [first, ...others] as const;
  // Several withdrawn leaves of one revision hold the same state.
  const isAtRest =
    leaves.every(({ isWithdrawn }) => isWithdrawn) || (others.length === 0 && first.state === 'done');
  return {
    leaves,
    superseded: live.filter((leaf) => !leaves.includes(leaf)).map(({ rev }) => rev),
    deleted: sorted.filter(({ _deleted }) => _deleted === true).map(({ _rev }) => _rev),
    state: stateOf(leaves, isAtRest),
    isAtRest,
  };
}

/** Reads the document of a leaf. */
export function leafIn(document: JsonObject & { readonly _rev?: string }): Leaf {
  return { ...stateIn(document), rev: document._rev ?? '', isWithdrawn: document['withdrawn'] === true };
}

/** The state of a leaf. */
export function stateOfLeaf({ rev: _, isWithdrawn: __, ...state }: Leaf): RecordState {
  return state;
}

function stateOf(leaves: PermissionRecord['leaves'], isAtRest: boolean): RecordState {
  const newest = newestOf(leaves);
  const others = leaves.filter((leaf) => leaf !== newest).map(formInForce);
  const form = formInForce(newest);
  // With itself too: that leaves names without roles out.
  const security = intersectionOf([form, form, ...others]);
  return { ...stateOfLeaf(newest), security, before: undefined, state: isAtRest ? 'done' : 'writing' };
}

/** While a change is `writing`, only what is granted before and after it is in force. */
export function formInForce({ state, before, security }: RecordState): JsonObject {
  if (state === 'done') return security;
  return before === undefined ? closed(security) : intersectionOf([security, before]);
}

/**
 * The state whose object is to be in CouchDB: while a change is under way, the change and not what is in
 * force. `undefined` while several leaves race.
 */
export function mirroredStateOf(record: PermissionRecord): RecordState | undefined {
  if (record.isAtRest) return record.state;
  const [first, second] = record.leaves;
  return second === undefined ? first : undefined;
}

function newestOf<T extends RecordState>(states: readonly [T, ...T[]]): T {
  return states.reduce((newest, state) => (state.revision > newest.revision ? state : newest));
}
